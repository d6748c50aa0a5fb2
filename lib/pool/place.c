#include "pool/place.h"

#include <assert.h>

#include "base/clock.h"
#include "base/minmax.h"
#include "pool/idle.h"
#include "pool/pool.h"
#include "pool/protocol.h"
#include "pool/queue.h"
#include "pool/turns.h"

/* How much longer a request of another origin must have waited to be served before those of the socket's
 * own. */
#define FAIRNESS_US (100 * 1000)

/* What can be said of a socket whose exchange said nothing against it. */
static const struct call_end unharmed = {.request_complete = true,
                                         .response_complete = true,
                                         .self_delimiting = true,
                                         .origin_persistent = true,
                                         .drained = true};

static uint64_t max_age_ms(const struct socket *s)
{
    uint64_t max = s->origin->agent->policy->maxSocketAge;
    return max - (uint64_t)((double)max * s->age_spread);
}

static bool is_old(const struct socket *s)
{
    uint64_t max = max_age_ms(s);
    return max && clock_ms() - s->opened_ms >= max;
}

/* How many exchanges may begin on it before maxRequestsPerSocket. */
static uint32_t exchanges_left(const struct socket *s)
{
    uint32_t max = s->origin->agent->policy->maxRequestsPerSocket;
    uint32_t taken = s->exchanges + s->unbegun;
    return max > taken ? max - taken : 0;
}

/* Whether its state lets anything begin on it. */
static bool takes_exchanges(const struct socket *s)
{
    switch (s->state) {
    case SOCKET_ACTIVE:
    case SOCKET_ROOMY: return true;
    case SOCKET_FREE: return s->aside == ASIDE_NOT;
    case SOCKET_CONNECTING:
    case SOCKET_PRIVATE:
    case SOCKET_DRAINING:
    case SOCKET_SENT_AWAY:
    case SOCKET_DEAD: break;
    }
    return false;
}

/* Beside those that it carries. */
static uint32_t room_beside(const struct socket *s)
{
    if (!s->origin->agent->policy->keepAlive || socket_is_outdated(s) || is_old(s))
        return 0;
    return min32(s->capacity - s->in_use, exchanges_left(s));
}

uint32_t socket_room(const struct socket *s)
{
    if (s->in_use >= s->capacity || !takes_exchanges(s))
        return 0;
    if (s->in_use > 0)
        return room_beside(s);
    return s->origin->agent->policy->keepAlive ? min32(s->capacity, exchanges_left(s)) : 1;
}

enum retire_reason socket_spent(const struct socket *s)
{
    if (!s->origin->agent->policy->keepAlive && s->exchanges > 0)
        return RETIRE_KEEPALIVE_OFF;
    return exchanges_left(s) > 0 ? RETIRE_NONE : RETIRE_MAX_REQUESTS;
}

/* Carries something, so it is ACTIVE or ROOMY: as it has room. */
static void update_state(struct socket *s)
{
    enum socket_state state = socket_room(s) > 0 ? SOCKET_ROOMY : SOCKET_ACTIVE;
    if (s->state != state)
        socket_move(s, state);
}

void socket_take(struct socket *s)
{
    struct origin *o = s->origin;
    assert(s->in_use < s->capacity);
    s->was_free = false;
    if (s->state == SOCKET_FREE)
        idle_end(s);
    s->in_use++;
    s->unbegun++;
    demand_rise(o, &o->in_flight, 1);
    update_state(s);
    if (o->agent->policy->minFreeSockets)
        agent_mark_short(o); /* another spare may be due */
}

static void give_back(struct socket *s)
{
    assert(s->in_use > 0);
    s->in_use--;
    if (s->state != SOCKET_SENT_AWAY)
        demand_fall(s->origin, &s->origin->in_flight, 1);
}

void socket_begin_exchange(struct socket *s)
{
    assert(s->unbegun > 0);
    struct origin_stats *stats = &s->origin->stats;
    s->unbegun--;
    s->origin->stillborn = 0;
    path_begin_exchange(s);
    if (s->exchanges++ > 0)
        stats->reused++;
    else
        stats->first_uses++;
    if (s->has_hint_max && s->hint_left > 0)
        s->hint_left--;
    if (s->protocol == PROTOCOL_HTTP2 && s->unbegun == 0 && exchanges_left(s) == 0)
        socket_drain(s, RETIRE_MAX_REQUESTS);
}

bool socket_is_on_its_last_exchange(const struct socket *s)
{
    const struct agent_policy *policy = s->origin->agent->policy;
    return !policy->keepAlive || s->exchanges >= policy->maxRequestsPerSocket ||
           s->origin->agent->pool->stopping;
}

static void store_hint(struct socket *s, const struct call_end *end)
{
    if (end->has_hint_timeout) {
        s->has_hint_timeout = true;
        s->hint_timeout_ms = end->hint_timeout_ms;
    }
    if (end->has_hint_max) {
        s->has_hint_max = true;
        s->hint_left = end->hint_max;
    }
}

enum retire_reason socket_refusal(struct socket *s, const struct call_end *end)
{
    const struct agent *a = s->origin->agent;
    store_hint(s, end);
    const struct reuse_limits limits = {
        .keep_alive = a->policy->keepAlive || s->exchanges == 0,
        .wanted = !socket_is_outdated(s) && origin_sockets(s->origin) <= a->policy->maxSockets &&
                  a->total <= a->policy->maxTotalSockets,
        .stopping = a->pool->stopping,
        .exchanges = s->exchanges,
        .max_requests = a->policy->maxRequestsPerSocket,
        .age_ms = clock_ms() - s->opened_ms,
        .max_age_ms = max_age_ms(s),
        .has_hint_max = s->has_hint_max,
        .hint_left = s->hint_left,
        .has_hint_timeout = s->has_hint_timeout,
        .hint_timeout_ms = s->hint_timeout_ms,
        .hint_buffer_ms = a->policy->agentKeepAliveTimeoutBuffer,
    };
    return reuse_refusal(end, &limits);
}

/* queue: fair. Where the caller whose turn it is waits at this origin, its request becomes `mine`. Those who
 * wait for a connection have had their turn. */
static const struct origin *next_in_turn(const struct socket *s, struct waiter **mine)
{
    if ((*mine)->state == WAITER_WAITING)
        return NULL;
    struct waiter *next = queue_next_in_turn(s->origin, FAIRNESS_US);
    if (next && next->origin != s->origin)
        return next->origin;
    if (next)
        *mine = next;
    return NULL;
}

/* The origin whose oldest request has waited so much longer than `mine` that it needs this socket's place
 * under maxTotalSockets more; NULL: none. */
static const struct origin *in_greater_need(const struct socket *s, struct waiter **mine)
{
    const struct agent *a = s->origin->agent;
    if (!agent_is_full(a))
        return NULL;
    if (turns_are_taken(a))
        return next_in_turn(s, mine);
    const struct waiter *other = queue_oldest_elsewhere(a, s->origin);
    return other && stopwatch_since_us(&other->waited) + FAIRNESS_US <= stopwatch_since_us(&(*mine)->waited)
               ? other->origin
               : NULL;
}

/* True: it is of no use to its own origin any more. One that carries exchanges is not cut: the one of the
 * agent's that carries fewest is drained, unless one ends already. */
static bool yield(struct socket *s, const struct origin *other)
{
    if (s->in_use == 0) {
        socket_retire(s, RETIRE_EVICTED);
        return true;
    }
    struct socket *emptiest = agent_emptiest(s->origin->agent, other);
    if (emptiest)
        socket_drain(emptiest, RETIRE_EVICTED);
    return emptiest == s;
}

void socket_hand_on(struct socket *s)
{
    struct origin *o = s->origin;
    struct waiter *mine;
    while ((mine = queue_oldest(o)) && (s->protocol == PROTOCOL_HTTP1 || waiter_takes_http2(mine)) &&
           socket_room(s) > 0 && origin_may_begin(o)) {
        const struct origin *other = in_greater_need(s, &mine);
        if (other && yield(s, other))
            return;
        queue_give(mine, s);
    }
    if (s->in_use > 0)
        update_state(s);
    else if (s->state != SOCKET_FREE)
        socket_become_free(s);
}

/* An HTTP/1.1 socket for which no request of its origin waits is free, and closed for a request of another
 * origin that needs its place. One that is shared may never be free. */
static void make_way(struct socket *s)
{
    const struct agent *a = s->origin->agent;
    if (s->state != SOCKET_ROOMY || queue_oldest(s->origin) || !agent_is_full(a) ||
        !TAILQ_EMPTY(&a->free_lru))
        return;
    const struct waiter *other = queue_oldest_elsewhere(a, s->origin);
    if (other)
        yield(s, other->origin);
}

/* After a place came back, or the room of an HTTP/2 socket changed: others may begin, on this socket or
 * elsewhere. */
static void let_others_begin(struct origin *o)
{
    queue_balance(o);
    if (o->blocked_count > 0 && origin_may_begin(o))
        agent_mark_dirty(o->agent);
}

void socket_release(struct socket *s, const struct call_end *end)
{
    enum retire_reason refusal = socket_refusal(s, end);
    give_back(s);
    if (socket_is_ending(s))
        refusal = s->ending;
    if (refusal == RETIRE_NONE)
        socket_hand_on(s);
    else if (s->in_use == 0)
        socket_retire(s, refusal);
    else
        socket_drain(s, refusal);
    if (s->protocol == PROTOCOL_HTTP2) {
        make_way(s);
        let_others_begin(s->origin);
    } else {
        queue_balance(s->origin);
    }
}

void socket_release_unharmed(struct socket *s)
{
    socket_release(s, &unharmed);
}

void socket_return_unused(struct socket *s)
{
    assert(s->unbegun > 0);
    s->unbegun--;
    /* What was reported meanwhile is not reported again, and a limit may have changed. */
    enum retire_reason seen =
        s->protocol == PROTOCOL_HTTP1 && s->wire.conn.may_read ? wire_probe(&s->wire) : RETIRE_NONE;
    if (seen != RETIRE_NONE)
        socket_retire(s, seen);
    else
        socket_release_unharmed(s);
}

void socket_untake(struct socket *s)
{
    assert(s->unbegun > 0);
    s->unbegun--;
    give_back(s);
}

void socket_set_capacity(struct socket *s, uint32_t capacity)
{
    struct origin *o = s->origin;
    assert(s->protocol == PROTOCOL_HTTP2);
    s->capacity = capacity;
    protocol_learn(o, PROTOCOL_HTTP2, capacity);
    if (!socket_is_ending(s)) {
        if (s->in_use > capacity)
            queue_take_back(s, s->in_use - capacity);
        if (capacity > 0)
            queue_connect_more(o, socket_room(s));
        socket_hand_on(s);
    }
    let_others_begin(o);
}

/* DRAINING or SENT_AWAY. */
static void end_with_last(struct socket *s, enum retire_reason reason, enum socket_state state)
{
    queue_take_back(s, UINT32_MAX);
    if (s->in_use == 0) {
        socket_retire(s, reason);
        return;
    }
    if (!socket_is_ending(s))
        ledger_retired(&s->origin->ledger, reason); /* the next one stands in for it */
    s->ending = reason;
    socket_move(s, state);
    queue_balance(s->origin);
    agent_mark_dirty(s->origin->agent); /* another may take its place, or must */
}

void socket_drain(struct socket *s, enum retire_reason reason)
{
    if (!socket_is_ending(s))
        end_with_last(s, reason, SOCKET_DRAINING);
}

void origin_drain_old(struct origin *o)
{
    struct socket *s, *next;
    TAILQ_FOREACH_SAFE (s, &o->roomy, link, next)
        if (s->unbegun == 0 && is_old(s))
            socket_drain(s, RETIRE_MAX_AGE);
}

void socket_send_away(struct socket *s, enum retire_reason reason)
{
    const struct origin *o = s->origin;
    if (o->sent_away_count >= o->agent->policy->maxSockets)
        socket_drain(s, reason);
    else if (s->state != SOCKET_SENT_AWAY)
        end_with_last(s, reason, SOCKET_SENT_AWAY);
}

void socket_update_room(struct socket *s)
{
    if (s->state != SOCKET_ACTIVE && s->state != SOCKET_ROOMY)
        return;
    enum retire_reason over = is_old(s) ? RETIRE_MAX_AGE : socket_spent(s);
    if (s->protocol == PROTOCOL_HTTP2 && s->unbegun == 0 && over != RETIRE_NONE)
        socket_drain(s, over);
    else
        update_state(s);
}
