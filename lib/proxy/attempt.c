#include "proxy/attempt.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "pool/http2.h"
#include "proxy/access.h"
#include "proxy/queue_hold_text.h"
#include "proxy/tunnel.h"

/* --- To a place ---------------------------------------------------------------------------------------- */

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
    case CONNECT_NOT_HTTP2: return FAULT_PROTOCOL;
    case CONNECT_NO_RESOURCES: return FAULT_NO_RESOURCES;
    case CONNECT_OK: break;
    }
    return FAULT_INTERNAL;
}

uint32_t attempt_repeats_left(const struct exchange *e)
{
    uint32_t most = exchange_policy(e)->retries, had = e->transfer->attempts.retries;
    return most > had ? most - had : 0;
}

/* Whether it could be repeated if this socket proved stale: otherwise it is worth a look first. Content of
 * unknown length may turn out to be more than is kept for a repeat. */
static bool is_repeatable(const struct exchange *e)
{
    enum body_kind kind = e->framing.kind;
    bool small = kind == BODY_NONE || (kind == BODY_LENGTH && e->transfer->upload.keep_limit > 0);
    return e->asked.idempotent && small && attempt_repeats_left(e) > 0;
}

/* Nothing of the request was acknowledged: whether it is sent again before timeouts.ack decides. */
static bool is_worth_repeating(const struct exchange *e)
{
    bool may_be_stale = exchange_is_http2(e) || e->transfer->attempts.may_be_stale; /* h2: the wire says so */
    return e->state == EXCHANGE_RELAY && e->asked.idempotent && !e->transfer->call.first_byte_us &&
           may_be_stale && attempt_repeats_left(e) > 0 &&
           upload_is_replayable(&e->transfer->upload, &e->transfer->call);
}

/* Nothing but the loop is on the stack, so that who got this exchange's socket is notified at once: at the
 * end of the turn it would have been idle for as long as all others' events take. */
static void on_call_ready(struct call *c, unsigned ready)
{
    struct exchange *e = ((struct transfer *)((char *)c - offsetof(struct transfer, call)))->exchange;
    struct pool *pool = e->client->proxy->pool;
    unsigned halves = 0;
    if ((ready & CALL_WRITABLE) && e->transfer->upload.state == UPLOAD_BLOCKED)
        halves |= EXCHANGE_UPLOAD;
    if ((ready & CALL_UNACKED) && is_worth_repeating(e)) {
        e->transfer->call.wire->loop->failure = (struct call_failure){
            .error = CALL_ERROR_ENDED, .progress = CALL_MAYBE_PROCESSED, .proven = true, .code = ETIMEDOUT};
        attempt_failed(e);
        halves = EXCHANGE_UPLOAD;
    }
    if ((ready & CALL_READABLE) && !download_is_blocked(&e->transfer->download))
        halves |= EXCHANGE_DOWNLOAD;
    struct client *client = e->client;
    exchange_run(e, halves);
    client_process(client);
    pool_notify(pool);
}

static bool open_call(struct exchange *e)
{
    const struct call_request r = {
        .head = buffer_unread(e->head),
        .authority = e->waiter.origin->authority,
        .framing = e->framing,
        .is_head = e->asked.head_only,
        .upgrade = e->asked.upgrade,
        .once = !e->asked.idempotent,
        .te_trailers = e->asked.te_trailers,
        .last = socket_is_on_its_last_exchange(e->transfer->socket),
        .repair = exchange_policy(e)->insecureHTTPParser,
    };
    e->transfer->call.ready = on_call_ready;
    return wire_open(&e->transfer->socket->wire, &e->transfer->call, &r);
}

/* An attempt begins with nothing of a response. */
static void relay(struct exchange *e)
{
    download_restart(&e->transfer->download);
    if (!open_call(e)) {
        exchange_fail(e, FAULT_INTERNAL, RETIRE_ERROR, "out of memory for the request");
        return;
    }
    upload_restart(e);
    e->state = EXCHANGE_RELAY;
}

/* What has happened to a socket since it was given. */
static enum retire_reason look_before(const struct exchange *e, struct socket *s)
{
    if (s->generation != e->waiter.origin->generation && !e->client->proxy->pool->stopping)
        return RETIRE_DRAINED;
    if (!socket_is_permitted(s))
        return RETIRE_DRAINED;
    /* What a new one says already (TLS may have brought it with the handshake) is of this request: the next
     * would say it, too. */
    if (s->protocol == PROTOCOL_HTTP1 && !socket_may_be_stale(s))
        return RETIRE_NONE;
    return socket_look(s, is_repeatable(e));
}

/* It will not be used. Others may have exchanges on it. */
static void decline(struct socket *s, enum retire_reason reason)
{
    if (s->protocol == PROTOCOL_HTTP1) {
        socket_retire(s, reason);
        return;
    }
    socket_drain(s, reason);
    socket_return_unused(s);
}

/* Takes the place that it was given, unless the socket has ended meanwhile: then it asks again. */
static void start(struct exchange *e, struct socket *s)
{
    assert(!exchange_socket(e) && (s->state == SOCKET_ACTIVE || s->state == SOCKET_ROOMY));
    if (!transfer_take(e)) {
        socket_return_unused(s);
        exchange_cut(e, CLIENT_CUT);
        return;
    }
    enum retire_reason reason = look_before(e, s);
    if (reason != RETIRE_NONE)
        decline(s, reason);
    if (reason != RETIRE_NONE || !http2_takes_exchange(s)) {
        e->state = EXCHANGE_ASKING;
        return;
    }
    /* NTLM names its user in the connection's first requests only: what follows on it is as private. */
    if (s->keeper)
        e->asked.private_socket = true;
    e->transfer->socket = s;
    e->transfer->times.granted_us = clock_us();
    e->transfer->times.moved_ms = clock_ms();
    if (s->exchanges == 0)
        e->transfer->times.connect_us = s->connect_us;
    e->transfer->attempts.may_be_stale = socket_may_be_stale(s);
    e->transfer->attempts.was_free = s->was_free;
    socket_begin_exchange(s);
    e->transfer->attempts.reused = s->exchanges > 1;
    if (!e->asked.connect && protocol_may_be_http2(e->waiter.origin))
        e->transfer->attempts.protocol = s->wire.ops->name;
    if (e->asked.connect)
        tunnel_begin(e);
    else
        relay(e);
}

/* While it waits, large buffers are for others. After an attempt, it may have content that points into its
 * client's. */
static void fit_buffers(struct exchange *e)
{
    e->head = buffer_fit(e->head);
    if (!e->transfer)
        e->client->in = buffer_fit(e->client->in);
}

/* While it waits, the client's leaving must be seen at once. */
static void wait_for_place(struct exchange *e)
{
    struct client *c = e->client;
    e->state = EXCHANGE_WAITING;
    fit_buffers(e);
    exchange_arm(e);
    if (c->conn.watched)
        client_watch_later(c); /* a reset may have come with the request */
    else if (!client_watch(c))
        exchange_client_gone(e, CLIENT_CUT);
    if (e->state == EXCHANGE_WAITING && exchange_has_left_the_queue(e))
        exchange_client_gone(e, CLIENT_CLOSED);
}

static struct exchange *exchange_of(const struct waiter *w)
{
    return (struct exchange *)((const char *)w - offsetof(struct exchange, waiter));
}

static void on_blocked(struct waiter *w)
{
    exchange_arm(exchange_of(w));
}

static const void *caller_of(const struct waiter *w)
{
    return exchange_of(w)->client->caller;
}

/* The socket to this origin that is this client's own; NULL: it has none. */
static struct socket *own_socket(const struct exchange *e)
{
    struct socket *own = e->client->private_sockets;
    while (own && own->origin != e->waiter.origin)
        own = own->next_kept;
    return own;
}

static enum acquire_result acquire(struct exchange *e)
{
    struct socket *own = own_socket(e);
    e->waiter.http1_only = e->asked.upgrade || e->asked.private_socket;
    return own ? origin_acquire_own(&e->waiter, own) : origin_acquire(&e->waiter);
}

void attempt_ask(struct exchange *e)
{
    char limit[QUEUE_HOLD_TEXT_SIZE];
    switch (acquire(e)) {
    case ACQUIRED: start(e, e->waiter.socket); return;
    case ACQUIRE_WAITS: wait_for_place(e); return;
    case ACQUIRE_QUEUE_FULL:
        exchange_fail(e, FAULT_NO_PLACE, RETIRE_NONE, "%s", queue_full_text(e->waiter.origin, limit));
        return;
    case ACQUIRE_NO_MEMORY:
        exchange_fail(e, FAULT_NO_RESOURCES, RETIRE_NONE, "out of memory for another connection");
        return;
    }
}

/* Not on a unix path: there the text says more. */
static const char *advice_on(const struct waiter *w)
{
    return w->error == CONNECT_REFUSED && strstr(waiter_error(w), "connection refused")
               ? w->origin->plan.parent ? "; is that proxy running and listening there?"
                                        : "; is the service running and listening there?"
               : "";
}

/* A URL that leads to Carpool itself is one for the app's developer to mend. */
static void fail_unconnected(struct exchange *e, const struct waiter *w)
{
    const struct origin *o = e->waiter.origin;
    char whose[256];
    if (w->error == CONNECT_LOOP && !o->plan.entries &&
        access_own_listener(e->client->proxy->config, o->plan.port, whose, sizeof whose))
        exchange_fail(e, FAULT_LOOP, RETIRE_NONE,
                      "that is Carpool's own %s; set no_proxy=%s, so that the app asks it directly", whose,
                      o->host);
    else
        exchange_fail(e, fault_of_connect(w->error), RETIRE_NONE, "%s%s", waiter_error(w), advice_on(w));
}

static void on_settled(struct waiter *w)
{
    struct exchange *e = exchange_of(w);
    struct client *c = e->client;
    assert(e->state == EXCHANGE_WAITING);
    e->state = EXCHANGE_ASKING;
    if (w->displaced)
        exchange_fail(e, FAULT_NO_PLACE, RETIRE_NONE, "%s", waiter_error(w));
    else if (w->socket)
        start(e, w->socket);
    else if (w->error != CONNECT_OK) /* else a pause kept it from its client's own socket */
        fail_unconnected(e, w);
    exchange_run(e, EXCHANGE_UPLOAD);
    client_process(c);
}

const struct waiter_owner attempt_waiters = {
    .settled = on_settled,
    .blocked = on_blocked,
    .caller = caller_of,
};

/* --- From it ------------------------------------------------------------------------------------------- */

void attempt_give_up(struct exchange *e, enum retire_reason reason)
{
    struct socket *s = exchange_socket(e);
    if (!s)
        return;
    e->transfer->socket = NULL;
    if (e->transfer->call.wire) {
        call_reset(&e->transfer->call);
        upload_interrupted(e);
    }
    /* With HTTP/2 it costs a stream, and others have theirs. */
    if (s->protocol == PROTOCOL_HTTP2)
        socket_release_unharmed(s);
    else
        socket_retire(s, reason);
}

enum client_close attempt_finished(struct exchange *e)
{
    struct socket *s = e->transfer->socket;
    struct client *c = e->client;
    struct call_end end;
    call_finish(&e->transfer->call, &end);
    e->transfer->socket = NULL;
    /* What others share is not one client's own: over HTTP/2, a challenge is passed on. */
    bool is_private = s->protocol == PROTOCOL_HTTP1 && (e->asked.private_socket || s->keeper);
    /* What was promised with the head may not hold any more: a stop, a request that is not needed to its
     * end. */
    enum client_close fate =
        e->outcome.fate == CLIENT_KEPT ? exchange_fate(e, FAULT_NONE, true) : e->outcome.fate;
    enum retire_reason refusal = is_private ? socket_refusal(s, &end) : RETIRE_NONE;
    if (!is_private)
        socket_release(s, &end);
    else if (refusal == RETIRE_NONE && fate == CLIENT_KEPT)
        socket_keep_private(s, &c->private_sockets);
    else
        socket_retire(s, refusal == RETIRE_NONE ? RETIRE_PRIVATE : refusal);
    return fate;
}
