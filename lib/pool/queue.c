#include "pool/queue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/minmax.h"
#include "pool/idle.h"
#include "pool/pool.h"
#include "pool/protocol.h"
#include "pool/queue_internal.h"
#include "pool/spares.h"
#include "pool/turns.h"

/* A place that was lost for a shorter time is no matter: often the next one is there at once. */
#define HELD_US 1000

bool waiter_is_before(const struct waiter *p, const struct waiter *q)
{
    bool p_again = p->how == ACQUIRE_AGAIN, q_again = q->how == ACQUIRE_AGAIN;
    return p_again != q_again ? p_again : p->nth < q->nth;
}

const void *waiter_caller(const struct waiter *p)
{
    return p->origin->agent->pool->waiter_owner->caller(p);
}

static void insert_in_order(struct waiter_list *list, struct waiter *p)
{
    struct waiter *last = TAILQ_LAST(list, waiter_list), *q;
    if (!last || waiter_is_before(last, p)) {
        TAILQ_INSERT_TAIL(list, p, link);
        return;
    }
    TAILQ_FOREACH (q, list, link)
        if (waiter_is_before(p, q))
            break;
    TAILQ_INSERT_BEFORE(q, p, link);
}

void queue_enter_blocked(struct waiter *p, bool first)
{
    struct origin *o = p->origin;
    insert_in_order(&o->blocked, p);
    p->state = WAITER_BLOCKED;
    stopwatch_start(&p->pending);
    demand_rise(o, &o->blocked_count, 1);
    if (o->blocked_count == 1)
        TAILQ_INSERT_TAIL(&o->agent->blocked, o, blocked_link);
    turns_enter(p, first);
    forget_update(o);
    protocol_note_blocked(o);
}

void queue_enter_waiting(struct waiter *p)
{
    struct origin *o = p->origin;
    insert_in_order(&o->waiting, p);
    p->state = WAITER_WAITING;
    p->promoted = 0;
    demand_rise(o, &o->waiting_count, 1);
    forget_update(o);
}

/* The place that was to come does not come. One that was held before is counted already. */
static void note_loss(struct waiter *p)
{
    if (p->how == ACQUIRE_NEW && stopwatch_total_us(&p->pending) < HELD_US)
        p->uncounted = (uint8_t)(1 + queue_held_by(p->origin));
}

static void count_loss(struct waiter *p)
{
    if (p->uncounted && stopwatch_total_us(&p->pending) >= HELD_US)
        p->origin->stats.held[p->uncounted - 1]++;
    p->uncounted = 0;
}

/* Takes a waiter off the list it stands on. */
static void leave(struct waiter *p)
{
    struct origin *o = p->origin;
    switch (p->state) {
    case WAITER_BLOCKED:
        turns_leave(p);
        TAILQ_REMOVE(&o->blocked, p, link);
        stopwatch_stop(&p->pending);
        count_loss(p);
        demand_fall(o, &o->blocked_count, 1);
        if (o->blocked_count == 0)
            TAILQ_REMOVE(&o->agent->blocked, o, blocked_link);
        break;
    case WAITER_WAITING:
        TAILQ_REMOVE(&o->waiting, p, link);
        demand_fall(o, &o->waiting_count, 1);
        p->error_text = NULL; /* where `promoted` stood */
        break;
    case WAITER_SETTLED: TAILQ_REMOVE(&o->agent->pool->settled, p, link); break;
    case WAITER_OWNER:
    case WAITER_IDLE: break;
    }
    p->state = WAITER_IDLE;
    forget_update(o);
}

/* The place that it had, or that was to come, is gone: to nobody, or to another one of its caller. */
static void hold(struct waiter *p, bool to_nobody)
{
    const struct waiter_owner *owner = p->origin->agent->pool->waiter_owner;
    queue_enter_blocked(p, to_nobody);
    if (owner->blocked)
        owner->blocked(p);
}

/* It has waited for a connection to be opened, which nobody could use meanwhile. */
static void note_opening(struct waiter *p)
{
    uint64_t waited_us = clock_us() - stopwatch_since_us(&p->waited);
    uint64_t pending_us = stopwatch_total_us(&p->pending);
    if (p->how == ACQUIRE_NEW && waited_us > pending_us)
        p->origin->stats.used_us += waited_us - pending_us;
}

/* How much of its time in the queue was in a pause: the latest one counts. */
static void note_pause(const struct waiter *p)
{
    uint64_t pending_us = stopwatch_total_us(&p->pending);
    if (pending_us > 0)
        p->origin->stats.paused_us +=
            min64(pending_us, agent_pause_us(p->origin->agent, stopwatch_since_us(&p->waited)));
}

void queue_note_wait(struct waiter *p)
{
    if (p->how == ACQUIRE_NEW) {
        histogram_add(&p->origin->stats.pending, stopwatch_total_us(&p->pending));
        note_pause(p);
    }
    p->how = ACQUIRE_AGAIN;
}

static void settle(struct waiter *p)
{
    leave(p);
    queue_note_wait(p);
    p->state = WAITER_SETTLED;
    TAILQ_INSERT_TAIL(&p->origin->agent->pool->settled, p, link);
}

struct waiter *queue_oldest(const struct origin *o)
{
    if (!TAILQ_EMPTY(&o->waiting))
        return TAILQ_FIRST(&o->waiting);
    return o->agent->paused ? NULL : turns_next(o);
}

bool waiter_takes_http2(const struct waiter *p)
{
    return !p->http1_only || p->origin->offer == OFFER_HTTP1;
}

struct waiter *queue_next_in_turn(const struct origin *o, uint64_t fairness_us)
{
    const struct agent *a = o->agent;
    if (a->paused || !turns_are_taken(a))
        return NULL;
    return turns_next_of_agent(a, origin_below_max, o->blocked_count > 0 ? o : NULL, fairness_us);
}

struct waiter *queue_oldest_elsewhere(const struct agent *a, const struct origin *but)
{
    struct waiter *oldest = NULL;
    struct origin *o;
    if (a->paused)
        return NULL;
    TAILQ_FOREACH (o, &a->blocked, blocked_link) {
        struct waiter *p = TAILQ_FIRST(&o->blocked);
        if (o != but && origin_below_max(o) &&
            (!oldest || stopwatch_since_us(&p->waited) < stopwatch_since_us(&oldest->waited)))
            oldest = p;
    }
    return oldest;
}

void queue_give(struct waiter *p, struct socket *s)
{
    struct origin *o = p->origin;
    if (p->state == WAITER_WAITING)
        note_opening(p);
    else
        turns_pass(p);
    settle(p);
    p->socket = s;
    socket_take(s);
    queue_balance(o);
}

void queue_fail(struct waiter *p, enum connect_error error, const char *text)
{
    settle(p);
    p->socket = NULL;
    p->error = error;
    p->error_text = strdup(text);
}

void queue_fail_all(struct origin *o, enum connect_error error, const char *text)
{
    struct waiter *p;
    while ((p = queue_oldest(o)) && waiter_takes_http2(p))
        queue_fail(p, error, text);
    queue_balance(o);
}

/* NULL: there is none that waits for a connection. */
static struct waiter *newest_of_caller(const struct waiter *p)
{
    struct waiter *q;
    TAILQ_FOREACH_REVERSE(q, &p->origin->waiting, waiter_list, link)
    if (waiter_caller(q) == waiter_caller(p))
        break;
    return q;
}

bool queue_take_over(struct waiter *p)
{
    struct waiter *newest = turns_are_taken(p->origin->agent) ? newest_of_caller(p) : NULL;
    if (!newest || waiter_is_before(newest, p))
        return false;
    uint64_t promoted = newest->promoted;
    leave(newest);
    note_loss(newest);
    hold(newest, false);
    queue_enter_waiting(p);
    p->promoted = promoted;
    return true;
}

void queue_again(struct waiter *p)
{
    const struct origin *o = p->origin;
    const struct waiter *blocked = TAILQ_FIRST(&o->blocked);
    leave(p);
    p->socket = NULL;
    p->how = ACQUIRE_AGAIN;
    if (!blocked || waiter_is_before(p, blocked))
        queue_enter_waiting(p);
    else if (!queue_take_over(p))
        hold(p, true);
}

void queue_take_back(struct socket *s, uint32_t most)
{
    struct waiter_list *settled = &s->origin->agent->pool->settled;
    struct waiter *p = s->unbegun > 0 ? TAILQ_LAST(settled, waiter_list) : NULL, *before;
    for (; p && most > 0; p = before) {
        before = TAILQ_PREV(p, waiter_list, link);
        if (p->socket != s)
            continue;
        socket_untake(s);
        queue_again(p);
        most--;
    }
}

void queue_connect_failed(struct origin *o, const struct connect_result *r, uint32_t stood_for)
{
    struct waiter *p = TAILQ_FIRST(&o->waiting);
    bool was_spare = !p;
    if (p && stood_for == 1)
        queue_fail(p, r->error, r->text);
    while ((p = TAILQ_FIRST(&o->waiting)) && o->waiting_count > o->connecting_places)
        queue_fail(p, r->error, r->text);
    /* More places than waiters: this one was a spare. */
    if (was_spare || o->connecting_places > o->waiting_count)
        spares_back_off(o);
    queue_balance(o);
}

uint32_t queue_places_to_come(const struct origin *o)
{
    uint32_t max = o->agent->policy->maxSockets;
    uint32_t allowed = max > o->in_flight ? max - o->in_flight : 0;
    return min32(o->connecting_places, allowed);
}

void queue_promote(struct waiter *p)
{
    turns_pass(p);
    leave(p);
    queue_enter_waiting(p);
    p->promoted = ++p->origin->agent->pool->promoted;
}

/* Who gives back a place that does not come: the newest; with turns, the newest of the caller whose turn came
 * last, so that no turn is passed over. */
static struct waiter *last_to_come(const struct origin *o)
{
    struct waiter *newest = TAILQ_LAST(&o->waiting, waiter_list), *latest = newest, *p;
    if (!turns_are_taken(o->agent))
        return newest;
    TAILQ_FOREACH (p, &o->waiting, link)
        if (p->promoted > latest->promoted)
            latest = p;
    while (waiter_caller(newest) != waiter_caller(latest))
        newest = TAILQ_PREV(newest, waiter_list, link);
    return newest;
}

void queue_own(struct waiter *p, struct socket *s)
{
    if (p->state == WAITER_BLOCKED) {
        turns_pass(p);
        leave(p);
    }
    p->socket = s;
    p->state = WAITER_OWNER;
    queue_balance(p->origin);
}

void queue_balance(struct origin *o)
{
    uint32_t places = queue_places_to_come(o);
    while (o->waiting_count > places) {
        struct waiter *p = last_to_come(o);
        leave(p);
        note_loss(p);
        hold(p, true);
        agent_mark_dirty(o->agent);
    }
    struct waiter *next;
    while (!o->agent->paused && o->waiting_count < places && !TAILQ_EMPTY(&o->blocked) &&
           (next = turns_next(o)) && waiter_takes_http2(next))
        queue_promote(next);
}

bool queue_may_connect(const struct origin *o)
{
    return origin_may_grow(o) && o->free_count == o->aside_count &&
           o->in_flight + o->waiting_count < o->agent->policy->maxSockets;
}

bool queue_make_room(struct origin *o)
{
    if (!origin_below_max(o)) {
        struct socket *s = TAILQ_LAST(&o->free, socket_list);
        while (s->aside == ASIDE_NOT)
            s = TAILQ_PREV(s, socket_list, link);
        socket_retire(s, RETIRE_EVICTED);
    }
    return origin_below_max(o) && agent_make_room(o->agent, o);
}

void queue_connect_more(struct origin *o, uint32_t room)
{
    while (!o->agent->paused && o->waiting_count > o->connecting_places + room && origin_below_max(o) &&
           agent_make_room(o->agent, o))
        if (!socket_connect(o, NULL, OPENED_FOR_CONCURRENCY))
            break;
}

/* Its connections of HTTP/2 take no more, though fewer are in flight than maxSockets allows. */
static bool is_held_by_streams(const struct origin *o)
{
    return o->protocol == PROTOCOL_HTTP2 && o->connecting_count + o->draining_count == 0 &&
           origin_may_begin(o);
}

enum held_by queue_held_by(const struct origin *o)
{
    if (o->agent->paused)
        return HELD_BY_PAUSE;
    if (origin_may_begin(o) && origin_below_max(o) && agent_is_full(o->agent))
        return HELD_BY_MAX_TOTAL;
    return is_held_by_streams(o) ? HELD_BY_STREAMS : HELD_BY_MAX_SOCKETS;
}

void queue_reorder(struct agent *a)
{
    struct waiter *p;
    turns_rebuild(a);
    /* Those who wait for a connection are the oldest again. */
    for (struct origin *o = a->origins; o && a->policy->queue == QUEUE_FIFO; o = o->hh.next)
        while (o->blocked_count > 0 && (p = TAILQ_LAST(&o->waiting, waiter_list))) {
            leave(p);
            queue_enter_blocked(p, false);
        }
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
    return p ? clock_us() - stopwatch_since_us(&p->pending) : 0;
}

void waiter_cancel(struct waiter *p)
{
    struct origin *o = p->origin;
    enum waiter_state was = p->state;
    struct socket *s = p->socket;
    if (was == WAITER_IDLE)
        return;
    leave(p);
    if (was != WAITER_SETTLED)
        queue_note_wait(p);
    stopwatch_stop(&p->waited);
    p->socket = NULL;
    free(p->error_text);
    p->error_text = NULL;
    if (was == WAITER_OWNER)
        socket_lose_owner(s);
    else if (was == WAITER_SETTLED && s)
        socket_return_unused(s);
    queue_balance(o);
}
