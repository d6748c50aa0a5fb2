#include "admin/traffic.h"

#include "base/clock.h"
#include "base/minmax.h"

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

static void add_agents(struct traffic_sample *to, const struct agent_list *agents)
{
    const struct agent *a;

    TAILQ_FOREACH (a, agents, link) {
        add(to, &a->forgotten);
        for (const struct origin *o = a->origins; o; o = o->hh.next)
            add(to, &o->stats);
    }
}

void traffic_gather(const struct admin_daemon *daemon, struct traffic_sample *out)
{
    *out = (struct traffic_sample){.ms = clock_ms()};
    for (unsigned i = 0; i < daemon->count; i++) {
        const struct pool *p = daemon->pools[i];

        out->clients_refused += daemon->proxies[i]->stats.clients_refused;
        add(out, &p->removed_stats);
        add_agents(out, &p->agents);
        add_agents(out, &p->removed);
    }
}

void traffic_take(struct traffic *t, const struct admin_daemon *daemon)
{
    traffic_gather(daemon, &t->samples[t->count++ % TRAFFIC_SAMPLES]);
}

uint64_t traffic_uptime_ms(const struct traffic *t)
{
    return clock_ms() - t->began_ms;
}

/* The sample `back` before now, of which the newest one is 1; or the oldest that there is. */
static const struct traffic_sample *sample(const struct traffic *t, uint64_t back)
{
    uint64_t kept = min64(t->count, TRAFFIC_SAMPLES);

    return &t->samples[(t->count - min64(back, kept)) % TRAFFIC_SAMPLES];
}

/* Of less than a second it says nothing yet. */
static double per_second(uint64_t n, uint64_t ms)
{
    return (double)n * 1000 / (double)(ms > 1000 ? ms : 1000);
}

void traffic_figures(const struct traffic *t, const struct traffic_sample *now, struct traffic_figures *out)
{
    const struct traffic_sample *lately = sample(t, RATE_SAMPLES), *oldest = sample(t, TRAFFIC_SAMPLES);
    uint64_t ms = now->ms - lately->ms;
    uint64_t refused = now->refused - lately->refused, errors = now->errors - lately->errors;

    *out = (struct traffic_figures){
        .requests_per_second = per_second(now->requests - lately->requests, ms),
        .errors_per_second = per_second(errors, ms),
        .refused_per_second = per_second(refused, ms),
        .failed = now->errors - oldest->errors - (now->refused - oldest->refused),
        .clients_refused = now->clients_refused - oldest->clients_refused,
    };
}
