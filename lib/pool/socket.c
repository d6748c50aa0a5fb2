#include "pool/socket.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/dial.h"
#include "pool/http2.h"
#include "pool/idle.h"
#include "pool/pool.h"
#include "pool/protocol.h"
#include "pool/queue.h"
#include "pool/spares.h"
#include "pool/spread.h"
#include "wire/h1.h"

#define MAX_AGE_SPREAD 0.1

static struct socket_list *list_of(struct origin *o, enum socket_state state, uint32_t **count)
{
    switch (state) {
    case SOCKET_CONNECTING: *count = &o->connecting_count; return &o->connecting;
    case SOCKET_ACTIVE:
    case SOCKET_PRIVATE: *count = &o->active_count; return &o->active;
    case SOCKET_ROOMY: *count = &o->roomy_count; return &o->roomy;
    case SOCKET_FREE: *count = &o->free_count; return &o->free;
    case SOCKET_DRAINING: *count = &o->draining_count; return &o->draining;
    case SOCKET_SENT_AWAY: *count = &o->sent_away_count; return &o->sent_away;
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
    case SOCKET_ROOMY:
    case SOCKET_DRAINING:
    case SOCKET_SENT_AWAY:
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
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an origin has its agent */
    count_free(a->pool, (uint32_t)(to == SOCKET_FREE) - (uint32_t)(s->state == SOCKET_FREE));
}

static bool counts_under_limits(enum socket_state state)
{
    return state != SOCKET_SENT_AWAY && state != SOCKET_DEAD;
}

void socket_set_aside(struct socket *s, enum aside why)
{
    s->origin->aside_count += (uint32_t)(why != ASIDE_NOT) - (uint32_t)(s->aside != ASIDE_NOT);
    s->aside = why;
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
    socket_set_aside(s, ASIDE_NOT);
    if (counts_under_limits(s->state) && !counts_under_limits(to)) {
        a->total--;
        demand_fall(o, &o->in_flight, s->in_use);
    }
    s->state = to;
    list = list_of(o, to, &count);
    if (!list) {
        pool_reap(a->pool, s);
        forget_update(o);
        return;
    }
    /* Free sockets stand in the order in which they became free, the newest first. */
    TAILQ_INSERT_HEAD(list, s, link);
    ++*count;
}

enum retire_reason socket_look(struct socket *s, bool repeatable)
{
    const struct conn *c = &s->wire.conn;
    bool must_probe = c->may_read || (!repeatable && socket_may_be_stale(s));
    enum retire_reason seen = must_probe ? wire_probe(&s->wire) : RETIRE_NONE;
    /* The rest would be taken for the response, unless it is a ticket's, as which it may pass while free. */
    if (seen == RETIRE_NONE && s->protocol == PROTOCOL_HTTP1 && conn_has_part(c))
        return RETIRE_UNEXPECTED_DATA;
    return seen;
}

void socket_keep_private(struct socket *s, struct socket **keeper)
{
    if (!s->keeper) {
        s->keeper = keeper;
        s->next_kept = *keeper;
        *keeper = s;
    }
    idle_begin(s, SOCKET_PRIVATE);
}

void socket_take_private(struct socket *s)
{
    assert(s->state == SOCKET_PRIVATE);
    idle_end(s);
}

void socket_disown(struct socket *s)
{
    struct socket **at = s->keeper;
    while (at && *at != s)
        at = &(*at)->next_kept;
    if (at)
        *at = s->next_kept;
    s->keeper = NULL;
}

void socket_become_free(struct socket *s)
{
    struct origin *o = s->origin;
    /* Who asks for an origin that has moved is served elsewhere. */
    if (o->moved || origin_sockets(o) > o->agent->policy->maxSockets) {
        socket_retire(s, RETIRE_DRAINED);
        return;
    }
    if (o->free_count >= o->agent->policy->maxFreeSockets) {
        socket_retire(s, RETIRE_FREE_FULL);
        return;
    }
    idle_begin(s, SOCKET_FREE);
    agent_may_serve(o->agent);
}

/* What the connector used of the configuration, which a reload may have replaced meanwhile, but for what is
 * used still. */
static void let_go_of_plan(struct socket *s)
{
    tls_context_unref(s->plan.tls);
    s->plan.tls = NULL;
    if (s->wire.parent)
        return;
    config_unref(s->config);
    s->config = NULL;
}

/* A reload may have changed keepAliveMsecs since the socket was dialled. */
static void apply_probes(struct socket *s)
{
    uint64_t wanted = s->origin->agent->policy->keepAliveMsecs;
    if (!conn_is_open(&s->wire.conn) || s->plan.keepalive_ms == wanted || s->peer.sa.any.sa_family == AF_UNIX)
        return;
    dial_set_keepalive(s->wire.conn.fd, wanted);
    s->plan.keepalive_ms = wanted;
}

/* --- What its wire notifies it of ----------------------------------------------------------------------- */

/* One that was given to a request, which is not notified yet, is looked at when its exchange begins. */
static void on_readable(struct wire *w)
{
    struct socket *s = socket_of(w);
    if (s->state == SOCKET_FREE || s->state == SOCKET_PRIVATE)
        idle_on_ready(s);
}

static void on_left(struct wire *w, enum retire_reason reason, const struct call_end *end)
{
    struct socket *s = socket_of(w);
    struct pool *pool = s->origin->agent->pool;
    if (reason != RETIRE_NONE)
        socket_retire(s, reason);
    else
        socket_release(s, end);
    pool_notify(pool);
}

static const struct wire_owner owner_of_wires = {
    .readable = on_readable,
    .left = on_left,
    .room = http2_on_room,
    .draining = http2_on_draining,
    .closed = http2_on_closed,
    .noted = http2_on_note,
};

/* It is expected no more. Its owner, or NULL. */
static struct waiter *end_connecting(struct socket *s)
{
    struct origin *o = s->origin;
    struct waiter *owner = s->owner;
    if (owner)
        socket_lose_owner(s);
    o->connecting_places -= s->capacity;
    s->capacity = 0;
    return owner;
}

void socket_lose_owner(struct socket *s)
{
    struct origin *o = s->origin;
    s->owner = NULL;
    o->owned_count--;
    o->connecting_places += s->capacity;
    socket_untake(s);
}

void socket_connect_failed(struct socket *s, const struct connect_result *r)
{
    struct origin *o = s->origin;
    uint32_t stood_for = s->capacity;
    struct waiter *owner = end_connecting(s);
    if (owner)
        queue_fail(owner, r->error, r->text);
    else
        queue_connect_failed(o, r, stood_for);
    origin_remember_failure(o, r->text);
    socket_retire(s, r->error == CONNECT_TIMEOUT ? RETIRE_CONNECT_TIMEOUT : RETIRE_CONNECT_FAILED);
}

static void count_connected(struct socket *s)
{
    struct origin *o = s->origin;
    if (s->greeted_us)
        s->connect_us += clock_us() - s->greeted_us;
    s->opened_ms = clock_ms();
    s->opened_for = ledger_opened(&o->ledger, ++o->stats.opened, s->opened_for);
    o->stats.opened_for[s->opened_for]++;
    histogram_add(&o->stats.connect, s->connect_us);
    connect_times_add(&o->connect_times, &o->stats, s->connect_us);
    if (o->plan.tls)
        ++*(s->tls_resumed ? &o->stats.handshakes_resumed : &o->stats.handshakes_full);
}

/* One request fails for it, or it would be tried again and again. */
static void refuse_service(struct socket *s, struct waiter *owner)
{
    struct waiter *failed = owner ? owner : TAILQ_FIRST(&s->origin->waiting);
    if (failed)
        queue_fail(failed, CONNECT_NO_RESOURCES,
                   "no memory, or no descriptor in the event loop, for another connection");
    socket_retire(s, RETIRE_ERROR);
}

/* Established, and no place on it is taken yet. */
static void begin_service(struct socket *s, struct waiter *owner)
{
    struct origin *o = s->origin;
    if (!s->http1_only)
        protocol_learn(o, s->protocol, s->capacity);
    if (!owner && s->generation != o->generation) {
        socket_retire(s, RETIRE_DRAINED);
        return;
    }
    uint32_t room = socket_room(s);
    if (room > 0)
        queue_connect_more(o, room - (owner != NULL));
    if (owner && room > 0)
        queue_give(owner, s);
    else if (owner)
        queue_again(owner); /* its peer lets none begin for now */
    socket_hand_on(s);
}

void socket_established(struct socket *s, enum protocol protocol, uint32_t capacity)
{
    struct origin *o = s->origin;
    const struct pool *p = o->agent->pool;
    timer_clear(&s->idle);
    count_connected(s);
    struct waiter *owner = end_connecting(s);
    socket_move(s, SOCKET_ACTIVE);
    s->capacity = capacity;
    s->protocol = p->identify ? p->identify(p->identify_ctx, s, &s->capacity) : protocol;
    if (s->protocol == PROTOCOL_UNKNOWN)
        refuse_service(s, owner);
    else
        begin_service(s, owner);
    queue_balance(o);
}

/* Its wire; false: memory is short, or the loop takes no further descriptor. */
static bool open_wire(struct socket *s, bool speaks_h2)
{
    struct pool *p = s->origin->agent->pool;
    h1_begin(&s->wire, &p->wires, &owner_of_wires);
    return conn_watch(&s->wire.conn, p->base, PRIORITY_ORDINARY, s->wire.conn.on_ready, s->wire.conn.ctx) &&
           (!speaks_h2 || http2_greet(s));
}

static void on_connected(void *ctx, struct connect_result *r)
{
    struct socket *s = ctx;
    s->connector = NULL;
    if (r->error == CONNECT_OK) {
        s->peer = r->peer;
        spread_established(s);
    }
    let_go_of_plan(s);
    if (r->error != CONNECT_OK) {
        socket_connect_failed(s, r);
        return;
    }
    s->wire.conn = r->conn;
    s->connect_us = r->took_us;
    s->tls_resumed = r->tls_resumed;
    apply_probes(s);
    if (!open_wire(s, r->speaks_h2))
        socket_established(s, PROTOCOL_UNKNOWN, 1);
    else if (!r->speaks_h2)
        socket_established(s, PROTOCOL_HTTP1, 1);
}

static void init_connecting(struct socket *s, struct origin *o, struct waiter *owner, enum opened_for why)
{
    struct agent *a = o->agent;
    s->origin = o;
    s->state = SOCKET_CONNECTING;
    s->wire.conn.fd = -1;
    s->opened_for = why;
    s->generation = o->generation;
    s->permitted_in = a->pool->reloads;
    s->began_ms = clock_ms();
    s->owner = owner;
    s->capacity = o->expected_capacity;
    s->in_use = s->unbegun = owner != NULL;
    /* Ages differ, so that sockets which were opened together do not expire together. */
    s->age_spread = MAX_AGE_SPREAD * erand48(a->pool->dice);
    timer_init(&s->idle, a->pool->base, idle_on_timer, s);
    s->plan = o->plan;
    s->http1_only = owner && !waiter_takes_http2(owner);
    if (s->http1_only) {
        s->capacity = 1;
        s->plan.offer_h2 = s->plan.speaks_h2 = false;
    }
}

struct socket *socket_connect(struct origin *o, struct waiter *owner, enum opened_for why)
{
    struct agent *a = o->agent;
    struct socket *s = pool_take_socket(a->pool);
    if (!s)
        return NULL;
    init_connecting(s, o, owner, why);
    spread_begin(s);
    s->connector = connector_start(a->pool->base, a->pool->resolver, &s->plan, on_connected, s);
    if (!s->connector) {
        free(s);
        return NULL;
    }
    s->wire.parent = s->plan.tunnel ? NULL : s->plan.parent;
    s->config = config_ref(a->config);
    tls_context_ref(s->plan.tls);
    TAILQ_INSERT_HEAD(&o->connecting, s, link);
    o->connecting_count++;
    a->total++;
    if (owner) {
        o->owned_count++;
        demand_rise(o, &o->in_flight, 1);
    } else {
        o->connecting_places += s->capacity;
    }
    forget_update(o);
    protocol_note_connecting(o);
    return s;
}

static void apply_connect_timeout(struct socket *s)
{
    uint64_t limit = s->origin->agent->policy->timeouts.connect;
    if (s->connector)
        connector_set_timeout(s->connector, limit);
    else
        timer_set_at(&s->idle, limit ? s->began_ms + limit : 0);
}

void socket_limits_changed(struct socket *s)
{
    apply_probes(s);
    http2_options_changed(s);
    switch (s->state) {
    case SOCKET_CONNECTING: apply_connect_timeout(s); break;
    case SOCKET_FREE:
    case SOCKET_PRIVATE: idle_limits_changed(s); break;
    case SOCKET_ACTIVE:
    case SOCKET_ROOMY: socket_update_room(s); break;
    case SOCKET_DRAINING:
    case SOCKET_SENT_AWAY:
    case SOCKET_DEAD: break;
    }
}

bool socket_is_outdated(const struct socket *s)
{
    return s->generation != s->origin->generation || s->origin->agent->removed;
}

/* As the connector asked, when it was opened (names that a parent proxy resolves are its own matter). */
static bool ask_permission(const struct socket *s)
{
    const struct pool *p = s->origin->agent->pool;
    struct address to = s->peer;
    if (!p->permit || s->plan.entries)
        return true;
    if (s->plan.parent && !address_from_ip(&to, slice_of(s->origin->host), s->origin->plan.port))
        return true;
    return p->permit(p->permit_ctx, &to, false) == CONNECT_OK;
}

bool socket_is_permitted(struct socket *s)
{
    uint32_t now = s->origin->agent->pool->reloads;
    if (s->permitted_in != now && !ask_permission(s))
        return false;
    s->permitted_in = now;
    return true;
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
    if (!established)
        end_connecting(s);
    queue_take_back(s, UINT32_MAX);
    /* A connection that was given up before it stood was never opened: it has no line in the books. */
    if (established || reason == RETIRE_CONNECT_FAILED || reason == RETIRE_CONNECT_TIMEOUT)
        o->stats.retired[reason]++;
    if (established && s->exchanges == 0)
        o->stats.closed_unused++;
    if (established && !socket_is_ending(s))
        ledger_retired(&o->ledger, reason);
    idle_note_end(s, reason);
    spares_retired(s, reason);
    log_retired(s, reason);
    if (reason == RETIRE_DEAD)
        path_died(s, path_dead_since(s));
    connector_cancel(s->connector);
    s->connector = NULL;
    s->wire.parent = NULL;
    let_go_of_plan(s);
    socket_disown(s);
    timer_release(&s->idle);
    if (conn_is_open(&s->wire.conn))
        wire_close(&s->wire, reason == RETIRE_CLIENT_ABORTED || reason == RETIRE_EARLY_RESPONSE);
    socket_move(s, SOCKET_DEAD);
    s->in_use = s->unbegun = 0;
    queue_balance(o);
    agent_mark_dirty(o->agent);
}
