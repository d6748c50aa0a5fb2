#include "pool/savings.h"

#include "base/minmax.h"
#include "pool/stats.h"

/* A repeat belongs to the request that it repeats. */
static int64_t reuses(const struct origin_stats *stats)
{
    return (int64_t)(savings_carried(stats) - stats->first_uses);
}

static int64_t reuses_us(const struct connect_times *t, const struct origin_stats *stats)
{
    return t->reuses_us + (reuses(stats) - t->reuses) * (int64_t)connect_times_median(t);
}

void connect_times_add(struct connect_times *t, const struct origin_stats *stats, uint64_t us)
{
    t->reuses_us = reuses_us(t, stats);
    t->reuses = reuses(stats);
    t->us[t->count++ % CONNECT_TIMES] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

uint64_t connect_times_median(const struct connect_times *t)
{
    uint32_t sorted[CONNECT_TIMES], count = min32(t->count, CONNECT_TIMES);
    if (count == 0)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > t->us[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = t->us[i];
    }
    return ((uint64_t)sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

uint64_t savings_carried(const struct origin_stats *stats)
{
    uint64_t given = stats->first_uses + stats->reused, repeats = stats->retries + stats->unprocessed;
    return given > repeats ? given - repeats : 0;
}

void savings_add(struct savings *to, const struct origin_stats *stats, const struct connect_times *times)
{
    int64_t connections = (int64_t)(savings_carried(stats) - stats->opened), each_of = reuses(stats);
    to->connections += connections;
    if (each_of > 0)
        to->connect_us += (int64_t)((double)reuses_us(times, stats) * (double)connections / (double)each_of);
    else
        to->connect_us += connections * (int64_t)connect_times_median(times);
}

struct savings savings_shown(const struct savings *s)
{
    if (s->connections <= 0)
        return (struct savings){0};
    return (struct savings){s->connections, s->connect_us > 0 ? s->connect_us : 0};
}
