#include "pool/spares.h"

#include "base/clock.h"
#include "base/minmax.h"
#include "pool/pool.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS   30000
/* What clients asked for is kept warm this long after the last request. */
#define INTEREST_MS (10 * 60 * 1000)

/* Several that fail together are one failure. */
void spares_back_off(struct origin *o)
{
    if (clock_ms() < o->spare_not_before_ms)
        return;
    uint64_t wait = (uint64_t)BACKOFF_FIRST_MS << min32(o->spare_failures, 5);
    o->spare_failures++;
    o->spare_not_before_ms = clock_ms() + min64(wait, BACKOFF_MAX_MS);
}

/* What can end a connection that carries nothing by what its peer did. */
static bool is_by_peer(enum retire_reason reason)
{
    return reason == RETIRE_PEER_CLOSED || reason == RETIRE_UNEXPECTED_DATA || reason == RETIRE_ERROR ||
           reason == RETIRE_PROTOCOL_ERROR || reason == RETIRE_GOAWAY || reason == RETIRE_FLOOD;
}

/* All of them may end once, as at a restart of their origin. */
void spares_retired(const struct socket *s, enum retire_reason reason)
{
    struct origin *o = s->origin;
    bool is_young = s->exchanges == 0 && clock_ms() - s->opened_ms < BACKOFF_FIRST_MS;
    if (s->state == SOCKET_FREE && is_young && is_by_peer(reason) &&
        o->spare_ends++ >= o->agent->policy->minFreeSockets)
        spares_back_off(o);
}

void spares_forget_failures(const struct socket *s)
{
    struct origin *o = s->origin;
    if (s->opened_ms < o->spare_not_before_ms)
        return;
    if (o->spare_failures > 0)
        agent_mark_short(o); /* the others may follow */
    o->spare_failures = 0;
    o->spare_ends = 0;
}

static bool wants_spares(const struct origin *o)
{
    const struct agent *a = o->agent;
    if (a->removed || o->moved || a->pool->stopping || a->policy->minFreeSockets == 0 ||
        clock_ms() < o->spare_not_before_ms)
        return false;
    return o->warm || (o->last_request_ms && clock_ms() - o->last_request_ms < INTEREST_MS);
}

/* Adds up room until there is enough. */
static uint32_t add_room(const struct socket_list *list, uint32_t room, uint32_t enough)
{
    const struct socket *s;
    TAILQ_FOREACH (s, list, link) {
        if (room >= enough)
            break;
        /* One on which its peer lets nothing begin for now will have room: more of its kind are no help. */
        room += s->capacity == 0 ? 1 : socket_room(s);
    }
    return room;
}

/* Of sockets that are being opened: those that are promised to none. */
static uint32_t spare_places(const struct origin *o)
{
    return o->connecting_places > o->waiting_count ? o->connecting_places - o->waiting_count : 0;
}

/* Requests that could begin at once: a place each, on whatever socket, or on one that is being opened. */
static bool has_enough(const struct origin *o)
{
    uint32_t enough = o->agent->policy->minFreeSockets;
    return add_room(&o->roomy, add_room(&o->free, spare_places(o), enough), enough) >= enough;
}

/* One more would be closed as soon as it is open. */
static bool is_free_full(const struct origin *o)
{
    return (uint64_t)o->free_count + spare_places(o) >= o->agent->policy->maxFreeSockets;
}

/* After a failure, one connection at a time shows whether the next ones would fail, too. */
static bool waits_for_trial(const struct origin *o)
{
    return o->spare_failures > 0 && spare_places(o) > 0;
}

void spares_open(struct origin *o)
{
    const struct agent *a = o->agent;
    if (!wants_spares(o))
        return;
    while (!has_enough(o) && !is_free_full(o) && origin_below_max(o) && !agent_is_full(a) &&
           !waits_for_trial(o)) {
        if (!socket_connect(o, NULL, OPENED_FOR_SPARE))
            return;
    }
}
