/* From the queue to a socket and, when that was stale, to another one. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/fields.h"
#include "io/ack.h"
#include "proxy/access.h"
#include "proxy/exchange.h"
#include "proxy/limits.h"
#include "proxy/response_head.h"
#include "proxy/retry.h"
#include "proxy/rewrite.h"
#include "proxy/tunnel.h"

static enum fault fault_of_connect(enum connect_error error)
{
    switch (error) {
    case CONNECT_DNS_ERROR: return FAULT_DNS;
    case CONNECT_DNS_TIMEOUT: return FAULT_DNS_TIMEOUT;
    case CONNECT_REFUSED: return FAULT_REFUSED;
    case CONNECT_UNROUTABLE: return FAULT_UNROUTABLE;
    case CONNECT_PROHIBITED: return FAULT_PROHIBITED;
    case CONNECT_LOOP: return FAULT_LOOP;
    case CONNECT_TIMEOUT: return FAULT_CONNECT_TIMEOUT;
    case CONNECT_TLS_PROTOCOL: return FAULT_TLS_PROTOCOL;
    case CONNECT_TLS_CERTIFICATE: return FAULT_TLS_CERTIFICATE;
    case CONNECT_TLS_ALERT: return FAULT_TLS_ALERT;
    case CONNECT_TERMINATED: return FAULT_TERMINATED;
    case CONNECT_PARENT_REFUSED: return FAULT_PARENT;
    case CONNECT_NO_RESOURCES: return FAULT_NO_RESOURCES;
    case CONNECT_OK: break;
    }
    return FAULT_INTERNAL;
}

/* Whether the whole request can be said again from memory, as far as it has been said. */
static bool is_replayable(const struct exchange *e)
{
    const struct framing *f = &e->request_framing;
    bool empty = f->kind == BODY_NONE || (f->kind == BODY_LENGTH && f->length == 0);
    return e->up.out.sent == 0 || empty || e->up.keep_limit > 0;
}

/* Whether it could be repeated if this socket proved stale: otherwise it is worth a look first. Content of unknown length
 * may turn out to be more than is kept for a repeat. */
static bool is_repeatable(const struct exchange *e)
{
    enum body_kind kind = e->request_framing.kind;
    bool small = kind == BODY_NONE || (kind == BODY_LENGTH && e->up.keep_limit > 0);
    return e->idempotent && small && e->repeats_left > 0;
}

/* Nothing of the request was acknowledged: whether it is sent again before timeouts.ack decides. */
static bool is_worth_repeating(const struct exchange *e)
{
    return e->state == EXCHANGE_RELAY && e->idempotent && !e->response_begun && e->may_be_stale &&
           e->client && e->repeats_left > 0 && is_replayable(e) &&
           conn_unsent(&e->socket->conn) >= e->up.out.sent;
}

static void take_event(struct exchange *e, unsigned ready)
{
    struct socket *s = e->socket;
    if ((ready & CONN_WRITABLE) && e->state == EXCHANGE_RELAY && e->upload == UPLOAD_BLOCKED)
        upload_pump(e);
    if (e->state == EXCHANGE_DEAD || e->socket != s)
        return;
    if ((ready & CONN_UNACKED) && is_worth_repeating(e)) {
        attempt_failed(e, ETIMEDOUT);
        return;
    }
    if ((ready & CONN_READABLE) && (e->state == EXCHANGE_RELAY || e->state == EXCHANGE_DRAIN) &&
        !e->download_blocked)
        download_pump(e);
}

/* Nothing but the loop is on the stack, so whoever got this exchange's socket is told at once: at the end of the turn
 * it would have been idle for as long as all others' events take. */
static void on_upstream_ready(void *ctx, unsigned ready)
{
    struct exchange *e = ctx;
    take_event(e, ready);
    pool_notify(e->proxy->pool);
}

/* An attempt begins with nothing of a response. */
static void forget_response(struct exchange *e)
{
    buffer_give(e->in);
    e->in = NULL;
    response_head_done(e);
    e->interim_close = false;
    e->response_begun = false;
    e->end = (struct call_end){0};
}

/* What has happened to a socket since it was given. */
static enum retire_reason look_before(const struct exchange *e, struct socket *s)
{
    if (s->generation != e->origin->generation && !e->proxy->pool->stopping)
        return RETIRE_DRAINED;
    return s->conn.may_read || (socket_may_be_stale(s) && !is_repeatable(e)) ? socket_probe(s) : RETIRE_NONE;
}

/* False: it is of no use, and was retired. */
static bool start(struct exchange *e, struct socket *s)
{
    assert(!e->socket && s->state == SOCKET_ACTIVE);
    enum retire_reason reason = look_before(e, s);
    if (reason != RETIRE_NONE) {
        socket_retire(s, reason);
        return false;
    }
    /* NTLM names its user in the connection's first requests only: what follows on it is as private. */
    if (e->client->private_socket == s)
        e->private_socket = true;
    e->socket = s;
    e->state = EXCHANGE_RELAY;
    e->granted_us = clock_us();
    e->moved_ms = clock_ms();
    if (s->exchanges == 0)
        e->connect_us = s->connect_us;
    bool may_be_stale = socket_may_be_stale(s);
    socket_begin_exchange(s);
    e->reused = s->exchanges > 1;
    e->may_be_stale = may_be_stale;
    forget_response(e);
    conn_set_owner(&s->conn, on_upstream_ready, e);
    if (e->is_connect)
        tunnel_begin(e);
    else
        upload_start(e);
    return true;
}

/* While it waits, the client's leaving must be seen at once. */
static void wait_for_socket(struct exchange *e)
{
    e->state = EXCHANGE_WAITING;
    e->waiting_since_ms = clock_ms();
    exchange_arm(e);
    if (e->client->conn.watched)
        client_watch_later(e->client); /* a reset may have come with the request */
    else
        client_watch(e->client);
    if (e->state == EXCHANGE_WAITING && e->client->conn.peer_fin)
        exchange_client_fin(e);
}

void attempt_blocked(struct waiter *p)
{
    struct exchange *e = (struct exchange *)((char *)p - offsetof(struct exchange, waiter));
    exchange_arm(e);
}

/* The socket that is this client's own, if it fits. */
static struct socket *own_socket(const struct exchange *e)
{
    struct socket *own = e->client->private_socket;
    return own && own->origin == e->origin && !e->is_connect ? own : NULL;
}

static enum acquire_result acquire(struct exchange *e, enum acquire_how how)
{
    struct socket *own = own_socket(e);
    return own ? origin_acquire_own(e->origin, &e->waiter, how, own)
               : origin_acquire(e->origin, &e->waiter, how);
}

void attempt_acquire(struct exchange *e, enum acquire_how how)
{
    enum acquire_result result = acquire(e, how);
    char limit[LIMITS_TEXT_SIZE];
    while (result == ACQUIRED && !start(e, e->waiter.socket))
        result = acquire(e, ACQUIRE_AGAIN);
    switch (result) {
    case ACQUIRED: return;
    case ACQUIRE_WAITS: wait_for_socket(e); return;
    case ACQUIRE_QUEUE_FULL:
        exchange_fail(e, FAULT_LIMIT, RETIRE_NONE, "%s", limits_queue_text(e->origin, limit));
        return;
    case ACQUIRE_NO_MEMORY:
        exchange_fail(e, FAULT_INTERNAL, RETIRE_NONE, "out of memory for another connection");
        return;
    }
}

/* A URL that leads to Carpool itself has a reader of its own. */
static void tell_unconnected(struct exchange *e, const struct waiter *p)
{
    const struct origin *o = e->origin;
    char whose[256];
    if (p->error == CONNECT_LOOP && !o->plan.entries &&
        access_own_listener(e->proxy->config, o->plan.port, whose, sizeof whose))
        exchange_fail(e, FAULT_LOOP, RETIRE_NONE,
                      "that is Carpool's own %s; set no_proxy=%s, so that the app asks it directly", whose,
                      o->host);
    else
        exchange_fail(e, fault_of_connect(p->error), RETIRE_NONE, "%s", p->error_text);
}

void attempt_settled(struct waiter *p)
{
    struct exchange *e = (struct exchange *)((char *)p - offsetof(struct exchange, waiter));
    assert(e->state == EXCHANGE_WAITING);
    e->waited_us += clock_us() - p->since_us;
    if (p->displaced)
        exchange_fail(e, FAULT_LIMIT, RETIRE_NONE, "%s", p->error_text);
    else if (!p->socket && p->error != CONNECT_OK)
        tell_unconnected(e, p);
    else if (!p->socket || !start(e, p->socket))
        attempt_acquire(e, ACQUIRE_AGAIN); /* without either: a pause kept it from its client's own socket */
}

static enum socket_failure failure_of(int error)
{
    switch (error) {
    case 0: return SOCKET_FAILED_EOF;
    case ECONNRESET: return SOCKET_FAILED_RESET;
    case EPIPE: return SOCKET_FAILED_PIPE;
    default: return ack_is_dead_path(error) ? SOCKET_FAILED_DEAD : SOCKET_FAILED_OTHER;
    }
}

static void log_stale(const struct exchange *e, enum socket_failure failure, bool repeated)
{
    const struct socket *s = e->socket;
    uint64_t now = clock_ms();
    if (!log_enabled(LOG_INFO))
        return;
    struct slice line = buffer_unread(e->head);
    const char *space = memchr(line.p, ' ', line.n);
    log_event(LOG_INFO, repeated ? "reused socket was stale, request repeated" : "reused socket failed",
              LOG_S("agent", e->origin->agent->name), LOG_S("target", strstr(e->origin->key, "://") + 3),
              LOG_B("reused", true), LOG_S("code", socket_failure_code(failure)),
              LOG_N("socketAgeMs", now - s->opened_ms),
              LOG_N("idleMs", s->idle_since_ms ? e->granted_us / 1000 - s->idle_since_ms : 0),
              LOG_SLICE("method", ((struct slice){line.p, space ? (size_t)(space - line.p) : 0})));
}

static void repeat(struct exchange *e, enum acquire_how how)
{
    struct socket *s = e->socket;
    assert(e->client); /* or retry_decide() would not have said so */
    e->repeats_left--;
    e->retries++;
    e->origin->stats.retries++;
    e->socket = NULL;
    socket_retire(s, RETIRE_ERROR);
    forget_response(e);
    if (e->upload == UPLOAD_STOPPED)
        e->upload = UPLOAD_STARVED; /* the next attempt's pump finds out what is left */
    attempt_acquire(e, how);
}

static enum fault fault_of_tls(enum tls_failure failure)
{
    switch (failure) {
    case TLS_FAILURE_ALERT: return FAULT_TLS_ALERT;
    case TLS_FAILURE_CERTIFICATE: return FAULT_TLS_CERTIFICATE;
    case TLS_FAILURE_PROTOCOL: return FAULT_TLS_PROTOCOL;
    case TLS_FAILURE_NONE:
    case TLS_FAILURE_IO: break;
    }
    return FAULT_TERMINATED;
}

static void tell_dead_path(struct exchange *e, int error, const struct attempt *facts)
{
    exchange_fail(
        e, FAULT_DEAD_PATH, RETIRE_ERROR,
        "the origin's host acknowledged nothing of what was sent (%s): it is gone, or a firewall, NAT or load "
        "balancer dropped the connection%s",
        strerror(error), retry_refusal(facts));
}

/* In TLS 1.3 a server's word on our certificate comes as an alert behind the handshake (RFC 8446 4.4.2.4). */
static void tell_failure(struct exchange *e, int error, const struct attempt *facts)
{
    char text[256] = "";
    const struct conn *s = &e->socket->conn;
    bool asks_tls = !s->tls && !e->response_begun && e->origin->plan.port % 1000 == 443;
    enum fault fault = s->tls ? fault_of_tls(tls_failure(s, text, sizeof text)) : FAULT_TERMINATED;
    if (ack_is_dead_path(error))
        tell_dead_path(e, error, facts);
    else if (fault != FAULT_TERMINATED)
        exchange_fail(e, fault, RETIRE_ERROR, "%s", text);
    else
        exchange_fail(e, fault, RETIRE_ERROR, "the origin ended the connection before %s (%s)%s",
                      e->response_begun ? "its response was complete" : "it answered",
                      error ? strerror(error) : "end of file",
                      asks_tls ? "; if it speaks TLS on this port: set tls: true for this upstream"
                               : retry_refusal(facts));
}

void attempt_failed(struct exchange *e, int error)
{
    bool dead = ack_is_dead_path(error);
    bool by_peer = error == 0 || error == ECONNRESET || error == EPIPE || dead;
    const struct attempt facts = {
        .reused = e->may_be_stale,
        .ended_by_peer = by_peer,
        .response_begun = e->response_begun,
        .request_begun = e->up.out.sent > 0,
        .idempotent = e->idempotent,
        .replayable = is_replayable(e),
        .repeats_left = e->client ? e->repeats_left : 0,
    };
    enum retry retry = retry_decide(&facts);
    if (dead)
        path_died(e->socket, e->granted_us / 1000);
    else if (by_peer && e->may_be_stale && !e->response_begun)
        socket_found_closed(e->socket, e->granted_us / 1000);
    if (e->may_be_stale) {
        enum socket_failure failure = failure_of(error);
        e->origin->stats.reused_errors[failure]++;
        log_stale(e, failure, retry != RETRY_NO);
    }
    switch (retry) {
    case RETRY_QUEUE: repeat(e, ACQUIRE_AGAIN); return;
    case RETRY_OWN_CONNECTION: repeat(e, ACQUIRE_OWN_CONNECTION); return;
    case RETRY_NO: break;
    }
    tell_failure(e, error, &facts);
}

/* Whether nothing is left in the socket behind the response. */
static bool is_drained(struct exchange *e)
{
    return !e->in && (conn_is_drained(&e->socket->conn) || conn_is_quiet(&e->socket->conn));
}

void attempt_finished(struct exchange *e)
{
    struct socket *s = e->socket;
    struct client *c = e->client;
    e->end.request_complete = e->upload == UPLOAD_DONE;
    e->end.response_complete = true;
    e->end.drained = is_drained(e);
    e->end.peer_ended = !e->end.drained && !e->in && socket_probe(s) == RETIRE_PEER_CLOSED;
    e->socket = NULL;
    bool private_socket = e->private_socket || (c && c->private_socket == s);
    /* What was promised with the head may not hold any more: a stop, a request that is not needed to its end. */
    enum client_close fate = c && e->fate == CLIENT_KEPT ? exchange_fate(e, FAULT_NONE, true) : e->fate;
    enum retire_reason refusal = private_socket ? socket_refusal(s, &e->end) : RETIRE_NONE;
    if (private_socket && refusal == RETIRE_NONE && c && fate == CLIENT_KEPT) {
        client_keep_private(c, s);
    } else if (private_socket) {
        socket_retire(s, refusal == RETIRE_NONE ? RETIRE_PRIVATE : refusal);
    } else {
        socket_release(s, &e->end);
    }
    exchange_end_all(e);
    if (c)
        client_exchange_done(c, fate);
}
