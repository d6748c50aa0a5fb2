/* An attempt that failed: whether the request is repeated, and if not, what its client is answered. */

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/ack.h"
#include "pool/path.h"
#include "proxy/attempt.h"
#include "proxy/retry.h"
#include "wire/h2.h"

/* Repeats of a request that an HTTP/2 origin refuses. */
#define REFUSALS_MOST 3

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
    const struct socket *s = e->transfer->socket;
    uint64_t now = clock_ms();
    if (!log_enabled(LOG_INFO))
        return;
    struct slice line = buffer_unread(e->head);
    const char *space = memchr(line.p, ' ', line.n);
    log_event(LOG_INFO, repeated ? "reused socket was stale, request repeated" : "reused socket failed",
              LOG_S("agent", e->waiter.origin->agent->name),
              LOG_S("target", strstr(e->waiter.origin->key, "://") + 3), LOG_B("reused", true),
              LOG_S("code", socket_failure_code(failure)), LOG_N("socketAgeMs", now - s->opened_ms),
              LOG_N("idleMs", e->transfer->attempts.was_free
                                  ? e->transfer->times.granted_us / 1000 - s->idle_since_ms
                                  : 0),
              LOG_SLICE("method", ((struct slice){line.p, space ? (size_t)(space - line.p) : 0})));
}

static void repeat(struct exchange *e)
{
    e->transfer->attempts.retries++;
    e->waiter.origin->stats.retries++;
    attempt_give_up(e, RETIRE_ERROR);
    e->state = EXCHANGE_ASKING;
}

static void fail_dead_path(struct exchange *e, int error, const struct failed_attempt *facts)
{
    exchange_fail(
        e, FAULT_DEAD_PATH, RETIRE_ERROR,
        "the origin's host acknowledged nothing of what was sent (%s): it is gone, or a firewall, NAT or load "
        "balancer dropped the connection%s",
        strerror(error), why_not_repeated(facts));
}

/* The origin certainly did nothing with it. */
static void repeat_unprocessed(struct exchange *e, const struct call_failure *f,
                               const struct failed_attempt *facts)
{
    struct origin *o = e->waiter.origin;
    e->transfer->attempts.refusals += !facts->routine;
    o->stats.unprocessed++;
    attempt_give_up(e, RETIRE_NONE);
    if (f->error == CALL_ERROR_HTTP_1_1)
        protocol_require_http1(o);
    e->state = EXCHANGE_ASKING;
}

/* Some servers reset a connection to their TLS port that begins otherwise, and others close it. Who has answered
 * without TLS does not speak it. */
static bool may_want_tls(const struct exchange *e, const struct call_failure *f,
                         const struct failed_attempt *facts)
{
    const struct origin *o = e->waiter.origin;
    if (o->plan.tls || facts->response_begun || histogram_count(&o->stats.request) > 0)
        return false;
    return o->plan.port % 1000 == 443 || (!facts->reused && f->code == ECONNRESET);
}

static const char *advice_on_end(const struct exchange *e, const struct call_failure *f,
                                 const struct failed_attempt *facts)
{
    if (may_want_tls(e, f, facts))
        return "; if it speaks TLS on this port: set tls: true for this upstream";
    const char *why = why_not_repeated(facts);
    return *why ? why : "; the service's log may say why";
}

static void fail_ended(struct exchange *e, const struct call_failure *f, const struct failed_attempt *facts)
{
    if (ack_is_dead_path(f->code)) {
        fail_dead_path(e, f->code, facts);
        return;
    }
    exchange_fail(e, FAULT_TERMINATED, RETIRE_ERROR, "the origin %s the connection before %s%s%s%s%s",
                  f->code ? "ended" : "closed",
                  facts->response_begun ? "its response was complete" : "it answered", f->code ? " (" : "",
                  f->code ? strerror(f->code) : "", f->code ? ")" : "", advice_on_end(e, f, facts));
}

/* The origin blames the request's framing, which is Carpool's (RFC 9113 7). */
static bool is_blame(int code)
{
    return code == H2_PROTOCOL_ERROR || code == H2_FLOW_CONTROL_ERROR || code == H2_FRAME_SIZE_ERROR ||
           code == H2_COMPRESSION_ERROR;
}

/* HTTP/2: what ended the stream, but not its connection. */
static void fail_with_reset(struct exchange *e, const struct call_failure *f,
                            const struct failed_attempt *facts)
{
    const char *name = h2_error_name((uint32_t)f->code);
    if (f->error == CALL_ERROR_PING)
        exchange_fail(e, FAULT_READ_TIMEOUT, RETIRE_NONE,
                      "the origin no longer answers PINGs (h2Options.pingTimeout): the path to it is dead");
    else if (f->error == CALL_ERROR_CALM)
        exchange_fail(e, FAULT_UNAVAILABLE, RETIRE_NONE, "the origin is overloaded (RST_STREAM %s)", name);
    else if (facts->unprocessed && !facts->response_begun)
        exchange_fail(e, facts->replayable ? FAULT_UNAVAILABLE : FAULT_INCOMPLETE, RETIRE_NONE,
                      "the origin did not take the request (%s)%s", name, why_not_repeated(facts));
    else
        exchange_fail(e, is_blame(f->code) ? FAULT_PROTOCOL : FAULT_INCOMPLETE, RETIRE_NONE,
                      "the origin ended the request's stream before %s (RST_STREAM %s)",
                      facts->response_begun ? "its response was complete" : "it answered", name);
}

/* What a failed call that is not repeated is answered with. */
static void fail_with(struct exchange *e, const struct call_failure *f, const struct failed_attempt *facts)
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
    case CALL_ERROR_PING: fail_with_reset(e, f, facts); return;
    }
}

static bool is_dead(const struct call_failure *f)
{
    return f->error == CALL_ERROR_ENDED && ack_is_dead_path(f->code);
}

static bool is_end_by_peer(const struct call_failure *f)
{
    return f->error == CALL_ERROR_ENDED && (f->code == 0 || f->code == ECONNRESET || f->code == EPIPE);
}

static struct failed_attempt facts_of(const struct exchange *e, const struct call_failure *f)
{
    const struct transfer *t = e->transfer;
    bool is_http2 = exchange_is_http2(e);
    bool refused = f->error == CALL_ERROR_REFUSED || f->error == CALL_ERROR_HTTP_1_1;
    return (struct failed_attempt){
        .reused = is_http2 ? f->proven : t->attempts.may_be_stale,
        .unprocessed = is_http2 && (refused || f->progress == CALL_NOT_SENT),
        .routine = (f->proven && (f->progress == CALL_NOT_SENT || f->orderly)) || (f->orderly && f->took),
        .unprocessed_repeats_left = REFUSALS_MOST - t->attempts.refusals,
        .ended_by_peer = is_end_by_peer(f) || is_dead(f) || f->error == CALL_ERROR_PING,
        .response_begun = t->call.first_byte_us > 0,
        .request_begun = t->call.sent > 0,
        .idempotent = e->asked.idempotent,
        .replayable = upload_is_replayable(&t->upload, &t->call),
        .repeats_left = attempt_repeats_left(e),
    };
}

/* What it says of the socket's path, and of how long the origin keeps what is idle. */
static void note_failure(struct exchange *e, const struct call_failure *f, const struct failed_attempt *facts,
                         bool repeated)
{
    const struct transfer *t = e->transfer;
    if (is_dead(f))
        path_died(t->socket, t->times.granted_us / 1000);
    else if (is_end_by_peer(f) && facts->reused && !facts->response_begun)
        idle_closed_under_request(t->socket, t->times.granted_us / 1000);
    if (t->attempts.may_be_stale && f->error == CALL_ERROR_ENDED && t->download.state == DOWNLOAD_HEAD) {
        enum socket_failure kind = failure_of(f->code);
        e->waiter.origin->stats.reused_errors[kind]++;
        log_stale(e, kind, repeated);
    }
}

void attempt_failed(struct exchange *e)
{
    const struct call_failure failure = e->transfer->socket->wire.loop->failure;
    const struct failed_attempt facts = facts_of(e, &failure);
    enum retry retry = retry_decide(&facts);
    note_failure(e, &failure, &facts, retry != RETRY_NO);
    switch (retry) {
    case RETRY_QUEUE: repeat(e); return;
    case RETRY_UNPROCESSED: repeat_unprocessed(e, &failure, &facts); return;
    case RETRY_OWN_CONNECTION:
        e->waiter.how = ACQUIRE_OWN_CONNECTION;
        repeat(e);
        return;
    case RETRY_NO: break;
    }
    fail_with(e, &failure, &facts);
}
