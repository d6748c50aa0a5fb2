#include "admin/traffic.h"

#include "base/clock.h"
#include "base/minmax.h"

void traffic_begin(struct traffic *t)
{
    uint64_t now = clock_ms();

    *t = (struct traffic){.began_ms = now, .samples = {{.ms = now}}, .count = 1};
}

void traffic_counts_add(struct traffic_counts *to, const struct origin_stats *stats)
{
    to->requests += stats->requests;
    to->errors += origin_stats_errors(stats);
    to->refused += stats->errors[PROXY_ERROR_LIMIT];
}

static void add_agents(struct traffic_counts *to, const struct agent_list *agents)
{
    const struct agent *a;

    TAILQ_FOREACH (a, agents, link) {
        traffic_counts_add(to, &a->forgotten);
        for (const struct origin *o = a->origins; o; o = o->hh.next)
            traffic_counts_add(to, &o->stats);
    }
}

void traffic_gather(const struct admin_daemon *daemon, struct traffic_sample *out)
{
    *out = (struct traffic_sample){.ms = clock_ms()};
    for (unsigned i = 0; i < daemon->count; i++) {
        const struct pool *p = daemon->pools[i];

        out->clients_refused += daemon->proxies[i]->stats.clients_refused;
        traffic_counts_add(&out->counts, &p->removed_stats);
        add_agents(&out->counts, &p->agents);
        add_agents(&out->counts, &p->removed);
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

/* `back` samples, or all that there are. */
static uint64_t reach(const struct traffic *t, uint64_t back)
{
    return min64(back, min64(t->count, TRAFFIC_SAMPLES));
}

/* The one `back` before now, of which the newest one is 1; or the oldest that there is. */
static const struct traffic_sample *sample(const struct traffic *t, uint64_t back)
{
    return &t->samples[(t->count - reach(t, back)) % TRAFFIC_SAMPLES];
}

/* Of less than a second it says nothing yet. */
static double per_second(uint64_t n, uint64_t ms)
{
    return (double)n * 1000 / (double)(ms > 1000 ? ms : 1000);
}

struct traffic_rates traffic_rates(const struct traffic *t, const struct traffic_counts *lately,
                                   uint64_t now_ms)
{
    uint64_t ms = now_ms - sample(t, TRAFFIC_LATELY)->ms;

    return (struct traffic_rates){
        .requests_per_second = per_second(lately->requests, ms),
        .errors_per_second = per_second(lately->errors, ms),
        .refused_per_second = per_second(lately->refused, ms),
    };
}

/* A reload may have begun the count of a row anew. */
static uint64_t grown(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static struct traffic_counts since(const struct traffic_counts *now, const struct traffic_counts *before)
{
    return (struct traffic_counts){.requests = grown(now->requests, before->requests),
                                   .errors = grown(now->errors, before->errors),
                                   .refused = grown(now->refused, before->refused)};
}

void traffic_figures(const struct traffic *t, const struct traffic_sample *now, struct traffic_figures *out)
{
    const struct traffic_sample *oldest = sample(t, TRAFFIC_SAMPLES);
    struct traffic_counts lately = since(&now->counts, &sample(t, TRAFFIC_LATELY)->counts);
    struct traffic_counts all = since(&now->counts, &oldest->counts);

    *out = (struct traffic_figures){
        .rates = traffic_rates(t, &lately, now->ms),
        .failed = all.errors - all.refused,
        .clients_refused = now->clients_refused - oldest->clients_refused,
    };
}

/* Rows */

static void add(struct traffic_counts *to, const struct traffic_counts *more)
{
    to->requests += more->requests;
    to->errors += more->errors;
    to->refused += more->refused;
}

void traffic_ring_take(struct traffic_ring *r, const struct traffic *t, const struct origin_stats *stats)
{
    struct traffic_counts *newest = &r->counts[(t->count - 1) % TRAFFIC_LATELY];

    *newest = (struct traffic_counts){0};
    traffic_counts_add(newest, stats);
}

void traffic_ring_add(struct traffic_ring *to, const struct traffic_ring *from)
{
    for (unsigned i = 0; i < TRAFFIC_LATELY; i++)
        add(&to->counts[i], &from->counts[i]);
}

void traffic_count_lately(const struct traffic *t, const struct traffic_ring *r,
                          const struct origin_stats *stats, struct traffic_counts *to)
{
    static const struct traffic_counts none;
    const struct traffic_counts *before =
        r ? &r->counts[(t->count - reach(t, TRAFFIC_LATELY)) % TRAFFIC_LATELY] : &none;
    struct traffic_counts now = {0}, lately;

    traffic_counts_add(&now, stats);
    lately = since(&now, before);
    add(to, &lately);
}
