#include "admin/traffic.h"

#include "base/clock.h"

#define RATE_SAMPLES 10

void traffic_begin(struct traffic *t)
{
    uint64_t now = clock_ms();

    *t = (struct traffic){.began_ms = now, .samples = {{.ms = now}}, .count = 1};
}

static void add(struct traffic_sample *to, const struct origin_stats *stats)
{
    to->requests += stats->requests;
    to->errors += origin_stats_errors(stats);
    to->refused += stats->errors[PROXY_ERROR_LIMIT];
}

void traffic_take(struct traffic *t, const struct admin_daemon *daemon)
{
    struct traffic_sample *s = &t->samples[t->count++ % TRAFFIC_SAMPLES];
    const struct agent *a, *share;
    const struct origin *o;

    *s = (struct traffic_sample){.ms = clock_ms()};
    for (unsigned i = 0; i < daemon->count; i++)
        s->clients_refused += daemon->proxies[i]->stats.clients_refused;
    TAILQ_FOREACH (a, &daemon->pools[0]->agents, link) {
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

/* The sample `back` before the newest one, or the oldest that there is. */
static const struct traffic_sample *sample(const struct traffic *t, uint64_t back)
{
    static const struct traffic_sample none;
    uint64_t kept = t->count < TRAFFIC_SAMPLES ? t->count : TRAFFIC_SAMPLES;

    if (kept == 0)
        return &none;
    return &t->samples[(t->count - 1 - (back < kept ? back : kept - 1)) % TRAFFIC_SAMPLES];
}

/* What a reload took away is no traffic. */
static double per_second(uint64_t now, uint64_t before, uint64_t ms)
{
    return now > before && ms > 0 ? (double)(now - before) * 1000 / (double)ms : 0;
}

double traffic_requests_per_second(const struct traffic *t)
{
    const struct traffic_sample *now = sample(t, 0), *before = sample(t, RATE_SAMPLES);

    return per_second(now->requests, before->requests, now->ms - before->ms);
}

double traffic_errors_per_second(const struct traffic *t)
{
    const struct traffic_sample *now = sample(t, 0), *before = sample(t, RATE_SAMPLES);

    return per_second(now->errors, before->errors, now->ms - before->ms);
}

double traffic_refused_per_second(const struct traffic *t)
{
    const struct traffic_sample *now = sample(t, 0), *before = sample(t, RATE_SAMPLES);

    return per_second(now->refused, before->refused, now->ms - before->ms);
}

uint64_t traffic_clients_refused(const struct traffic *t)
{
    return sample(t, 0)->clients_refused - sample(t, TRAFFIC_SAMPLES)->clients_refused;
}
