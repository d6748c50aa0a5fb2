#include "admin/history.h"

#include <stdlib.h>

#include "admin/agents.h"
#include "admin/past.h"
#include "base/clock.h"
#include "base/minmax.h"

#define MINUTE_MS (60 * 1000)

struct history {
    const struct admin_daemon *daemon;
    struct past_table pasts;
    uint64_t minute_began_ms, looked_ms;
    uint64_t count; /* of minutes that are over; the newest is at (count - 1) % HISTORY_MINUTES */
    struct {
        uint64_t end_wall_ms;
        uint64_t ms;
    } slots[HISTORY_MINUTES];
};

struct history *history_new(const struct admin_daemon *daemon)
{
    struct history *h = calloc(1, sizeof *h);

    if (!h)
        return NULL;
    h->daemon = daemon;
    h->minute_began_ms = h->looked_ms = clock_ms();
    history_note_limits(h);
    return h;
}

void history_free(struct history *h)
{
    if (!h)
        return;
    past_free_all(&h->pasts);
    free(h);
}

/* Looking */

/* What is there now. */
static void note_now(struct history *h, struct past *p, const struct groups *now, uint32_t demand)
{
    struct span *s = &p->running;

    p->looked_ms = h->looked_ms;
    s->active = max32(s->active, now->active);
    s->connecting = max32(s->connecting, now->connecting);
    s->free = max32(s->free, now->free);
    s->waiting = max32(s->waiting, now->pending);
    s->demand = max32(s->demand, demand);
}

static void take_running(const struct past *p, const struct origin_stats *stats, struct span *out)
{
    static const struct origin_stats none;
    bool anew = stats->requests < p->base.requests || stats->opened < p->base.opened;

    *out = p->running;
    span_between(anew ? &none : &p->base, stats, out);
}

/* What is left of one that lives in another worker is not: there is one past of both, and it is that one's. */
static bool is_busy(const struct history *h, const struct origin *o)
{
    return !o->moved && (origin_sockets(o) > 0 || o->blocked_count > 0 || o->last_request_ms >= h->looked_ms);
}

/* Where it was there before, what it did then is no part of this minute. */
static struct past *past_of_origin(struct history *h, const struct agent *a, const struct origin *o)
{
    struct past *p = past_find(&h->pasts, a, o);
    bool known = p && p->created_ms == o->created_ms;

    if (known)
        return p;
    p = p ? p : past_make(&h->pasts, a, o);
    if (!p)
        return NULL;
    p->created_ms = o->created_ms;
    p->base = o->created_ms < h->looked_ms ? o->stats : (struct origin_stats){0};
    return p;
}

static void look_at_origin(struct history *h, const struct agent *a, const struct origin *o,
                           const struct groups *now)
{
    struct past *p = is_busy(h, o) ? past_of_origin(h, a, o) : NULL;

    if (!p)
        return;
    note_now(h, p, now, o->demand.peak);
    take_running(p, &o->stats, &p->running);
}

static void look_at_agent(struct history *h, const struct agent *a)
{
    struct past *p = past_find(&h->pasts, a, NULL);
    const struct agent *share;
    const struct origin *o;
    struct groups all = {0};

    AGENT_FOREACH_ORIGIN (a, share, o) {
        struct groups now;

        origin_groups(o, &now);
        look_at_origin(h, a, o, &now);
        groups_add(&all, &now);
    }
    if (!p)
        p = past_make(&h->pasts, a, NULL);
    if (p)
        note_now(h, p, &all, demand_peak_of_agent(a));
}

static void begin_tenure(const struct history *h, struct past *p, const struct agent *a,
                         const struct origin_stats *stats)
{
    struct span running;

    take_running(p, stats, &running);
    tenure_begin(&p->tenure, a->policy, h->count, &running);
}

static void begin_tenures(struct history *h, struct past *p, const struct agent *a)
{
    struct agent_totals totals;
    const struct agent *share;
    const struct origin *o;

    agent_totals(a, &totals);
    begin_tenure(h, p, a, &totals.stats);
    AGENT_FOREACH_ORIGIN (a, share, o) {
        p = is_busy(h, o) ? past_of_origin(h, a, o) : past_find(&h->pasts, a, o);
        if (p && p->created_ms == o->created_ms)
            begin_tenure(h, p, a, &o->stats);
    }
}

void history_note_limits(struct history *h)
{
    const struct agent *a;

    TAILQ_FOREACH (a, &h->daemon->pools[0]->agents, link) {
        struct past *p = past_find(&h->pasts, a, NULL);

        if (!p)
            past_make(&h->pasts, a, NULL);
        else if (!tenure_holds(&p->tenure, a->policy))
            begin_tenures(h, p, a);
    }
}

void history_settle(const struct history *h)
{
    struct agent *a;

    TAILQ_FOREACH (a, &h->daemon->pools[0]->agents, link)
        demand_settle(a);
}

static void look_at_all(struct history *h)
{
    struct agent *a;

    history_note_limits(h);
    history_settle(h);
    TAILQ_FOREACH (a, &h->daemon->pools[0]->agents, link) {
        look_at_agent(h, a);
        demand_restart(a);
    }
    h->looked_ms = clock_ms();
}

/* The running minute up to now. What came since the last look, or is new since then, counts as looked at. */
static struct span running_now(const struct history *h, const struct agent *a, const struct origin *o)
{
    static const struct past nothing;
    const struct past *p = past_find(&h->pasts, a, o);
    struct agent_totals totals;
    const struct origin_stats *stats = &totals.stats;
    struct past seen;

    if (o && (p ? p->created_ms != o->created_ms : o->created_ms < h->looked_ms))
        return p ? p->running : nothing.running;
    if (o)
        stats = &o->stats;
    else
        agent_totals(a, &totals);
    seen = p ? *p : nothing;
    seen.running.demand = max32(seen.running.demand, o ? o->demand.peak : demand_peak_of_agent(a));
    take_running(&seen, stats, &seen.running);
    return seen.running;
}

/* The end of a minute */

/* Begins the next minute of a past with what the counters are now. */
static void rebase(struct past *p, const struct origin_stats *stats)
{
    take_running(p, stats, &p->running);
    p->base = *stats;
}

static void rebase_agent(struct history *h, const struct agent *a)
{
    struct past *p = past_find(&h->pasts, a, NULL);
    const struct agent *share;
    const struct origin *o;
    struct agent_totals totals;

    if (p) {
        agent_totals(a, &totals);
        rebase(p, &totals.stats);
    }
    AGENT_FOREACH_ORIGIN (a, share, o) {
        p = o->stats.requests + o->stats.opened > 0 ? past_find(&h->pasts, a, o) : NULL;
        if (p && p->created_ms == o->created_ms)
            rebase(p, &o->stats);
    }
}

/* Its minute goes into the slot of all. What the counters were is kept after a quiet hour, too. */
static void push(const struct history *h, struct past *p, const struct span *minute)
{
    bool quiet = span_is_empty(minute);

    p->quiet_minutes = quiet ? p->quiet_minutes + 1 : 0;
    if (p->quiet_minutes >= HISTORY_MINUTES) {
        free(p->minutes);
        p->minutes = NULL;
    } else if (!p->minutes && !quiet) {
        p->minutes = calloc(HISTORY_MINUTES, sizeof *p->minutes);
    }
    if (p->minutes)
        p->minutes[h->count % HISTORY_MINUTES] = *minute;
}

/* `ended_ms` ago. */
static void end_slot(struct history *h, uint64_t ms, uint64_t ended_ms)
{
    h->slots[h->count % HISTORY_MINUTES].end_wall_ms = clock_wall_ms() - ended_ms;
    h->slots[h->count % HISTORY_MINUTES].ms = ms;
    h->count++;
}

static void end_minute(struct history *h, uint64_t ms, uint64_t ended_ms)
{
    struct past *p, *next;
    const struct agent *a;

    look_at_all(h);
    TAILQ_FOREACH (a, &h->daemon->pools[0]->agents, link)
        rebase_agent(h, a);
    PAST_FOREACH (&h->pasts, p, next) {
        push(h, p, &p->running);
        p->running = (struct span){0};
        if (!p->is_origin && p->looked_ms + MINUTE_MS < h->minute_began_ms) /* no longer configured */
            past_free(&h->pasts, p);
    }
    end_slot(h, ms, ended_ms);
    h->minute_began_ms = clock_ms();
}

void history_end_minute(struct history *h)
{
    end_minute(h, clock_ms() - h->minute_began_ms, 0);
}

/* Time without a look: the process was stopped, or its machine was. */

static bool was_asked_lately(const struct history *h)
{
    const struct agent *a, *share;
    const struct origin *o;

    TAILQ_FOREACH (a, &h->daemon->pools[0]->agents, link)
        AGENT_FOREACH_ORIGIN (a, share, o) {
            if (o->last_request_ms + MINUTE_MS > clock_ms())
                return true;
        }
    return false;
}

static bool was_asked_in_this_minute(const struct history *h)
{
    const struct agent *a;

    TAILQ_FOREACH (a, &h->daemon->pools[0]->agents, link)
        if (running_now(h, a, NULL).requests > 0)
            return true;
    return false;
}

/* What came since the last look came before the gap or after it, as the last request did. */
void history_skip(struct history *h, uint64_t gap_ms)
{
    static const struct span nothing;
    uint64_t ran_ms = h->looked_ms - h->minute_began_ms, minutes = gap_ms / MINUTE_MS,
             rest_ms = gap_ms % MINUTE_MS;
    struct past *p, *next;

    look_at_all(h);
    if (was_asked_in_this_minute(h) && !was_asked_lately(h)) {
        end_minute(h, ran_ms, gap_ms);
        ran_ms = 0;
    }
    h->minute_began_ms = clock_ms() - ran_ms - rest_ms;
    for (uint64_t left = min64(minutes, HISTORY_MINUTES); left > 0; left--) {
        PAST_FOREACH (&h->pasts, p, next)
            push(h, p, &nothing);
        end_slot(h, MINUTE_MS, (left - 1) * MINUTE_MS + rest_ms);
    }
}

void history_sample(struct history *h)
{
    uint64_t gap_ms = clock_ms() - h->looked_ms;

    if (gap_ms >= MINUTE_MS)
        history_skip(h, gap_ms);
    if (clock_ms() - h->minute_began_ms >= MINUTE_MS)
        history_end_minute(h);
    else
        look_at_all(h);
}

/* Asking */

/* Its slot, `back` before the running one, which is 0. */
static uint32_t slot(const struct history *h, uint32_t back)
{
    return (uint32_t)((h->count - back) % HISTORY_MINUTES);
}

/* How many minutes ended within the last hour. */
static uint32_t remembered(const struct history *h)
{
    uint64_t age_ms = clock_ms() - h->minute_began_ms;
    uint32_t n = 0;

    while (n < h->count && n < HISTORY_MINUTES && age_ms < HISTORY_MINUTES * MINUTE_MS)
        age_ms += h->slots[slot(h, ++n)].ms;
    return n;
}

uint64_t history_ms(const struct history *h)
{
    uint64_t ms = clock_ms() - h->minute_began_ms;

    for (uint32_t back = remembered(h); back > 0; back--)
        ms += h->slots[slot(h, back)].ms;
    return ms;
}

/* Of the running minute. But for the very first one, what is still to come of it counts, too: it can but add. */
static uint64_t running_ms(const struct history *h, uint32_t minutes)
{
    uint64_t ms = clock_ms() - h->minute_began_ms;

    return minutes > 0 ? max64(ms, MINUTE_MS) : ms;
}

void history_hour(const struct history *h, const struct agent *a, const struct origin *o, struct span *out)
{
    const struct past *p = past_find(&h->pasts, a, o);
    uint32_t minutes = remembered(h);

    *out = running_now(h, a, o);
    load_add(&out->load, out, running_ms(h, minutes));
    if (p)
        tenure_add_before(&p->tenure, h->count, out, out);
    for (uint32_t back = 1; p && p->minutes && back <= minutes; back++) {
        const struct span *minute = &p->minutes[slot(h, back)];

        span_add(out, minute);
        load_add(&out->load, minute, h->slots[slot(h, back)].ms);
        tenure_add_before(&p->tenure, h->count - back, minute, out);
    }
}

const struct admin_daemon *history_daemon(const struct history *h)
{
    return h->daemon;
}

bool history_knows(const struct history *h, const struct agent *a, const struct origin *o)
{
    return past_find(&h->pasts, a, o) != NULL;
}

void history_each_minute(const struct history *h, const struct agent *a, const struct origin *o,
                         history_take *take, struct text *t)
{
    const struct past *p = past_find(&h->pasts, a, o);
    const struct span now = running_now(h, a, o);

    for (uint32_t back = remembered(h); back > 0; back--) {
        uint32_t i = slot(h, back);

        take(t, h->slots[i].end_wall_ms, h->slots[i].ms, p && p->minutes ? &p->minutes[i] : NULL);
    }
    take(t, clock_wall_ms(), clock_ms() - h->minute_began_ms, &now);
}
