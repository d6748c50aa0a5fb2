#include "proxy/attempt.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/ack.h"
#include "pool/http2.h"
#include "pool/path.h"
#include "proxy/access.h"
#include "proxy/limits.h"
#include "proxy/retry.h"
#include "proxy/tunnel.h"
#include "wire/h2.h"

/* Repeats of a request that an HTTP/2 origin refuses. */
#define REFUSALS_MOST 3

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

/* Whether it could be repeated if this socket proved stale: otherwise it is worth a look first. Content of unknown length
 * may turn out to be more than is kept for a repeat. */
static bool is_repeatable(const struct exchange *e)
{
    enum body_kind kind = e->asked.framing.kind;
    bool small = kind == BODY_NONE || (kind == BODY_LENGTH && e->upload.keep_limit > 0);
    return e->asked.idempotent && small && e->attempts.repeats_left > 0;
}

/* Nothing of the request was acknowledged: whether it is sent again before timeouts.ack decides. */
static bool is_worth_repeating(const struct exchange *e)
{
    bool may_be_stale = exchange_is_http2(e) || e->attempts.may_be_stale; /* h2: the wire says so */
    return e->state == EXCHANGE_RELAY && e->asked.idempotent && !e->call.first_byte_us && may_be_stale &&
           e->attempts.repeats_left > 0 && upload_is_replayable(&e->upload, &e->call);
}

/* Nothing but the loop is on the stack, so that who got this exchange's socket is notified at once: at the end of the
 * turn it would have been idle for as long as all others' events take. */
static void on_call_ready(struct call *c, unsigned ready)
{
    struct exchange *e = (struct exchange *)((char *)c - offsetof(struct exchange, call));
    struct pool *pool = e->proxy->pool;
    unsigned halves = 0;
    if ((ready & CALL_WRITABLE) && e->upload.state == UPLOAD_BLOCKED)
        halves |= EXCHANGE_UPLOAD;
    if ((ready & CALL_UNACKED) && is_worth_repeating(e)) {
        e->call.wire->loop->failure = (struct call_failure){
            .error = CALL_ERROR_ENDED, .progress = CALL_MAYBE_PROCESSED, .proven = true, .code = ETIMEDOUT};
        attempt_failed(e);
        halves = EXCHANGE_UPLOAD;
    }
    if ((ready & CALL_READABLE) && !download_is_blocked(&e->download))
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
        .authority = e->origin->authority,
        .framing = e->asked.framing,
        .is_head = e->asked.head_only,
        .upgrade = e->asked.upgrade,
        .once = !e->asked.idempotent,
        .te_trailers = e->asked.te_trailers,
        .last = socket_is_on_its_last_exchange(e->socket),
        .repair = e->origin->agent->policy->insecureHTTPParser,
    };
    e->call.ready = on_call_ready;
    return wire_open(&e->socket->wire, &e->call, &r);
}

/* An attempt begins with nothing of a response. */
static void relay(struct exchange *e)
{
    download_restart(&e->download);
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
    if (s->generation != e->origin->generation && !e->proxy->pool->stopping)
        return RETIRE_DRAINED;
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
    assert(!e->socket && (s->state == SOCKET_ACTIVE || s->state == SOCKET_ROOMY));
    enum retire_reason reason = look_before(e, s);
    if (reason != RETIRE_NONE)
        decline(s, reason);
    if (reason != RETIRE_NONE || !http2_takes_exchange(s)) {
        e->attempts.how = ACQUIRE_AGAIN;
        e->state = EXCHANGE_ASKING;
        return;
    }
    /* NTLM names its user in the connection's first requests only: what follows on it is as private. */
    if (e->client->private_socket == s)
        e->asked.private_socket = true;
    e->socket = s;
    e->times.granted_us = clock_us();
    e->times.moved_ms = clock_ms();
    if (s->exchanges == 0)
        e->times.connect_us = s->connect_us;
    e->attempts.may_be_stale = socket_may_be_stale(s);
    socket_begin_exchange(s);
    e->attempts.reused = s->exchanges > 1;
    if (!e->asked.connect && protocol_may_be_http2(e->origin))
        e->attempts.protocol = s->wire.ops->name;
    if (e->asked.connect)
        tunnel_begin(e);
    else
        relay(e);
}

/* While it waits, the client's leaving must be seen at once. */
static void wait_for_place(struct exchange *e)
{
    struct client *c = e->client;
    e->state = EXCHANGE_WAITING;
    e->times.waiting_since_ms = clock_ms();
    exchange_arm(e);
    if (c->conn.watched)
        client_watch_later(c); /* a reset may have come with the request */
    else if (!client_watch(c))
        exchange_client_gone(e, CLIENT_CUT);
    if (e->state == EXCHANGE_WAITING && exchange_has_left_the_queue(e))
        exchange_client_gone(e, CLIENT_CLOSED);
}

static struct exchange *exchange_of(struct waiter *w)
{
    return (struct exchange *)((char *)w - offsetof(struct exchange, waiter));
}

void attempt_blocked(struct waiter *w)
{
    exchange_arm(exchange_of(w));
}

/* The socket that is this client's own, if it fits. */
static struct socket *own_socket(const struct exchange *e)
{
    struct socket *own = e->client->private_socket;
    return own && own->origin == e->origin && !e->asked.connect ? own : NULL;
}

static enum acquire_result acquire(struct exchange *e)
{
    struct socket *own = own_socket(e);
    e->waiter.http1_only = e->asked.upgrade || e->asked.private_socket;
    return own ? origin_acquire_own(e->origin, &e->waiter, e->attempts.how, own)
               : origin_acquire(e->origin, &e->waiter, e->attempts.how);
}

void attempt_ask(struct exchange *e)
{
    char limit[LIMITS_TEXT_SIZE];
    switch (acquire(e)) {
    case ACQUIRED: start(e, e->waiter.socket); return;
    case ACQUIRE_WAITS: wait_for_place(e); return;
    case ACQUIRE_QUEUE_FULL:
        exchange_fail(e, FAULT_LIMIT, RETIRE_NONE, "%s", limits_queue_text(e->origin, limit));
        return;
    case ACQUIRE_NO_MEMORY:
        exchange_fail(e, FAULT_INTERNAL, RETIRE_NONE, "out of memory for another connection");
        return;
    }
}

/* A URL that leads to Carpool itself has a reader of its own. */
static void fail_unconnected(struct exchange *e, const struct waiter *w)
{
    const struct origin *o = e->origin;
    char whose[256];
    if (w->error == CONNECT_LOOP && !o->plan.entries &&
        access_own_listener(e->proxy->config, o->plan.port, whose, sizeof whose))
        exchange_fail(e, FAULT_LOOP, RETIRE_NONE,
                      "that is Carpool's own %s; set no_proxy=%s, so that the app asks it directly", whose,
                      o->host);
    else
        exchange_fail(e, fault_of_connect(w->error), RETIRE_NONE, "%s", w->error_text);
}

void attempt_settled(struct waiter *w)
{
    struct exchange *e = exchange_of(w);
    struct client *c = e->client;
    assert(e->state == EXCHANGE_WAITING);
    e->times.waited_us += clock_us() - w->since_us;
    e->state = EXCHANGE_ASKING;
    e->attempts.how = ACQUIRE_AGAIN;
    if (w->displaced)
        exchange_fail(e, FAULT_LIMIT, RETIRE_NONE, "%s", w->error_text);
    else if (w->socket)
        start(e, w->socket);
    else if (w->error != CONNECT_OK) /* else a pause kept it from its client's own socket */
        fail_unconnected(e, w);
    exchange_run(e, EXCHANGE_UPLOAD);
    client_process(c);
}

/* --- From it ------------------------------------------------------------------------------------------- */

void attempt_give_up(struct exchange *e, enum retire_reason reason)
{
    struct socket *s = e->socket;
    e->socket = NULL;
    if (!s)
        return;
    if (e->call.wire)
        call_reset(&e->call);
    /* With HTTP/2 it costs a stream, and others have theirs. */
    if (s->protocol == PROTOCOL_HTTP2)
        socket_release_unharmed(s);
    else
        socket_retire(s, reason);
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
              LOG_N("idleMs", s->idle_since_ms ? e->times.granted_us / 1000 - s->idle_since_ms : 0),
              LOG_SLICE("method", ((struct slice){line.p, space ? (size_t)(space - line.p) : 0})));
}

static void repeat(struct exchange *e, enum acquire_how how)
{
    e->attempts.repeats_left--;
    e->attempts.retries++;
    e->origin->stats.retries++;
    attempt_give_up(e, RETIRE_ERROR);
    e->attempts.how = how;
    e->state = EXCHANGE_ASKING;
}

static void fail_dead_path(struct exchange *e, int error, const struct attempt *facts)
{
    exchange_fail(
        e, FAULT_DEAD_PATH, RETIRE_ERROR,
        "the origin's host acknowledged nothing of what was sent (%s): it is gone, or a firewall, NAT or load "
        "balancer dropped the connection%s",
        strerror(error), retry_refusal(facts));
}

/* The origin certainly did nothing with it. */
static void repeat_unprocessed(struct exchange *e, const struct call_failure *f, const struct attempt *facts)
{
    struct origin *o = e->origin;
    e->attempts.refusals += !facts->routine;
    o->stats.unprocessed++;
    attempt_give_up(e, RETIRE_NONE);
    if (f->error == CALL_ERROR_HTTP_1_1)
        protocol_require_http1(o);
    e->attempts.how = ACQUIRE_AGAIN;
    e->state = EXCHANGE_ASKING;
}

static void fail_ended(struct exchange *e, const struct call_failure *f, const struct attempt *facts)
{
    if (ack_is_dead_path(f->code)) {
        fail_dead_path(e, f->code, facts);
        return;
    }
    bool asks_tls = !e->origin->plan.tls && !facts->response_begun && e->origin->plan.port % 1000 == 443;
    exchange_fail(
        e, FAULT_TERMINATED, RETIRE_ERROR, "the origin %s the connection before %s%s%s%s%s",
        f->code ? "ended" : "closed", facts->response_begun ? "its response was complete" : "it answered",
        f->code ? " (" : "", f->code ? strerror(f->code) : "", f->code ? ")" : "",
        asks_tls ? "; if it speaks TLS on this port: set tls: true for this upstream" : retry_refusal(facts));
}

/* The origin blames the request's framing, which is Carpool's (RFC 9113 7). */
static bool is_blame(int code)
{
    return code == H2_PROTOCOL_ERROR || code == H2_FLOW_CONTROL_ERROR || code == H2_FRAME_SIZE_ERROR ||
           code == H2_COMPRESSION_ERROR;
}

/* HTTP/2: what ended the stream, but not its connection. */
static void fail_with_stream(struct exchange *e, const struct call_failure *f, const struct attempt *facts)
{
    const char *name = h2_error_name((uint32_t)f->code);
    if (f->error == CALL_ERROR_PING)
        exchange_fail(e, FAULT_READ_TIMEOUT, RETIRE_NONE,
                      "the origin answers no PING any more (h2Options.pingTimeout): the way there is dead");
    else if (f->error == CALL_ERROR_CALM)
        exchange_fail(e, FAULT_UNAVAILABLE, RETIRE_NONE,
                      "the origin finds it has too much to do (RST_STREAM %s)", name);
    else if (facts->unprocessed && !facts->response_begun)
        exchange_fail(e, facts->replayable ? FAULT_UNAVAILABLE : FAULT_INCOMPLETE, RETIRE_NONE,
                      "the origin did not take the request (%s)%s", name, retry_refusal(facts));
    else
        exchange_fail(e, is_blame(f->code) ? FAULT_PROTOCOL : FAULT_INCOMPLETE, RETIRE_NONE,
                      "the origin ended the request's stream before %s (RST_STREAM %s)",
                      facts->response_begun ? "its response was complete" : "it answered", name);
}

/* What a failed call that is not repeated is answered with. */
static void fail_with(struct exchange *e, const struct call_failure *f, const struct attempt *facts)
{
    switch (f->error) {
    case CALL_ERROR_ENDED: fail_ended(e, f, facts); return;
    case CALL_ERROR_TLS_PROTOCOL: exchange_fail(e, FAULT_TLS_PROTOCOL, RETIRE_ERROR, "%s", f->text); return;
    case CALL_ERROR_TLS_CERTIFICATE:
        exchange_fail(e, FAULT_TLS_CERTIFICATE, RETIRE_ERROR, "%s", f->text);
        return;
    case CALL_ERROR_TLS_ALERT: exchange_fail(e, FAULT_TLS_ALERT, RETIRE_ERROR, "%s", f->text); return;
    case CALL_ERROR_MALFORMED:
        exchange_fail(e, FAULT_PROTOCOL, RETIRE_PROTOCOL_ERROR, "malformed response: %s", f->text);
        return;
    case CALL_ERROR_REPAIRABLE:
        exchange_fail(e, FAULT_PROTOCOL, RETIRE_PROTOCOL_ERROR,
                      "malformed response: %s; mend the service, or set insecureHTTPParser: true", f->text);
        return;
    case CALL_ERROR_HEAD_TOO_LARGE:
        exchange_fail(e, FAULT_RESPONSE_HEAD_SIZE, RETIRE_PROTOCOL_ERROR,
                      "the response's head is too large: %s", f->text);
        return;
    case CALL_ERROR_SPEAKS_TLS:
        exchange_fail(e, FAULT_PROTOCOL, RETIRE_PROTOCOL_ERROR,
                      "the origin speaks TLS on this port: "
                      "set tls: true for this upstream, or ask for https://");
        return;
    case CALL_ERROR_PARENT:
        exchange_fail(e, FAULT_PARENT, RETIRE_ERROR,
                      "the parent proxy %s refused the request: 407; set user and password in `proxy`",
                      f->text);
        return;
    case CALL_ERROR_TRUNCATED:
        exchange_fail(e, FAULT_TERMINATED, RETIRE_ERROR,
                      "the origin ended TLS without close_notify: the response may be incomplete");
        return;
    case CALL_ERROR_NO_MEMORY: exchange_fail(e, FAULT_INTERNAL, RETIRE_ERROR, "%s", f->text); return;
    case CALL_ERROR_CALM:
    case CALL_ERROR_REFUSED:
    case CALL_ERROR_HTTP_1_1:
    case CALL_ERROR_RESET:
    case CALL_ERROR_PING: fail_with_stream(e, f, facts); return;
    }
}

void attempt_failed(struct exchange *e)
{
    const struct call_failure failure = e->socket->wire.loop->failure;
    int error = failure.code;
    bool dead = failure.error == CALL_ERROR_ENDED && ack_is_dead_path(error);
    bool by_peer =
        failure.error == CALL_ERROR_ENDED && (error == 0 || error == ECONNRESET || error == EPIPE || dead);
    bool is_http2 = exchange_is_http2(e);
    bool refused = failure.error == CALL_ERROR_REFUSED || failure.error == CALL_ERROR_HTTP_1_1;
    const struct attempt facts = {
        .reused = is_http2 ? failure.proven : e->attempts.may_be_stale,
        .unprocessed = is_http2 && (refused || failure.progress == CALL_NOT_SENT),
        .routine = (failure.proven && (failure.progress == CALL_NOT_SENT || failure.orderly)) ||
                   (failure.orderly && failure.took),
        .refusals_left = REFUSALS_MOST - e->attempts.refusals,
        .ended_by_peer = by_peer || failure.error == CALL_ERROR_PING,
        .response_begun = e->call.first_byte_us > 0,
        .request_begun = e->call.sent > 0,
        .idempotent = e->asked.idempotent,
        .replayable = upload_is_replayable(&e->upload, &e->call),
        .repeats_left = e->attempts.repeats_left,
    };
    enum retry retry = retry_decide(&facts);
    if (dead)
        path_died(e->socket, e->times.granted_us / 1000);
    else if (by_peer && facts.reused && !facts.response_begun)
        socket_found_closed(e->socket, e->times.granted_us / 1000);
    if (e->attempts.may_be_stale && failure.error == CALL_ERROR_ENDED && e->download.state == DOWNLOAD_HEAD) {
        enum socket_failure kind = failure_of(error);
        e->origin->stats.reused_errors[kind]++;
        log_stale(e, kind, retry != RETRY_NO);
    }
    switch (retry) {
    case RETRY_QUEUE: repeat(e, ACQUIRE_AGAIN); return;
    case RETRY_UNPROCESSED: repeat_unprocessed(e, &failure, &facts); return;
    case RETRY_OWN_CONNECTION: repeat(e, ACQUIRE_OWN_CONNECTION); return;
    case RETRY_NO: break;
    }
    fail_with(e, &failure, &facts);
}

enum client_close attempt_finished(struct exchange *e)
{
    struct socket *s = e->socket;
    struct client *c = e->client;
    struct call_end end;
    call_finish(&e->call, &end);
    e->socket = NULL;
    /* What others share is not one client's own: over HTTP/2, a challenge is passed on. */
    bool is_private = s->protocol == PROTOCOL_HTTP1 && (e->asked.private_socket || c->private_socket == s);
    /* What was promised with the head may not hold any more: a stop, a request that is not needed to its end. */
    enum client_close fate =
        e->outcome.fate == CLIENT_KEPT ? exchange_fate(e, FAULT_NONE, true) : e->outcome.fate;
    enum retire_reason refusal = is_private ? socket_refusal(s, &end) : RETIRE_NONE;
    if (!is_private)
        socket_release(s, &end);
    else if (refusal == RETIRE_NONE && fate == CLIENT_KEPT)
        client_keep_private(c, s);
    else
        socket_retire(s, refusal == RETIRE_NONE ? RETIRE_PRIVATE : refusal);
    return fate;
}
