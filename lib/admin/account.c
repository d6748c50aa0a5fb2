#include "admin/account.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/minmax.h"

/* Fewer prove nothing. */
#define ENOUGH 3

/* All but its scheme's default port. */
static const char *shown(const struct origin *o, char *out, size_t size)
{
    const char *rest = strstr(o->key, "://");

    if (o->authority.n == 0)
        return o->key;
    snprintf(out, size, "%.*s%.*s", rest ? (int)(rest + 3 - o->key) : 0, o->key, (int)o->authority.n,
             o->authority.p);
    return out;
}

static bool closes_sooner(const struct socket *s)
{
    const struct agent_policy *policy = s->origin->agent->policy;
    uint64_t buffer = policy->agentKeepAliveTimeoutBuffer, free = policy->timeouts.free;
    uint64_t hinted = s->hint_timeout_ms > buffer ? s->hint_timeout_ms - buffer : 0;
    uint64_t limit = s->has_hint_timeout ? hinted : socket_learned_ms(s);

    return limit > 0 && (free == 0 || limit < free);
}

static void look_at_idle(const struct origin *o, struct account *out)
{
    const struct socket *s;

    TAILQ_FOREACH (s, &o->free, link) {
        uint64_t idle = clock_ms() - s->idle_since_ms;

        if (idle > out->longest_idle_ms)
            out->longest_idle_ms = idle;
        if (s->has_hint_timeout)
            out->hint_ms = s->hint_timeout_ms;
        out->closes_some_sooner |= closes_sooner(s);
    }
}

/* Those that are open, and those that were closed and not replaced since. */
static uint32_t most_sockets(const struct origin *o)
{
    return origin_sockets(o) - o->connecting_count + o->ledger.lacking_count;
}

/* How long its counters have counted. */
static uint64_t age_of(const struct agent *a, uint64_t uptime_ms)
{
    return a->added_ms > 0 ? clock_ms() - a->added_ms : uptime_ms;
}

void account_of_origin(const struct history *h, const struct origin *o, uint64_t uptime_ms,
                       struct account *out)
{
    const struct agent *a = o->agent;

    *out = (struct account){
        .agent = a->name,
        .key = o->key,
        .is_tunnel = o->kind == ORIGIN_TUNNEL,
        .tunnel_cause = tunnel_cause(o),
        .policy = a->policy,
        .uptime_ms = age_of(a, uptime_ms),
        .was_added = a->added_ms > 0,
        .hour_ms = history_ms(h),
        .stats = o->stats,
        .connect_us = connect_times_median(&o->connect_times),
        .paused = a->paused,
        .speaks_http2 = o->protocol == PROTOCOL_HTTP2,
        .origins = 1,
        .most_sockets = most_sockets(o),
    };
    origin_groups(o, &out->now);
    out->origin = shown(o, out->origin_text, sizeof out->origin_text);
    history_hour(h, a, o, &out->hour);
    savings_add(&out->saved, &o->stats, &o->connect_times);
    out->saved = savings_shown(&out->saved);
    look_at_idle(o, out);
    out->learned_ms = origin_learned_ms(o);
    out->closes_after_ms = out->learned_ms > 0 ? o->learned.least_ms : 0;
}

void account_of_agent(const struct history *h, const struct agent *a, uint64_t uptime_ms, struct account *out)
{
    struct agent_totals totals;
    const struct agent *share;
    const struct origin *o;

    agent_totals(a, &totals);
    *out = (struct account){
        .agent = a->name,
        .key = "*",
        .origin = "*",
        .policy = a->policy,
        .uptime_ms = age_of(a, uptime_ms),
        .was_added = a->added_ms > 0,
        .hour_ms = history_ms(h),
        .stats = totals.stats,
        .saved = savings_shown(&totals.saved),
        .now = totals.now,
        .paused = a->paused,
    };
    history_hour(h, a, NULL, &out->hour);
    AGENT_FOREACH_ORIGIN (a, share, o) {
        out->origins++;
        out->speaks_http2 |= o->protocol == PROTOCOL_HTTP2;
        out->most_sockets += most_sockets(o);
        look_at_idle(o, out);
    }
}

bool account_is_whole(const struct account *a)
{
    bool is_young = a->uptime_ms < HISTORY_MINUTES * 60 * 1000;

    return is_young || (a->hour.requests == a->stats.requests && a->hour.opened == a->stats.opened);
}

bool account_is_recent(const struct account *a)
{
    return a->hour.opened > 0 && !account_is_whole(a);
}

uint64_t account_requests(const struct account *a)
{
    return account_is_recent(a) ? a->hour.requests : a->stats.requests;
}

uint64_t account_carried(const struct account *a)
{
    return account_is_recent(a) ? a->hour.carried : savings_carried(&a->stats);
}

bool account_is_of_agent(const struct account *a)
{
    return strcmp(a->key, "*") == 0;
}

uint64_t account_opened(const struct account *a)
{
    return account_is_recent(a) ? a->hour.opened : a->stats.opened;
}

uint64_t account_opened_for(const struct account *a, enum opened_for why)
{
    return account_is_recent(a) ? a->hour.opened_for[why] : a->stats.opened_for[why];
}

bool account_costs(const struct account *a, enum opened_for why)
{
    uint64_t n = account_opened_for(a, why);

    return n >= ENOUGH && n * 5 >= account_opened(a);
}

bool account_closes_each_time(const struct account *a)
{
    return account_opened(a) * 10 >= account_carried(a) * 9;
}

uint64_t account_closed_idle_ms(const struct account *a)
{
    uint64_t ever = origin_stats_peer_closed(&a->stats);

    if (a->hour.peer_closed > 0)
        return a->hour.peer_closed_idle_ms / a->hour.peer_closed;
    return ever > 0 ? a->stats.peer_closed_idle_ms / ever : 0;
}

bool account_goaways_are_idle(const struct account *a)
{
    uint64_t idle = account_is_recent(a) ? a->hour.idle_goaways : a->stats.idle_goaways;

    return idle * 2 > account_opened_for(a, replaced(RETIRE_GOAWAY));
}

uint32_t account_limit(const struct account *a)
{
    const struct agent_policy *p = a->policy;

    return min32(p->maxTotalSockets, p->maxSockets);
}

/* A quarter more, and whole. */
static uint32_t with_reserve(float load)
{
    float needed = load * 1.25F;
    uint32_t whole = (uint32_t)needed;

    return whole + (needed > (float)whole);
}

/* Near the limit, the load is held down by the limit itself. */
uint32_t account_needed(const struct account *a, uint32_t limit)
{
    uint32_t needed = with_reserve(a->hour.load.needed);

    if (needed > limit)
        return needed;
    return a->hour.load.needed * 2 >= (float)limit ? with_reserve((float)limit) : 0;
}

bool account_times_out(const struct account *a, uint32_t limit)
{
    return account_needed(a, limit) <= limit && a->hour.load.occupied > 2 * a->hour.load.needed;
}

uint32_t account_needed_in_total(const struct account *a)
{
    bool holds = a->hour.held[HELD_BY_MAX_TOTAL] > a->hour.held_before[HELD_BY_MAX_TOTAL];
    uint32_t needed = holds ? account_needed(a, a->policy->maxTotalSockets) : 0;
    uint32_t kept = account_costs(a, replaced(RETIRE_EVICTED)) ? a->most_sockets : 0;

    return max32(needed, kept);
}

uint32_t account_busiest(const struct agent *a, const struct origin **out, uint32_t room)
{
    const struct agent *share;
    const struct origin *o;
    uint32_t all = 0;

    AGENT_FOREACH_ORIGIN (a, share, o) {
        uint32_t at = min32(all, room);

        while (at > 0 && out[at - 1]->stats.requests < o->stats.requests) {
            if (at < room)
                out[at] = out[at - 1];
            at--;
        }
        if (at < room)
            out[at] = o;
        all++;
    }
    return all;
}
