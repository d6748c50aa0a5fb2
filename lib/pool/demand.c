#include "pool/demand.h"

#include <assert.h>

#include "base/clock.h"
#include "base/minmax.h"
#include "pool/agent.h"

/* Another thread's clock may have been read earlier. */
static void settle(struct origin *o)
{
    uint64_t now = clock_us();
    if (now <= o->settled_us)
        return;
    o->stats.used_us += o->in_flight * (now - o->settled_us);
    o->settled_us = now;
}

void demand_rise(struct origin *o, uint32_t *part, uint32_t by)
{
    settle(o);
    *part += by;
    o->demand.now += by;
    o->agent->demand.now += by;
}

void demand_fall(struct origin *o, uint32_t *part, uint32_t by)
{
    assert(*part >= by);
    settle(o);
    *part -= by;
    o->demand.now -= by;
    o->agent->demand.now -= by;
}

static void note(struct demand *d)
{
    d->peak = max32(d->peak, d->now);
}

void demand_note(struct origin *o)
{
    note(&o->demand);
    note(&o->agent->demand);
}

uint32_t demand_peak_of_agent(const struct agent *a)
{
    uint32_t now = 0, peak = 0;
    for (const struct agent *share = a; share; share = share->next_share) {
        now += share->demand.now;
        peak = max32(peak, share->demand.peak);
    }
    return max32(now, peak);
}

void demand_settle(struct agent *a)
{
    struct agent *share;
    struct origin *o;
    AGENT_FOREACH_ORIGIN (a, share, o)
        settle(o);
}

void demand_restart(struct agent *a)
{
    struct agent *share;
    struct origin *o;
    AGENT_FOREACH_ORIGIN (a, share, o)
        o->demand.peak = o->demand.now;
    for (share = a; share; share = share->next_share)
        share->demand.peak = share->demand.now;
}
