#include "pool/stats.h"

#include "base/clock.h"
#include "base/minmax.h"

static uint64_t present_window(void)
{
    return clock_ms() / HISTOGRAM_RECENT_MS;
}

/* Forgets what was before the window before this one. */
static void enter_window(struct histogram *h, uint64_t window)
{
    if (h->recent_window == window)
        return;
    h->recent_max_us[1] = h->recent_window + 1 == window ? h->recent_max_us[0] : 0;
    h->recent_max_us[0] = 0;
    h->recent_window = window;
}

void histogram_add(struct histogram *h, uint64_t us)
{
    static const uint32_t bounds[] = HISTOGRAM_BOUNDS;
    unsigned i = 0;
    while (i < HISTOGRAM_BUCKETS - 1 && us > bounds[i])
        i++;
    h->bucket[i]++;
    h->sum_us += us;
    h->max_us = max64(h->max_us, us);
    enter_window(h, present_window());
    h->recent_max_us[0] = max64(h->recent_max_us[0], us);
}

uint64_t histogram_recent_max(const struct histogram *h)
{
    struct histogram now = *h;
    enter_window(&now, present_window());
    return max64(now.recent_max_us[0], now.recent_max_us[1]);
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        n += h->bucket[i];
    return n;
}

const char *socket_failure_code(unsigned failure)
{
    static const char *const codes[SOCKET_FAILURE_COUNT] = {
#define X(id, code) [id] = code,
        SOCKET_FAILURE_LIST(X)
#undef X
    };
    return codes[failure];
}

const char *held_by_word(unsigned by)
{
    static const char *const words[HELD_BY_COUNT] = {
#define X(id, word) [id] = word,
        HELD_BY_LIST(X)
#undef X
    };
    return words[by];
}

static void histogram_merge(struct histogram *to, const struct histogram *from)
{
    struct histogram recent = *from;
    enter_window(&recent, present_window());
    enter_window(to, present_window());
    for (unsigned i = 0; i < 2; i++)
        to->recent_max_us[i] = max64(to->recent_max_us[i], recent.recent_max_us[i]);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
    to->sum_us += from->sum_us;
    to->max_us = max64(to->max_us, from->max_us);
}

void origin_stats_add(struct origin_stats *to, const struct origin_stats *from)
{
    to->requests += from->requests;
    to->first_uses += from->first_uses;
    to->reused += from->reused;
    to->opened += from->opened;
    for (unsigned i = 0; i < OPENED_FOR_COUNT; i++)
        to->opened_for[i] += from->opened_for[i];
    to->retries += from->retries;
    to->handshakes_full += from->handshakes_full;
    to->handshakes_resumed += from->handshakes_resumed;
    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        to->retired[i] += from->retired[i];
    to->idle_goaways += from->idle_goaways;
    to->peer_closed_idle_ms += from->peer_closed_idle_ms;
    to->closed_unused += from->closed_unused;
    for (unsigned i = 0; i < SOCKET_FAILURE_COUNT; i++)
        to->reused_errors[i] += from->reused_errors[i];
    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        to->errors[i] += from->errors[i];
    to->client_aborts += from->client_aborts;
    to->timed_out_waiting += from->timed_out_waiting;
    to->timed_out += from->timed_out;
    to->timed_out_us += from->timed_out_us;
    to->used_us += from->used_us;
    for (unsigned i = 0; i < HELD_BY_COUNT; i++)
        to->held[i] += from->held[i];
    to->queue_full += from->queue_full;
    to->displaced += from->displaced;
    to->repaired += from->repaired;
    for (unsigned i = 0; i < REPAIR_COUNT; i++)
        to->repairs[i] += from->repairs[i];
    to->texts += from->texts;
    to->texts_plain += from->texts_plain;
    for (unsigned i = 0; i < H2_ERROR_COUNT; i++) {
        to->resets_by_origin[i] += from->resets_by_origin[i];
        to->resets_by_carpool[i] += from->resets_by_carpool[i];
        to->goaways[i] += from->goaways[i];
    }
    to->unprocessed += from->unprocessed;
    histogram_merge(&to->ping, &from->ping);
    histogram_merge(&to->pending, &from->pending);
    to->paused_us += from->paused_us;
    histogram_merge(&to->connect, &from->connect);
    histogram_merge(&to->request, &from->request);
}

uint64_t origin_stats_errors(const struct origin_stats *s)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        n += s->errors[i];
    return n;
}

uint64_t origin_stats_ended(const struct origin_stats *s)
{
    return histogram_count(&s->request) + origin_stats_errors(s) + s->client_aborts;
}

bool origin_stats_is_empty(const struct origin_stats *s)
{
    uint64_t seen = s->requests | s->opened;
    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        seen |= s->retired[i];
    return seen == 0;
}
