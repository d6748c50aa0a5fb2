#include "pool/forget.h"

#include "base/clock.h"
#include "base/minmax.h"
#include "pool/pool.h"

static enum origin_keeping keeping_of(const struct origin *o)
{
    if (o->exact || !origin_is_empty(o))
        return ORIGIN_KEPT;
    return o->moved || o->stats.opened == 0 ? ORIGIN_UNREACHED : ORIGIN_EMPTY;
}

/* An agent that is spread over the pools has a part of it in each. */
static uint32_t most_of(const struct agent *a, enum origin_keeping keeping)
{
    uint32_t most = keeping == ORIGIN_EMPTY ? FORGET_EMPTY_MAX : FORGET_UNREACHED_MAX;
    return a->spread ? most / a->pool->workers : most;
}

void forget_leave(struct origin *o)
{
    if (o->keeping == ORIGIN_KEPT)
        return;
    TAILQ_REMOVE(&o->agent->empty[o->keeping], o, empty_link);
    o->agent->empty_count[o->keeping]--;
    o->keeping = ORIGIN_KEPT;
}

void forget_update(struct origin *o)
{
    struct agent *a = o->agent;
    enum origin_keeping keeping = keeping_of(o);
    if (keeping == o->keeping)
        return;
    forget_leave(o);
    if (keeping == ORIGIN_KEPT)
        return;
    o->keeping = keeping;
    o->empty_since_ms = clock_ms();
    TAILQ_INSERT_TAIL(&a->empty[keeping], o, empty_link);
    if (++a->empty_count[keeping] > most_of(a, keeping))
        a->pool->trim_due = true;
}

static void forget_older(struct agent *a, enum origin_keeping keeping, uint64_t empty_ms)
{
    struct origin *o;
    while ((o = TAILQ_FIRST(&a->empty[keeping])) && clock_ms() - o->empty_since_ms >= empty_ms)
        origin_forget(o);
}

void forget_old(struct agent *a, uint64_t empty_ms)
{
    forget_older(a, ORIGIN_EMPTY, empty_ms);
    forget_older(a, ORIGIN_UNREACHED, min64(empty_ms, FORGET_UNREACHED_MS));
}

void forget_excess(struct agent *a)
{
    for (enum origin_keeping k = ORIGIN_EMPTY; k < ORIGIN_KEEPINGS; k++)
        while (a->empty_count[k] > most_of(a, k))
            origin_forget(TAILQ_FIRST(&a->empty[k]));
}
