/* How a request asks for a place: at once, on a connection to come, or in the queue. */

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "pool/idle.h"
#include "pool/pool.h"
#include "pool/protocol.h"
#include "pool/queue_internal.h"
#include "pool/turns.h"

/* The newest of the caller that has most in the queue goes, if this one's caller has fewer. */
static bool displace(const struct waiter *p)
{
    struct origin *o = p->origin;
    struct waiter *other = turns_displaced_by(p);
    bool only = o->blocked_count == 1;
    char text[256];
    if (!other)
        return false;
    snprintf(
        text, sizeof text,
        "queue full: %u request%s waiting (maxPendingRequests)%s: one of another caller took the place of "
        "this one (queue: fair)",
        o->blocked_count, only ? "" : "s", only ? "" : ", most of them this caller's");
    queue_fail(other, CONNECT_OK, text);
    other->displaced = true;
    o->stats.displaced++;
    return true;
}

/* Whether a further request, for which there is no place, may wait; counts both. */
static bool may_wait(const struct waiter *p)
{
    struct origin *o = p->origin;
    o->stats.held[queue_held_by(o)]++;
    if (o->blocked_count < o->agent->policy->maxPendingRequests || displace(p))
        return true;
    o->stats.queue_full++;
    return false;
}

/* Whether the connections that are being opened have a place for it, after those that are older. */
static bool has_place_to_come(const struct origin *o, const struct waiter *p)
{
    const struct waiter *blocked = TAILQ_FIRST(&o->blocked), *last = TAILQ_LAST(&o->waiting, waiter_list);
    if (blocked && !waiter_is_before(p, blocked))
        return false;
    if (last && waiter_is_before(p, last))
        return true; /* at the expense of the last one, where it must be */
    return !o->agent->paused && o->waiting_count < queue_places_to_come(o);
}

/* The same for a request that HTTP/2 is no use to. */
static enum acquire_result join_for_http1(struct origin *o, struct waiter *p)
{
    bool again = p->how == ACQUIRE_AGAIN;
    if (!o->agent->paused && (again || o->blocked_count == 0) && queue_could_connect_http1(o))
        return queue_connect_http1(p) ? ACQUIRE_WAITS : ACQUIRE_NO_MEMORY;
    if (!again && !may_wait(p))
        return ACQUIRE_QUEUE_FULL;
    queue_enter_blocked(p, again);
    return ACQUIRE_WAITS;
}

/* A new connection for this request, or the queue. */
static enum acquire_result join_queue(struct origin *o, struct waiter *p)
{
    bool again = p->how == ACQUIRE_AGAIN;
    if (!waiter_takes_http2(p))
        return join_for_http1(o, p);
    bool connects = !o->agent->paused && o->waiting_count >= queue_places_to_come(o) &&
                    (again || o->blocked_count == 0) && queue_may_connect(o) && queue_make_room(o);
    if (connects && !socket_connect(o, NULL, OPENED_FOR_CONCURRENCY))
        return ACQUIRE_NO_MEMORY;
    if (has_place_to_come(o, p)) {
        queue_enter_waiting(p);
        if (o->agent->policy->minFreeSockets)
            agent_mark_short(o); /* another spare is due */
    } else if (!again && !may_wait(p)) {
        return ACQUIRE_QUEUE_FULL;
    } else if (!again || !queue_take_over(p)) {
        queue_enter_blocked(p, again);
    }
    queue_balance(o);
    return ACQUIRE_WAITS;
}

static enum acquire_result own_connection(struct origin *o, struct waiter *p)
{
    struct socket *s = socket_connect(o, p, OPENED_FOR_RETRY);
    if (!s)
        return ACQUIRE_NO_MEMORY;
    queue_own(p, s);
    return ACQUIRE_WAITS;
}

static void begin_acquire(struct waiter *p)
{
    struct origin *o = p->origin;
    assert(p->state == WAITER_IDLE);
    if (o->http1_until_ms)
        protocol_update(o);
    p->socket = NULL;
    p->bound = p->displaced = false;
    p->error_text = NULL;
    /* The failed socket of others, too, left one place only: those who share it share the next one. A pause
     * holds the last repeat as it holds those before, and so does a limit that leaves no such place: it was
     * lowered, or the socket was one that counted under none. */
    bool has_no_place = !origin_below_max(o) || agent_is_full(o->agent);
    bool is_as_others = o->protocol == PROTOCOL_HTTP2 || o->agent->paused || has_no_place;
    if (p->how == ACQUIRE_OWN_CONNECTION && is_as_others)
        p->how = ACQUIRE_AGAIN;
    o->last_request_ms = clock_ms();
    if (p->how == ACQUIRE_NEW) {
        o->stats.requests++;
        p->nth = ++o->agent->pool->asked;
        p->waited = p->pending = (struct stopwatch){0};
    }
}

/* Who waits is timed from here until it is told, or gives up. */
static enum acquire_result joined(struct waiter *p, enum acquire_result result)
{
    demand_note(p->origin);
    if (result == ACQUIRE_WAITS)
        stopwatch_start(&p->waited);
    return result;
}

enum acquire_result origin_acquire(struct waiter *p)
{
    struct origin *o = p->origin;
    struct agent *a = o->agent;
    begin_acquire(p);
    if (p->how == ACQUIRE_OWN_CONNECTION)
        return joined(p, own_connection(o, p));
    if (a->pool->suspended_us != clock_suspended_us())
        idle_note_suspend(a->pool);
    if (a->dirty)
        agent_serve(a); /* places that came free in this turn belong to those who waited */
    /* No request overtakes the one that waits for a connection that HTTP/2 gives up. */
    bool is_next = o->waiting_count == 0 && (o->blocked_count == 0 || waiter_takes_http2(turns_next(o)));
    if (!a->paused && is_next && origin_may_begin(o) && (p->socket = queue_find_place(o, p))) {
        socket_take(p->socket);
        queue_note_wait(p);
        return joined(p, ACQUIRED);
    }
    return joined(p, join_queue(o, p));
}

enum acquire_result origin_acquire_own(struct waiter *p, struct socket *own)
{
    struct origin *o = p->origin;
    assert(own->state == SOCKET_PRIVATE && own->in_use == 1 && own->unbegun == 0 && own->origin == o);
    begin_acquire(p);
    if (!o->agent->paused) {
        queue_note_wait(p);
        socket_take_private(own);
        p->socket = own;
        own->unbegun++;
        return joined(p, ACQUIRED);
    }
    bool again = p->how != ACQUIRE_NEW;
    if (!again && !may_wait(p))
        return ACQUIRE_QUEUE_FULL;
    p->bound = true;
    queue_enter_blocked(p, again);
    return joined(p, ACQUIRE_WAITS);
}
