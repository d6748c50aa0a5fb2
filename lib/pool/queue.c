#include "pool/queue.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "pool/pool.h"
#include "pool/spares.h"

static void enter_blocked(struct waiter *p, bool at_head)
{
    struct origin *o = p->origin;
    if (at_head)
        TAILQ_INSERT_HEAD(&o->blocked, p, link);
    else
        TAILQ_INSERT_TAIL(&o->blocked, p, link);
    p->state = WAITER_BLOCKED;
    p->blocked_since_us = clock_us();
    if (o->blocked_count++ == 0)
        TAILQ_INSERT_TAIL(&o->agent->blocked, o, blocked_link);
    forget_update(o);
}

static void enter_waiting(struct waiter *p, bool at_head)
{
    struct origin *o = p->origin;
    if (at_head)
        TAILQ_INSERT_HEAD(&o->waiting, p, link);
    else
        TAILQ_INSERT_TAIL(&o->waiting, p, link);
    p->state = WAITER_WAITING;
    o->waiting_count++;
    forget_update(o);
}

/* Takes a waiter off the list it stands on. */
static void leave(struct waiter *p)
{
    struct origin *o = p->origin;
    switch (p->state) {
    case WAITER_BLOCKED:
        TAILQ_REMOVE(&o->blocked, p, link);
        p->pending_us += clock_us() - p->blocked_since_us;
        if (--o->blocked_count == 0)
            TAILQ_REMOVE(&o->agent->blocked, o, blocked_link);
        break;
    case WAITER_WAITING:
        TAILQ_REMOVE(&o->waiting, p, link);
        o->waiting_count--;
        break;
    case WAITER_SETTLED: TAILQ_REMOVE(&o->agent->pool->settled, p, link); break;
    case WAITER_OWNER:
    case WAITER_IDLE: break;
    }
    p->state = WAITER_IDLE;
    forget_update(o);
}

/* Once a request, whatever came of its waiting. */
static void note_wait(const struct waiter *p)
{
    if (p->how == ACQUIRE_NEW)
        histogram_add(&p->origin->stats.pending, p->pending_us);
}

static void settle(struct waiter *p)
{
    leave(p);
    note_wait(p);
    p->state = WAITER_SETTLED;
    TAILQ_INSERT_TAIL(&p->origin->agent->pool->settled, p, link);
}

struct waiter *queue_oldest(const struct origin *o)
{
    if (!TAILQ_EMPTY(&o->waiting))
        return TAILQ_FIRST(&o->waiting);
    return o->agent->paused ? NULL : TAILQ_FIRST(&o->blocked);
}

struct waiter *queue_oldest_elsewhere(const struct agent *a, const struct origin *but)
{
    struct waiter *oldest = NULL;
    struct origin *o;
    if (a->paused)
        return NULL;
    TAILQ_FOREACH (o, &a->blocked, blocked_link) {
        struct waiter *p = TAILQ_FIRST(&o->blocked);
        if (o != but && origin_below_max(o) && (!oldest || p->since_us < oldest->since_us))
            oldest = p;
    }
    return oldest;
}

void queue_give(struct waiter *p, struct socket *s)
{
    struct origin *o = p->origin;
    assert(s->state == SOCKET_ACTIVE);
    settle(p);
    p->socket = s;
    conn_set_owner(&s->conn, NULL, NULL); /* until it is told, at the end of the turn */
    queue_balance(o);
}

void queue_fail(struct waiter *p, enum connect_error error, const char *text)
{
    settle(p);
    p->socket = NULL;
    p->error = error;
    snprintf(p->error_text, sizeof p->error_text, "%s", text);
}

void queue_connect_failed(struct origin *o, const struct connect_result *r)
{
    struct waiter *p = TAILQ_FIRST(&o->waiting);
    if (p)
        queue_fail(p, r->error, r->text);
    /* More connections than waiters: this one was a spare. */
    if (!p || o->connecting_count - o->owned_count > o->waiting_count)
        spares_back_off(o);
    queue_balance(o);
}

void queue_balance(struct origin *o)
{
    uint32_t shared = o->connecting_count - o->owned_count;
    while (o->waiting_count > shared) {
        struct waiter *p = TAILQ_LAST(&o->waiting, waiter_list);
        leave(p);
        enter_blocked(p, true);
        if (p->blocked)
            p->blocked(p);
        agent_mark_dirty(o->agent);
    }
    while (!o->agent->paused && o->waiting_count < shared && !TAILQ_EMPTY(&o->blocked)) {
        struct waiter *p = TAILQ_FIRST(&o->blocked);
        leave(p);
        enter_waiting(p, false);
    }
}

static struct socket *take_free(struct origin *o)
{
    struct socket *s = o->agent->policy->scheduling == SCHEDULING_LIFO ? TAILQ_FIRST(&o->free)
                                                                       : TAILQ_LAST(&o->free, socket_list);
    if (!s)
        return NULL;
    socket_end_idle(s);
    if (o->agent->policy->minFreeSockets)
        agent_mark_dirty(o->agent);
    return s;
}

static bool serve_oldest(struct origin *o)
{
    struct waiter *p = TAILQ_FIRST(&o->blocked);
    assert(p && !o->agent->paused);
    struct socket *s = take_free(o);
    if (s) {
        queue_give(p, s);
        return true;
    }
    if (!origin_below_max(o) || !agent_make_room(o->agent, o))
        return false;
    if (!socket_connect(o, NULL, OPENED_FOR_CONCURRENCY)) {
        queue_fail(p, CONNECT_NO_RESOURCES, "out of memory for another connection");
        return true;
    }
    queue_balance(o);
    return true;
}

/* The origin whose oldest blocked request is the oldest of those that can be served at all. */
static struct origin *next_to_serve(const struct agent *a)
{
    struct origin *best = NULL, *o;
    uint64_t since = UINT64_MAX;
    TAILQ_FOREACH (o, &a->blocked, blocked_link) {
        const struct waiter *p = TAILQ_FIRST(&o->blocked);
        bool possible = o->free_count > 0 || (origin_below_max(o) && agent_could_make_room(a, o));
        if (possible && p->since_us < since) {
            since = p->since_us;
            best = o;
        }
    }
    return best;
}

void queue_serve(struct agent *a)
{
    struct origin *o;
    while (!a->paused && (o = next_to_serve(a)))
        if (!serve_oldest(o))
            break;
}

/* Counts a request that finds no place, by what keeps it from one. */
static void note_held(struct origin *o)
{
    bool by_total = origin_below_max(o) && agent_is_full(o->agent);
    o->stats.held[o->agent->paused ? HELD_BY_PAUSE : by_total ? HELD_BY_MAX_TOTAL : HELD_BY_MAX_SOCKETS]++;
}

/* Whether a further request, for which there is no place, is refused; counts both. */
static bool queue_is_full(struct origin *o)
{
    note_held(o);
    bool full = o->blocked_count >= o->agent->policy->maxPendingRequests;
    o->stats.queue_full += full;
    return full;
}

/* A new connection for this request, or the queue. */
static enum acquire_result join_queue(struct origin *o, struct waiter *p, bool at_head)
{
    bool paused = o->agent->paused;
    /* A spare that is being opened serves a request as well as a connection that it would open itself. */
    bool served_by_spare = !paused && o->connecting_count - o->owned_count > o->waiting_count;
    bool may_connect = !paused && !served_by_spare && (at_head || o->blocked_count == 0) &&
                       origin_below_max(o) && agent_make_room(o->agent, o);
    if (may_connect && !socket_connect(o, NULL, OPENED_FOR_CONCURRENCY))
        return ACQUIRE_NO_MEMORY;
    if (may_connect || served_by_spare) {
        enter_waiting(p, at_head);
        if (o->agent->policy->minFreeSockets)
            agent_mark_dirty(o->agent); /* another spare is due */
        return ACQUIRE_WAITS;
    }
    if (at_head && o->waiting_count > 0) {
        enter_waiting(p, true);
        queue_balance(o); /* the last of those who waited for a connection waits for a place now */
        return ACQUIRE_WAITS;
    }
    if (!at_head && queue_is_full(o))
        return ACQUIRE_QUEUE_FULL;
    enter_blocked(p, at_head);
    return ACQUIRE_WAITS;
}

static enum acquire_result own_connection(struct origin *o, struct waiter *p)
{
    p->socket = socket_connect(o, p, OPENED_FOR_RETRY);
    if (!p->socket)
        return ACQUIRE_NO_MEMORY;
    p->state = WAITER_OWNER;
    return ACQUIRE_WAITS;
}

static void begin_acquire(struct origin *o, struct waiter *p, enum acquire_how how)
{
    assert(p->state == WAITER_IDLE);
    p->origin = o;
    p->socket = NULL;
    p->bound = false;
    p->how = how;
    p->since_us = clock_us();
    o->last_request_ms = clock_ms();
    if (how == ACQUIRE_NEW) {
        o->stats.requests++;
        p->pending_us = 0;
    }
}

enum acquire_result origin_acquire(struct origin *o, struct waiter *p, enum acquire_how how)
{
    struct agent *a = o->agent;
    begin_acquire(o, p, how);
    if (how == ACQUIRE_OWN_CONNECTION)
        return own_connection(o, p);
    if (a->dirty)
        agent_serve(a); /* places that came free in this turn belong to those who waited */
    if (!a->paused && o->waiting_count == 0 && (p->socket = take_free(o))) {
        note_wait(p);
        return ACQUIRED;
    }
    return join_queue(o, p, how == ACQUIRE_AGAIN);
}

enum acquire_result origin_acquire_own(struct origin *o, struct waiter *p, enum acquire_how how,
                                       struct socket *own)
{
    assert(own->state == SOCKET_PRIVATE && own->origin == o);
    begin_acquire(o, p, how);
    if (!o->agent->paused) {
        note_wait(p);
        socket_take_private(own);
        p->socket = own;
        return ACQUIRED;
    }
    if (how == ACQUIRE_NEW && queue_is_full(o))
        return ACQUIRE_QUEUE_FULL;
    p->bound = true;
    enter_blocked(p, how == ACQUIRE_AGAIN);
    return ACQUIRE_WAITS;
}

void queue_resume(struct origin *o)
{
    struct waiter *p, *next;
    TAILQ_FOREACH_SAFE (p, &o->blocked, link, next) {
        if (!p->bound)
            continue;
        p->error = CONNECT_OK;
        settle(p);
    }
    queue_balance(o);
}

uint64_t origin_oldest_pending_us(const struct origin *o)
{
    const struct waiter *p = TAILQ_FIRST(&o->blocked);
    return p ? p->pending_us + clock_us() - p->blocked_since_us : 0;
}

void waiter_cancel(struct waiter *p)
{
    struct origin *o = p->origin;
    enum waiter_state was = p->state;
    struct socket *s = p->socket;
    if (was == WAITER_IDLE)
        return;
    leave(p);
    p->socket = NULL;
    if (was != WAITER_SETTLED)
        note_wait(p);
    if (was == WAITER_OWNER) {
        s->owner = NULL;
        o->owned_count--;
    } else if (was == WAITER_SETTLED && s) {
        socket_return_unused(s);
    }
    queue_balance(o);
}
