#include "pool/stats.h"

void histogram_add(struct histogram *h, uint64_t us)
{
    static const uint32_t bounds[] = HISTOGRAM_BOUNDS;
    unsigned i = 0;
    while (i < HISTOGRAM_BUCKETS - 1 && us > bounds[i])
        i++;
    h->bucket[i]++;
    h->sum_us += us;
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        n += h->bucket[i];
    return n;
}

const char *socket_failure_code(enum socket_failure f)
{
    static const char *const codes[SOCKET_FAILURE_COUNT] = {
#define X(id, code) [id] = code,
        SOCKET_FAILURE_LIST(X)
#undef X
    };
    return codes[f];
}

static void histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
    to->sum_us += from->sum_us;
}

void origin_stats_add(struct origin_stats *to, const struct origin_stats *from)
{
    to->requests += from->requests;
    to->first_uses += from->first_uses;
    to->reused += from->reused;
    to->opened += from->opened;
    to->retries += from->retries;
    to->handshakes_full += from->handshakes_full;
    to->handshakes_resumed += from->handshakes_resumed;
    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        to->retired[i] += from->retired[i];
    to->peer_closed_idle_ms += from->peer_closed_idle_ms;
    for (unsigned i = 0; i < SOCKET_FAILURE_COUNT; i++)
        to->reused_errors[i] += from->reused_errors[i];
    histogram_merge(&to->pending, &from->pending);
    histogram_merge(&to->connect, &from->connect);
    histogram_merge(&to->request, &from->request);
}

bool origin_stats_is_empty(const struct origin_stats *s)
{
    uint64_t seen = s->requests | s->opened;
    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        seen |= s->retired[i];
    return seen == 0;
}
