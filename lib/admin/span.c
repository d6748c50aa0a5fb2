#include "admin/span.h"

#include "base/minmax.h"
#include "pool/savings.h"

static uint32_t less(uint64_t now, uint64_t before)
{
    uint64_t n = now > before ? now - before : 0;

    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* From the buckets that filled, and never more than the largest value ever; what lies beyond the last bound
 * counts as that. */
static uint32_t quantile(const struct histogram *now, const struct histogram *before, double q)
{
    static const uint32_t bounds[] = HISTOGRAM_BOUNDS;
    double rest = q * (double)less(histogram_count(now), histogram_count(before));
    uint32_t low = 0;

    if (rest == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        double n = less(now->bucket[i], before->bucket[i]);

        if (rest <= n)
            return (uint32_t)min64(low + (uint32_t)((bounds[i] - low) * rest / n), now->max_us);
        rest -= n;
        low = bounds[i];
    }
    return low;
}

/* A request that a limit held for less than the first bound was not held at all. */
static uint32_t waited_of(const struct origin_stats *from, const struct origin_stats *to)
{
    uint32_t n = 0;

    for (unsigned i = 1; i < HISTOGRAM_BUCKETS; i++)
        n += less(to->pending.bucket[i], from->pending.bucket[i]);
    return n;
}

static void take_words(const struct origin_stats *from, const struct origin_stats *to, struct span *out)
{
    for (unsigned i = 0; i < OPENED_FOR_COUNT; i++)
        out->opened_for[i] = less(to->opened_for[i], from->opened_for[i]);
    for (unsigned i = 0; i < HELD_BY_COUNT; i++)
        out->held[i] = less(to->held[i], from->held[i]);
}

static void take_times(const struct origin_stats *from, const struct origin_stats *to, struct span *out)
{
    out->waited = waited_of(from, to);
    out->waited_ms = less((to->pending.sum_us - from->pending.sum_us) / 1000, 0);
    out->paused_ms = less(to->paused_us / 1000, from->paused_us / 1000);
    out->used_ms = less(to->used_us / 1000, from->used_us / 1000);
    out->timed_out_ms = less(to->timed_out_us / 1000, from->timed_out_us / 1000);
    out->p50_us = quantile(&to->request, &from->request, 0.5);
    out->p99_us = quantile(&to->request, &from->request, 0.99);
    out->waited_p99_us = out->waited > 0 ? quantile(&to->pending, &from->pending, 0.99) : 0;
    out->connect_p99_us = quantile(&to->connect, &from->connect, 0.99);
}

void span_between(const struct origin_stats *from, const struct origin_stats *to, struct span *out)
{
    out->requests = less(to->requests, from->requests);
    out->timed_out = less(to->timed_out, from->timed_out);
    out->reused = less(to->reused, from->reused);
    out->carried = less(savings_carried(to), savings_carried(from));
    out->opened = less(to->opened, from->opened);
    out->retries = less(to->retries, from->retries);
    out->client_aborts = less(to->client_aborts, from->client_aborts);
    out->refused = less(to->errors[PROXY_ERROR_LIMIT], from->errors[PROXY_ERROR_LIMIT]);
    /* One whose client has not taken the answer yet is no error yet. */
    out->queue_full = (uint32_t)min64(less(to->queue_full, from->queue_full), out->refused);
    out->errors = less(origin_stats_errors(to), origin_stats_errors(from)) - out->refused;
    out->connects_failed = less(to->retired[RETIRE_CONNECT_FAILED] + to->retired[RETIRE_CONNECT_TIMEOUT],
                                from->retired[RETIRE_CONNECT_FAILED] + from->retired[RETIRE_CONNECT_TIMEOUT]);
    out->peer_closed = less(origin_stats_peer_closed(to), origin_stats_peer_closed(from));
    out->idle_goaways = less(to->idle_goaways, from->idle_goaways);
    out->peer_closed_idle_ms = less(to->peer_closed_idle_ms, from->peer_closed_idle_ms);
    take_words(from, to, out);
    take_times(from, to, out);
}

static void add_words(struct span *to, const struct span *from)
{
    for (unsigned i = 0; i < OPENED_FOR_COUNT; i++)
        to->opened_for[i] += from->opened_for[i];
    for (unsigned i = 0; i < HELD_BY_COUNT; i++)
        to->held[i] += from->held[i];
}

static void take_peaks(struct span *to, const struct span *from)
{
    to->active = max32(to->active, from->active);
    to->connecting = max32(to->connecting, from->connecting);
    to->free = max32(to->free, from->free);
    to->waiting = max32(to->waiting, from->waiting);
    to->demand = max32(to->demand, from->demand);
    to->p50_us = max32(to->p50_us, from->p50_us);
    to->p99_us = max32(to->p99_us, from->p99_us);
    to->waited_p99_us = max32(to->waited_p99_us, from->waited_p99_us);
    to->connect_p99_us = max32(to->connect_p99_us, from->connect_p99_us);
}

void span_add(struct span *to, const struct span *from)
{
    to->requests += from->requests;
    to->reused += from->reused;
    to->carried += from->carried;
    to->opened += from->opened;
    to->retries += from->retries;
    to->client_aborts += from->client_aborts;
    to->waited += from->waited;
    to->waited_ms += from->waited_ms;
    to->paused_ms += from->paused_ms;
    to->refused += from->refused;
    to->queue_full += from->queue_full;
    to->errors += from->errors;
    to->connects_failed += from->connects_failed;
    to->used_ms += from->used_ms;
    to->timed_out += from->timed_out;
    to->timed_out_ms += from->timed_out_ms;
    to->peer_closed += from->peer_closed;
    to->peer_closed_idle_ms += from->peer_closed_idle_ms;
    to->idle_goaways += from->idle_goaways;
    add_words(to, from);
    take_peaks(to, from);
}

bool span_is_empty(const struct span *s)
{
    return (s->requests | s->opened | s->connects_failed | s->active | s->free | s->waiting) == 0;
}

/* JSON */

static void put(struct text *t, const char *key, uint32_t n)
{
    if (n == 0)
        return;
    text_lit(t, ",\"");
    text_string(t, key);
    text_lit(t, "\":");
    text_number(t, n);
}

static void put_ms(struct text *t, const char *key, uint32_t us)
{
    if (us == 0)
        return;
    text_lit(t, ",\"");
    text_string(t, key);
    text_lit(t, "\":");
    text_ms(t, us);
}

static void put_words(struct text *t, const char *key, const uint32_t *counts, unsigned words,
                      const char *(*word)(unsigned))
{
    const char *begin = "{";

    for (unsigned i = 0; i < words; i++) {
        if (counts[i] == 0)
            continue;
        if (*begin == '{')
            text_format(t, ",\"%s\":", key);
        text_format(t, "%s\"%s\":%u", begin, word(i), counts[i]);
        begin = ",";
    }
    if (*begin == ',')
        text_lit(t, "}");
}

void span_write(struct text *t, const struct span *s)
{
    put(t, "requests", s->requests);
    put(t, "socketsOpened", s->opened);
    put_words(t, "openedFor", s->opened_for, OPENED_FOR_COUNT, opened_for_word);
    put(t, "reused", s->reused);
    put(t, "errors", s->errors);
    put(t, "refused", s->refused);
    put(t, "waited", s->waited);
    put_words(t, "held", s->held, HELD_BY_COUNT, held_by_word);
    put(t, "sockets", s->active);
    put(t, "connecting", s->connecting);
    put(t, "freeSockets", s->free);
    put(t, "waiting", s->waiting);
    put_ms(t, "p50Ms", s->p50_us);
    put_ms(t, "p99Ms", s->p99_us);
    put_ms(t, "waitedP99Ms", s->waited_p99_us);
    put_ms(t, "connectP99Ms", s->connect_p99_us);
}
