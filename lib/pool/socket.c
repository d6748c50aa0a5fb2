#include "pool/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/dial.h"
#include "pool/pool.h"
#include "pool/queue.h"
#include "pool/spares.h"

#define LOOK_AFTER_MS  250
#define MAX_AGE_SPREAD 0.1

static struct socket_list *list_of(struct origin *o, enum socket_state state, uint32_t **count)
{
    switch (state) {
    case SOCKET_CONNECTING: *count = &o->connecting_count; return &o->connecting;
    case SOCKET_ACTIVE:
    case SOCKET_PRIVATE: *count = &o->active_count; return &o->active;
    case SOCKET_FREE: *count = &o->free_count; return &o->free;
    case SOCKET_DEAD: break;
    }
    *count = NULL;
    return NULL;
}

/* One thread writes, so that this is no more than a store. */
static void count_free(struct pool *p, uint32_t more)
{
    __atomic_store_n(&p->free_count, p->free_count + more, __ATOMIC_RELAXED);
}

static struct socket_list *lru_of(struct agent *a, enum socket_state state)
{
    switch (state) {
    case SOCKET_FREE: return &a->free_lru;
    case SOCKET_PRIVATE: return &a->private_lru;
    case SOCKET_CONNECTING:
    case SOCKET_ACTIVE:
    case SOCKET_DEAD: break;
    }
    return NULL;
}

static void move_lru(struct socket *s, enum socket_state to)
{
    struct agent *a = s->origin->agent;
    struct socket_list *from_list = lru_of(a, s->state), *to_list = lru_of(a, to);
    if (from_list)
        TAILQ_REMOVE(from_list, s, lru);
    if (to_list)
        TAILQ_INSERT_TAIL(to_list, s, lru);
    count_free(a->pool, (uint32_t)(to == SOCKET_FREE) - (uint32_t)(s->state == SOCKET_FREE));
}

void socket_move(struct socket *s, enum socket_state to)
{
    struct origin *o = s->origin;
    struct agent *a = o->agent;
    uint32_t *count;
    struct socket_list *list = list_of(o, s->state, &count);
    assert(list && s->state != to);
    TAILQ_REMOVE(list, s, link);
    --*count;
    move_lru(s, to);
    s->state = to;
    list = list_of(o, to, &count);
    if (!list) {
        a->total--;
        pool_reap(a->pool, s);
        forget_update(o);
        return;
    }
    /* Free sockets stand in the order in which they became free, the newest first. */
    TAILQ_INSERT_HEAD(list, s, link);
    ++*count;
}

/* When a free socket is too old to be trusted, and why; 0: never. Never stored: a reload may change the limits. */
static uint64_t idle_due(const struct socket *s, enum retire_reason *reason)
{
    const struct agent_policy *policy = s->origin->agent->policy;
    uint64_t limit = policy->timeouts.free, buffer = policy->agentKeepAliveTimeoutBuffer;
    *reason = RETIRE_FREE_TIMEOUT;
    if (!s->has_hint_timeout)
        return limit ? s->idle_since_ms + limit : 0;
    uint64_t hinted = s->hint_timeout_ms > buffer ? s->hint_timeout_ms - buffer : 0;
    if (limit && limit <= hinted)
        return s->idle_since_ms + limit;
    *reason = RETIRE_KEEPALIVE_HINT;
    return s->idle_since_ms + hinted;
}

static void on_free_ready(void *ctx, unsigned ready)
{
    struct socket *s = ctx;
    (void)ready;
    enum retire_reason reason = socket_probe(s);
    if (reason != RETIRE_NONE)
        socket_retire(s, reason);
}

/* Somebody of another origin may wait for this place. */
static void may_serve_others(struct socket *s)
{
    struct agent *a = s->origin->agent;
    if (!TAILQ_EMPTY(&a->blocked))
        agent_mark_dirty(a);
}

/* A reset that came before the response was read was announced with it, and is announced no more. Whoever is used
 * again soon finds it; to look for it each time would cost a call a response. */
static void look_behind_response(struct socket *s)
{
    enum retire_reason reason = socket_probe(s);
    if (reason != RETIRE_NONE) {
        socket_retire(s, reason);
        return;
    }
    timer_set_at(&s->idle, idle_due(s, &reason));
    spares_stand(s->origin);
    if (s->state == SOCKET_PRIVATE)
        may_serve_others(s); /* it may be evicted from now on */
}

static void on_idle_timeout(void *ctx)
{
    struct socket *s = ctx;
    enum retire_reason reason;
    uint64_t due = idle_due(s, &reason);
    if (due && clock_ms() >= due)
        socket_retire(s, reason);
    else
        look_behind_response(s);
}

/* For the sooner of the look and its end. */
static void arm_idle(struct socket *s)
{
    enum retire_reason reason;
    uint64_t due = idle_due(s, &reason), look = s->idle_since_ms + LOOK_AFTER_MS;
    timer_set_at(&s->idle, due && due < look ? due : look);
}

enum retire_reason socket_probe(struct socket *s)
{
    char byte;
    if (conn_is_quiet(&s->conn))
        return RETIRE_NONE;
    ssize_t n = conn_read(&s->conn, &byte, 1);
    if (n > 0)
        return RETIRE_UNEXPECTED_DATA;
    return n == CONN_AGAIN ? RETIRE_NONE : RETIRE_PEER_CLOSED;
}

/* The loop and the timer tell of one that carries no exchange. */
static void begin_idle(struct socket *s, enum socket_state state)
{
    s->idle_since_ms = clock_ms();
    socket_move(s, state);
    conn_set_owner(&s->conn, on_free_ready, s);
    conn_set_priority(&s->conn, PRIORITY_FREE_SOCKETS);
    arm_idle(s);
}

void socket_end_idle(struct socket *s)
{
    timer_clear(&s->idle);
    socket_move(s, SOCKET_ACTIVE);
    conn_set_priority(&s->conn, PRIORITY_ORDINARY);
}

void socket_keep_private(struct socket *s, struct socket **keeper)
{
    s->keeper = keeper;
    *keeper = s;
    begin_idle(s, SOCKET_PRIVATE);
}

void socket_take_private(struct socket *s)
{
    assert(s->state == SOCKET_PRIVATE);
    socket_end_idle(s);
    conn_set_owner(&s->conn, NULL, NULL);
}

void socket_disown(struct socket *s)
{
    if (s->keeper)
        *s->keeper = NULL;
    s->keeper = NULL;
}

bool socket_may_be_evicted(const struct socket *s)
{
    return s->state == SOCKET_FREE || clock_ms() - s->idle_since_ms >= LOOK_AFTER_MS;
}

static void become_free(struct socket *s)
{
    struct origin *o = s->origin;
    if (o->moved) { /* who asks for this origin is served elsewhere */
        socket_retire(s, RETIRE_DRAINED);
        return;
    }
    if (o->free_count >= o->agent->policy->maxFreeSockets) {
        socket_retire(s, RETIRE_FREE_FULL);
        return;
    }
    begin_idle(s, SOCKET_FREE);
    may_serve_others(s);
}

/* Where a socket goes that may carry another exchange. */
static void hand_on(struct socket *s)
{
    struct origin *o = s->origin;
    struct agent *a = o->agent;
    struct waiter *mine = queue_oldest(o);
    if (!mine) {
        become_free(s);
        return;
    }
    struct waiter *other = agent_is_full(a) ? queue_oldest_elsewhere(a, o) : NULL;
    if (other && other->since_us + 100 * 1000 <= mine->since_us) {
        socket_retire(s, RETIRE_EVICTED);
        return;
    }
    queue_give(mine, s);
}

/* What the connector used of the configuration, which a reload may have replaced meanwhile, but for what is used still. */
static void let_go_of_plan(struct socket *s)
{
    tls_context_unref(s->plan.tls);
    s->plan.tls = NULL;
    if (s->parent)
        return;
    config_unref(s->config);
    s->config = NULL;
}

/* A reload may have changed keepAliveMsecs since the socket was dialled. */
static void apply_probes(struct socket *s)
{
    uint64_t wanted = s->origin->agent->policy->keepAliveMsecs;
    if (!conn_is_open(&s->conn) || s->plan.keepalive_ms == wanted || s->peer.sa.any.sa_family == AF_UNIX)
        return;
    dial_set_keepalive(s->conn.fd, wanted);
    s->plan.keepalive_ms = wanted;
}

static void on_connect_failed(struct socket *s, const struct connect_result *r)
{
    struct origin *o = s->origin;
    struct waiter *owner = s->owner;
    s->owner = NULL;
    if (owner) {
        o->owned_count--;
        queue_fail(owner, r->error, r->text);
    }
    origin_remember_failure(o, r->text);
    socket_retire(s, r->error == CONNECT_TIMEOUT ? RETIRE_CONNECT_TIMEOUT : RETIRE_CONNECT_FAILED);
    if (!owner)
        queue_connect_failed(o, r);
    else
        queue_balance(o);
}

static void on_connected(void *ctx, struct connect_result *r)
{
    struct socket *s = ctx;
    struct origin *o = s->origin;
    s->connector = NULL;
    let_go_of_plan(s);
    if (r->error != CONNECT_OK) {
        on_connect_failed(s, r);
        return;
    }
    s->opened_for = ledger_opened(&o->ledger, ++o->stats.opened, s->opened_for);
    o->stats.opened_for[s->opened_for]++;
    histogram_add(&o->stats.connect, r->took_us);
    connect_times_add(&o->connect_times, r->took_us);
    if (o->plan.tls)
        ++*(r->tls_resumed ? &o->stats.handshakes_resumed : &o->stats.handshakes_full);
    s->conn = r->conn;
    s->peer = r->peer;
    apply_probes(s);
    s->opened_ms = clock_ms();
    s->connect_us = r->took_us;
    struct waiter *owner = s->owner;
    s->owner = NULL;
    if (owner)
        o->owned_count--;
    socket_move(s, SOCKET_ACTIVE);
    if (!conn_watch(&s->conn, o->agent->pool->base, PRIORITY_ORDINARY, on_free_ready, s)) {
        /* Somebody is told, or it would be tried again and again. */
        struct waiter *told = owner ? owner : TAILQ_FIRST(&o->waiting);
        if (told)
            queue_fail(told, CONNECT_NO_RESOURCES, "the event loop took no further descriptor");
        socket_retire(s, RETIRE_ERROR);
    } else if (owner) {
        queue_give(owner, s);
    } else if (s->generation != o->generation) {
        socket_retire(s, RETIRE_DRAINED);
    } else {
        hand_on(s);
    }
    queue_balance(o);
}

struct socket *socket_connect(struct origin *o, struct waiter *owner, enum opened_for why)
{
    struct agent *a = o->agent;
    struct socket *s = pool_take_socket(a->pool);
    if (!s)
        return NULL;
    s->origin = o;
    s->state = SOCKET_CONNECTING;
    s->conn.fd = -1;
    s->opened_for = why;
    s->generation = o->generation;
    /* Ages differ, so that sockets which were opened together do not expire together. */
    s->age_spread = MAX_AGE_SPREAD * erand48(a->pool->dice);
    timer_init(&s->idle, a->pool->base, on_idle_timeout, s);
    s->plan = o->plan;
    s->connector = connector_start(a->pool->base, a->pool->resolver, &s->plan, on_connected, s);
    if (!s->connector) {
        free(s);
        return NULL;
    }
    s->parent = s->plan.tunnel ? NULL : s->plan.parent;
    s->config = config_ref(a->config);
    tls_context_ref(s->plan.tls);
    TAILQ_INSERT_HEAD(&o->connecting, s, link);
    o->connecting_count++;
    a->total++;
    forget_update(o);
    s->owner = owner;
    if (owner)
        o->owned_count++;
    return s;
}

void socket_limits_changed(struct socket *s)
{
    apply_probes(s);
    switch (s->state) {
    case SOCKET_CONNECTING:
        connector_set_timeout(s->connector, s->origin->agent->policy->timeouts.connect);
        break;
    case SOCKET_FREE:
    case SOCKET_PRIVATE: arm_idle(s); break;
    case SOCKET_ACTIVE:
    case SOCKET_DEAD: break;
    }
}

void socket_begin_exchange(struct socket *s)
{
    assert(s->state == SOCKET_ACTIVE);
    struct origin_stats *stats = &s->origin->stats;
    if (s->exchanges++ > 0)
        stats->reused++;
    else
        stats->first_uses++;
    if (s->has_hint_max && s->hint_left > 0)
        s->hint_left--;
}

bool socket_is_outdated(const struct socket *s)
{
    return s->generation != s->origin->generation || s->origin->agent->removed;
}

bool socket_is_on_its_last_exchange(const struct socket *s)
{
    const struct agent_policy *policy = s->origin->agent->policy;
    return !policy->keepAlive || s->exchanges >= policy->maxRequestsPerSocket ||
           s->origin->agent->pool->stopping;
}

static void take_hint(struct socket *s, const struct call_end *end)
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
    uint64_t max_age_ms = a->policy->maxSocketAge;
    take_hint(s, end);
    const struct reuse_limits limits = {
        .keep_alive = a->policy->keepAlive || s->exchanges == 0,
        .wanted = !socket_is_outdated(s) && origin_sockets(s->origin) <= a->policy->maxSockets &&
                  a->total <= a->policy->maxTotalSockets,
        .stopping = a->pool->stopping,
        .exchanges = s->exchanges,
        .max_requests = a->policy->maxRequestsPerSocket,
        .age_ms = clock_ms() - s->opened_ms,
        .max_age_ms = max_age_ms - (uint64_t)((double)max_age_ms * s->age_spread),
        .has_hint_max = s->has_hint_max,
        .hint_left = s->hint_left,
        .has_hint_timeout = s->has_hint_timeout,
        .hint_timeout_ms = s->hint_timeout_ms,
        .hint_buffer_ms = a->policy->agentKeepAliveTimeoutBuffer,
    };
    return reuse_refusal(end, &limits);
}

void socket_release(struct socket *s, const struct call_end *end)
{
    assert(s->state == SOCKET_ACTIVE);
    enum retire_reason refusal = socket_refusal(s, end);
    if (refusal != RETIRE_NONE)
        socket_retire(s, refusal);
    else
        hand_on(s);
}

void socket_return_unused(struct socket *s)
{
    /* What was reported meanwhile is reported to nobody again, and a limit may have changed. */
    static const struct call_end nothing_was_said = {.request_complete = true,
                                                     .response_complete = true,
                                                     .self_delimiting = true,
                                                     .origin_persistent = true,
                                                     .drained = true};
    assert(s->state == SOCKET_ACTIVE);
    enum retire_reason seen = s->conn.may_read ? socket_probe(s) : RETIRE_NONE;
    if (seen != RETIRE_NONE)
        socket_retire(s, seen);
    else
        socket_release(s, &nothing_was_said);
}

static void log_retired(const struct socket *s, enum retire_reason reason)
{
    log_event(LOG_DEBUG, "socket retired", LOG_S("agent", s->origin->agent->name),
              LOG_S("origin", s->origin->key), LOG_S("reason", retire_word(reason)),
              LOG_N("exchanges", s->exchanges), LOG_N("ageMs", s->opened_ms ? clock_ms() - s->opened_ms : 0));
}

void socket_retire(struct socket *s, enum retire_reason reason)
{
    assert(s->state != SOCKET_DEAD);
    struct origin *o = s->origin;
    bool established = s->state != SOCKET_CONNECTING;
    /* A connection that was given up before it stood was never opened: it has no line in the books. */
    if (established || reason == RETIRE_CONNECT_FAILED || reason == RETIRE_CONNECT_TIMEOUT)
        o->stats.retired[reason]++;
    if (established)
        ledger_retired(&o->ledger, reason);
    if (reason == RETIRE_PEER_CLOSED && (s->state == SOCKET_FREE || s->state == SOCKET_PRIVATE))
        o->stats.peer_closed_idle_ms += clock_ms() - s->idle_since_ms;
    spares_retired(s, reason);
    log_retired(s, reason);
    if (s->connector)
        connector_cancel(s->connector);
    s->connector = NULL;
    s->parent = NULL;
    let_go_of_plan(s);
    socket_disown(s);
    timer_release(&s->idle);
    if (established)
        conn_close(&s->conn, reason == RETIRE_CLIENT_ABORTED || reason == RETIRE_EARLY_RESPONSE);
    socket_move(s, SOCKET_DEAD);
    agent_mark_dirty(o->agent);
}
