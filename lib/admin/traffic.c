#include "admin/traffic.h"

#include "base/clock.h"

void traffic_begin(struct traffic *t)
{
    *t = (struct traffic){.began_ms = clock_ms()};
}

static void add(struct traffic_sample *to, const struct origin_stats *stats)
{
    to->requests += stats->requests;
    to->errors += origin_stats_errors(stats);
}

void traffic_take(struct traffic *t, const struct pool *pool)
{
    struct traffic_sample *s = &t->samples[t->count++ % TRAFFIC_SAMPLES];
    const struct agent *a, *share;
    const struct origin *o;

    *s = (struct traffic_sample){.ms = clock_ms()};
    TAILQ_FOREACH (a, &pool->agents, link) {
        for (share = a; share; share = share->next_share)
            add(s, &share->forgotten);
        AGENT_FOREACH_ORIGIN(a, share, o)
        add(s, &o->stats);
    }
}

uint64_t traffic_uptime_ms(const struct traffic *t)
{
    return clock_ms() - t->began_ms;
}

/* What a reload took away is no traffic. */
static double per_second(uint64_t now, uint64_t before, uint64_t ms)
{
    return now > before && ms > 0 ? (double)(now - before) * 1000 / (double)ms : 0;
}

static void ends(const struct traffic *t, struct traffic_sample *oldest, struct traffic_sample *newest)
{
    uint64_t kept = t->count < TRAFFIC_SAMPLES ? t->count : TRAFFIC_SAMPLES;

    *oldest = *newest = (struct traffic_sample){0};
    if (kept == 0)
        return;
    *newest = t->samples[(t->count - 1) % TRAFFIC_SAMPLES];
    *oldest = t->samples[(t->count - kept) % TRAFFIC_SAMPLES];
}

double traffic_requests_per_second(const struct traffic *t)
{
    struct traffic_sample oldest, newest;

    ends(t, &oldest, &newest);
    return per_second(newest.requests, oldest.requests, newest.ms - oldest.ms);
}

double traffic_errors_per_second(const struct traffic *t)
{
    struct traffic_sample oldest, newest;

    ends(t, &oldest, &newest);
    return per_second(newest.errors, oldest.errors, newest.ms - oldest.ms);
}
