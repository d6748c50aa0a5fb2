#include "proxy/exchange.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/coding.h"
#include "http/fields.h"
#include "proxy/access.h"
#include "proxy/fate.h"
#include "proxy/handover.h"
#include "proxy/response_head.h"
#include "proxy/rewrite.h"
#include "proxy/route.h"

/* How long what is left of a response is waited for when its client has gone. */
#define DRAIN_MS 1000

static void on_timer(void *ctx);

static struct exchange *take_exchange(struct proxy *p)
{
    struct exchange *e = TAILQ_FIRST(&p->spare_exchanges);
    if (e) {
        TAILQ_REMOVE(&p->spare_exchanges, e, link);
        p->spare_exchange_count--;
    } else {
        e = calloc(1, sizeof *e);
        if (!e)
            return NULL;
        timer_init(&e->timer, p->base, on_timer, e);
    }
    return e;
}

/* Field by field: most of an exchange is scratch that is written before it is read. */
static struct exchange *new_exchange(struct client *c)
{
    struct proxy *p = c->proxy;
    struct exchange *e = take_exchange(p);
    if (!e)
        return NULL;
    e->proxy = p;
    e->client = c;
    e->origin = NULL;
    e->socket = NULL;
    e->waiter.state = WAITER_IDLE;
    e->waiter.pending_us = 0;
    e->waiter.settled = attempt_settled;
    e->waiter.blocked = attempt_blocked;
    e->state = EXCHANGE_REPLY;
    e->idempotent = e->asked_head = e->is_connect = e->asked_upgrade = e->te_trailers = e->accepts_gzip =
        false;
    e->from_http_1_0 = e->client_persists = e->private_socket = false;
    e->head = e->in = e->out = NULL;
    e->request_framing = (struct framing){.kind = BODY_CLOSE}; /* unknown: it has no end */
    relay_begin(&e->up, e->request_framing, RELAY_RAW);
    relay_begin(&e->down, (struct framing){.kind = BODY_NONE}, RELAY_RAW);
    e->upload = UPLOAD_STOPPED;
    e->repeats_left = e->retries = 0;
    e->scanned = 0;
    e->head_fault = HEAD_OK;
    e->repaired = NULL;
    e->response_begun = e->in_body = e->download_blocked = false;
    e->fate = CLIENT_KEPT;
    e->interim = 0;
    e->interim_close = false;
    e->end = (struct exchange_end){0};
    e->status = 0;
    e->fault = FAULT_NONE;
    e->began_us = clock_us();
    e->granted_us = e->first_byte_us = e->connect_us = e->waited_us = 0;
    e->waiting_since_ms = e->moved_ms = e->blocked_since_ms = e->body_grace_ms = e->drained_since_ms = 0;
    e->took_ms = 0;
    e->content_out = 0;
    e->reused = e->may_be_stale = false;
    c->exchange = e;
    TAILQ_INSERT_TAIL(&p->exchanges, e, link);
    return e;
}

/* --- The end ------------------------------------------------------------------------------------------- */

void exchange_end_all(struct exchange *e)
{
    assert(e->state != EXCHANGE_DEAD && !e->socket);
    if (e->client) {
        exchange_record(e);
        e->client->at_boundary = relay_source_is_spent(&e->up);
        e->client->exchange = NULL;
    }
    waiter_cancel(&e->waiter);
    relay_end(&e->up);
    relay_end(&e->down);
    buffer_give(e->head);
    response_head_done(e);
    buffer_give(e->in);
    buffer_give(e->out);
    timer_clear(&e->timer);
    if (e->origin)
        origin_let_go(e->origin);
    e->state = EXCHANGE_DEAD;
    TAILQ_REMOVE(&e->proxy->exchanges, e, link);
    TAILQ_INSERT_TAIL(&e->proxy->dead_exchanges, e, link);
}

static void retire_socket(struct exchange *e, enum retire_reason reason)
{
    struct socket *s = e->socket;
    e->socket = NULL;
    if (!s)
        return;
    if (e->client && e->client->private_socket == s)
        e->client->private_socket = NULL;
    socket_retire(s, reason);
}

enum client_close exchange_fate(const struct exchange *e, enum fault fault, bool delimited)
{
    const struct client *c = e->client;
    const struct fate_facts facts = {
        .stopping = e->proxy->stopping,
        .last_allowed = c->requests >= e->proxy->config->server.maxRequestsPerSocket,
        .refused =
            e->is_connect || (fault == FAULT_DENIED && !access_client_allowed(e->proxy->config, &c->peer)),
        .head_read = e->head != NULL,
        .request_read = relay_source_is_spent(&e->up),
        .client_wants = e->client_persists,
        .delimited = delimited,
        .fault = fault,
    };
    return client_fate(&facts);
}

void exchange_await_client(struct exchange *e)
{
    struct client *c = e->client;
    client_watch(c);
    if (c->exchange == e)
        client_arm(c);
}

/* The reply was handed to the kernel whole. */
static void reply_done(struct exchange *e)
{
    struct client *c = e->client;
    enum client_close fate = e->fate;
    exchange_end_all(e);
    client_exchange_done(c, fate);
}

static void reply_pump(struct exchange *e)
{
    e->client->conn.last = e->fate != CLIENT_KEPT;
    switch (sendq_flush(&e->down.out, &e->client->conn)) {
    case SENDQ_EMPTY: reply_done(e); return;
    case SENDQ_BLOCKED:
        e->download_blocked = true;
        exchange_await_client(e);
        return;
    case SENDQ_FAILED: exchange_client_gone(e, CLIENT_CLOSED); return;
    }
}

void exchange_reply(struct exchange *e, const struct reply *r)
{
    e->state = EXCHANGE_REPLY;
    e->status = r->fault == FAULT_NONE ? r->status : fault_status(r->fault);
    if (e->upload == UPLOAD_STARVED || e->upload == UPLOAD_BLOCKED)
        e->upload = UPLOAD_STOPPED;
    timer_clear(&e->timer);
    buffer_give(e->out);
    e->out = buffer_borrow(&e->proxy->heads);
    if (!e->out || !reply_write(&e->out, r)) {
        exchange_cut(e, CLIENT_CUT);
        return;
    }
    e->content_out = r->head_only ? 0 : reply_length(r);
    sendq_clear(&e->down.out);
    sendq_push(&e->down.out, buffer_unread(e->out));
    e->took_ms = clock_ms();
    reply_pump(e);
}

/* The message stays the same, so that a storm of them is counted instead of written. */
static void log_fault(const struct exchange *e, enum fault fault, const char *text)
{
    enum log_level level = fault_status(fault) >= 500 ? LOG_WARN : LOG_INFO;
    char peer[ADDRESS_TEXT_SIZE];
    if (!log_enabled(level))
        return;
    log_event(level, "request failed", LOG_S("detail", text),
              LOG_S("client", e->client ? peer_address_format(&e->client->peer, peer) : "-"),
              LOG_S("agent", e->origin ? e->origin->agent->name : "-"),
              LOG_S("target", e->origin ? e->origin->key : "-"), LOG_N("status", fault_status(fault)),
              LOG_S("error", fault_error(fault)));
}

/* "payments: https://pay.example.com:443: <what happened>" */
static void describe(const struct exchange *e, const char *text, char *out, size_t size)
{
    if (e->origin)
        snprintf(out, size, "agent %s, origin %s: %s", e->origin->agent->name, e->origin->key, text);
    else
        snprintf(out, size, "%s", text);
}

void exchange_fail(struct exchange *e, enum fault fault, enum retire_reason reason, const char *format, ...)
{
    char text[512], whole[800];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    waiter_cancel(&e->waiter);
    retire_socket(e, reason);
    if (!e->client) {
        exchange_end_all(e); /* nobody's trouble: its client had gone before */
        return;
    }
    describe(e, text, whole, sizeof whole);
    log_fault(e, fault, whole);
    if (e->origin && fault_status(fault) >= 500)
        agent_record_error(e->origin->agent, e->origin->key, fault_error(fault), text);
    e->fault = fault;
    /* Nor is there a place for an answer behind half an interim response. */
    if (e->in_body || e->down.out.count > 0) {
        exchange_cut(e, CLIENT_CUT);
        return;
    }
    e->fate = exchange_fate(e, fault, true);
    const struct reply r = {
        .fault = fault,
        .instance = e->proxy->instance,
        .text = slice_of(whole),
        .to_http_1_0 = e->from_http_1_0,
        .close = e->fate != CLIENT_KEPT,
        .keep_alive = true,
        .head_only = e->asked_head,
    };
    exchange_reply(e, &r);
}

/* What a cut without a failure before it is called. */
static enum fault fault_of_cut(enum client_close reason)
{
    if (reason == CLIENT_SHUTDOWN)
        return FAULT_TOO_MANY_CLIENTS;
    return reason == CLIENT_TIMEOUT || reason == CLIENT_REQUEST_TIMEOUT ? FAULT_CLIENT_TOO_SLOW
                                                                        : FAULT_INTERNAL;
}

void exchange_cut(struct exchange *e, enum client_close reason)
{
    struct client *c = e->client;
    if (e->fault == FAULT_NONE)
        e->fault = fault_of_cut(reason);
    waiter_cancel(&e->waiter);
    retire_socket(e, reason == CLIENT_SHUTDOWN ? RETIRE_SHUTDOWN : RETIRE_CLIENT_ABORTED);
    /* A FIN would end a message that the end of the connection delimits as if it were whole. */
    bool reset = e->in_body && e->down.format == RELAY_RAW && e->down.framing.kind != BODY_LENGTH;
    exchange_end_all(e);
    if (c)
        client_close(c, reason, reset);
}

/* --- The client's side --------------------------------------------------------------------------------- */

/* What is left of the response is little enough to be read for the sake of the socket (drainLimit), and is there
 * already or about to be: a stream of events may trickle for hours. */
static bool worth_draining(const struct exchange *e)
{
    if (e->state != EXCHANGE_RELAY || !e->in_body || e->upload != UPLOAD_DONE || e->private_socket ||
        e->proxy->stopping)
        return false;
    uint64_t limit = e->origin->agent->policy->drainLimit;
    bool is_young = clock_us() - e->first_byte_us < DRAIN_MS * 1000;
    switch (e->down.framing.kind) {
    case BODY_LENGTH: return e->down.left <= limit;
    case BODY_CHUNKED: return limit > 0 && (e->download_blocked || is_young);
    case BODY_NONE: return true;
    case BODY_CLOSE:
    case BODY_TUNNEL: break;
    }
    return false;
}

void exchange_client_gone(struct exchange *e, enum client_close reason)
{
    struct client *c = e->client;
    if (!worth_draining(e)) {
        waiter_cancel(&e->waiter);
        retire_socket(e, RETIRE_CLIENT_ABORTED);
        exchange_end_all(e);
        client_close(c, reason, false);
        return;
    }
    exchange_record(e);
    c->exchange = NULL;
    e->client = NULL;
    if (c->private_socket == e->socket)
        c->private_socket = NULL;
    client_close(c, reason, false);
    e->state = EXCHANGE_DRAIN;
    relay_discard(&e->down);
    e->download_blocked = false;
    e->content_out = e->down.content;
    e->drained_since_ms = clock_ms();
    exchange_arm(e);
    download_pump(e);
}

static bool is_pending(const struct exchange *e)
{
    return e->state == EXCHANGE_WAITING && e->waiter.state == WAITER_BLOCKED;
}

/* Half a connection does not wait for a limit. */
static bool has_left_the_queue(const struct exchange *e)
{
    return is_pending(e) && e->client->conn.peer_fin && !e->proxy->config->server.halfClose;
}

void exchange_client_fin(struct exchange *e)
{
    if (has_left_the_queue(e))
        exchange_client_gone(e, CLIENT_CLOSED);
}

uint64_t exchange_client_due(const struct exchange *e, enum client_close *reason)
{
    const struct server_options *server = &e->proxy->config->server;
    *reason = CLIENT_TIMEOUT;
    if (e->download_blocked)
        return server->timeout ? e->took_ms + server->timeout : 0;
    *reason = CLIENT_REQUEST_TIMEOUT;
    if (e->state != EXCHANGE_RELAY || e->upload != UPLOAD_STARVED)
        return 0;
    uint64_t grace = e->body_grace_ms + e->waited_us / 1000;
    return server->requestTimeout ? e->client->since_ms + server->requestTimeout + grace : 0;
}

void exchange_client_too_slow(struct exchange *e, enum client_close reason)
{
    if (reason == CLIENT_REQUEST_TIMEOUT && !e->in_body)
        exchange_fail(e, FAULT_CLIENT_TOO_SLOW, RETIRE_CLIENT_ABORTED,
                      "the request's body did not come within server.requestTimeout");
    else
        exchange_cut(e, reason);
}

void exchange_client_ready(struct exchange *e, unsigned ready)
{
    struct client *c = e->client;
    if ((ready & CONN_WRITABLE) && e->download_blocked) {
        e->download_blocked = false;
        e->moved_ms = clock_ms(); /* the origin's time has stood still */
        if (e->state == EXCHANGE_REPLY)
            reply_pump(e);
        else
            download_pump(e);
        if (c->exchange != e)
            return;
        if (e->state == EXCHANGE_RELAY)
            exchange_arm(e);
    }
    if (!(ready & CONN_READABLE) || e->state == EXCHANGE_REPLY)
        return;
    if (e->state == EXCHANGE_RELAY && e->upload == UPLOAD_STARVED) {
        upload_pump(e);
        return;
    }
    if (e->upload != UPLOAD_DONE && e->state != EXCHANGE_WAITING)
        c->gone |= conn_has_failed(&c->conn); /* its bytes wait in the kernel until the origin takes some */
    else
        client_look(c);
    if (c->gone)
        exchange_client_gone(e, CLIENT_CLOSED);
    else if (c->conn.peer_fin)
        exchange_client_fin(e);
}

/* --- The beginning ------------------------------------------------------------------------------------- */

static bool is_idempotent(const struct head *h)
{
    static const struct slice methods[] = {SLICE("GET"),   SLICE("HEAD"), SLICE("OPTIONS"),
                                           SLICE("TRACE"), SLICE("PUT"),  SLICE("DELETE")};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (slice_eq(h->method, methods[i]))
            return true;
    return (slice_eq(h->method, SLICE("POST")) || slice_eq(h->method, SLICE("PATCH"))) &&
           has_idempotency_key(h);
}

/* A body of a request in which HTTP/1.0 defined none may be the next request to somebody else (RFC 9112 3.3). */
static bool has_odd_body(const struct head *h, const struct framing *f)
{
    return h->minor == 0 && f->kind != BODY_NONE &&
           (slice_eq(h->method, SLICE("GET")) || slice_eq(h->method, SLICE("HEAD")) ||
            slice_eq(h->method, SLICE("DELETE")));
}

static void learn(struct exchange *e, const struct head *h, const struct framing *f)
{
    e->request_framing = *f;
    relay_begin(&e->up, *f, f->kind == BODY_CHUNKED ? RELAY_CHUNKED : RELAY_RAW);
    e->upload = e->up.ended ? UPLOAD_DONE : UPLOAD_STOPPED;
    e->idempotent = is_idempotent(h);
    e->asked_head = slice_eq(h->method, SLICE("HEAD"));
    e->is_connect = slice_eq(h->method, SLICE("CONNECT"));
    e->from_http_1_0 = h->minor == 0;
    e->client_persists = head_is_persistent(h) && !has_odd_body(h, f);
    e->te_trailers = head_has(h, FIELD_TE) && te_has_trailers(h);
    e->accepts_gzip = head_has(h, FIELD_ACCEPT_ENCODING) && coding_accepts_gzip(h);
    e->private_socket = head_has(h, FIELD_AUTHORIZATION) && credentials_are_connection_bound(h);
}

/* Max-Forwards: 0 makes Carpool the final recipient (RFC 9110 7.6.2): OPTIONS is answered empty, TRACE
 * with its request's head. */
static void answer_here(struct exchange *e, bool is_trace)
{
    e->fate = exchange_fate(e, FAULT_NONE, true);
    const struct reply r = {
        .status = 200,
        .instance = e->proxy->instance,
        .text = is_trace ? buffer_unread(e->head) : SLICE(""),
        .type = is_trace ? SLICE("message/http") : SLICE(""),
        .to_http_1_0 = e->from_http_1_0,
        .close = e->fate != CLIENT_KEPT,
        .keep_alive = true,
    };
    exchange_reply(e, &r);
}

static bool write_head(struct exchange *e, const struct head *h, const struct route *route)
{
    const struct outgoing_request o = {
        .path = route->uri.path_query,
        .authority = e->origin->authority,
        .via_name = exchange_via(e),
        .framing = route->framing,
        .upgrade = route->upgrade,
    };
    e->head = buffer_borrow(&e->proxy->heads);
    return e->head && rewrite_request(&e->head, h, &o);
}

static void set_limits(struct exchange *e)
{
    const struct agent_policy *policy = e->origin->agent->policy;
    e->repeats_left = policy->retries;
    if (e->upload == UPLOAD_STOPPED)
        e->upload = UPLOAD_STARVED;
    if (e->idempotent && policy->retries > 0)
        e->up.keep_limit = policy->replayLimit;
    if (e->request_framing.kind == BODY_LENGTH && e->request_framing.length > policy->replayLimit)
        e->up.keep_limit = 0;
}

/* What whoever asks for a TRACE is not told (RFC 9110 9.3.8). */
static bool is_secret(const struct field *f)
{
    return f->id == FIELD_AUTHORIZATION || f->id == FIELD_PROXY_AUTHORIZATION ||
           slice_eq_nocase(f->name, SLICE("cookie"));
}

/* What a TRACE is answered with and what the access log names. */
static bool keep_request(struct exchange *e, const struct head *h, size_t length)
{
    e->head = buffer_borrow(&e->proxy->heads);
    struct buffer *b = e->head ? buffer_grow(e->head, length + h->count + 1) : NULL;
    if (!b)
        return false;
    e->head = b;
    bool fits = buffer_append(b, h->method) && buffer_append(b, SLICE(" ")) && buffer_append(b, h->target) &&
                buffer_append(b, h->minor ? SLICE(" HTTP/1.1\r\n") : SLICE(" HTTP/1.0\r\n"));
    for (uint32_t i = 0; i < h->count && fits; i++)
        if (!is_secret(&h->fields[i]))
            fits = buffer_append(b, h->fields[i].name) && buffer_append(b, SLICE(": ")) &&
                   buffer_append(b, h->fields[i].value) && buffer_append(b, SLICE("\r\n"));
    return fits && buffer_append(b, SLICE("\r\n"));
}

/* What the app is told of the origin's URLs. */
static enum own_urls own_urls_for(const struct exchange *e, const struct uri *uri)
{
    bool is_https = strncmp(e->origin->key, "https:", 6) == 0;
    if (!e->origin->agent->policy->rewriteScheme || uri->scheme == SCHEME_HTTPS || !is_https)
        return OWN_URLS_KEPT;
    if (e->client->frontend->upstream)
        return OWN_URLS_PATHS;
    return uri->port == 443 ? OWN_URLS_HTTP_443 : OWN_URLS_HTTP;
}

static bool choose_origin(struct exchange *e, const struct route *route)
{
    const struct slice host = {route->uri.host, route->uri.host_length};
    e->origin = agent_origin(route->agent, route->kind, host, route->uri.ipv6, route->uri.port);
    if (!e->origin)
        return false;
    origin_hold(e->origin);
    e->own_urls = own_urls_for(e, &route->uri);
    return true;
}

/* Everything that reads the head, whose buffer is given back after this. */
static bool take_request(struct exchange *e, const struct head *h, const struct route *route, size_t length)
{
    if (route->answer_here)
        return keep_request(e, h, length);
    e->asked_upgrade = route->upgrade;
    if (route->upgrade)
        snprintf(e->protocols, sizeof e->protocols, "%.*s", (int)route->protocols.n, route->protocols.p);
    return choose_origin(e, route) && write_head(e, h, route);
}

static void consume_head(struct client *c, size_t length)
{
    buffer_consume(c->in, length);
    if (buffer_unread(c->in).n > 0)
        return;
    buffer_give(c->in);
    c->in = NULL;
}

/* Why this client is refused though its request is well, as it stands now. */
static enum fault refusal(const struct client *c, enum fault fault, char *text, size_t size)
{
    if (fault == FAULT_NONE && c->proxy->stopping && c->requests > 1 && !c->admitted) {
        snprintf(text, size, "Carpool is stopping: connect again");
        return FAULT_TOO_MANY_CLIENTS;
    }
    /* Whoever may not use Carpool is not told what it would have refused besides. */
    if ((fault == FAULT_NONE || fault == FAULT_DENIED) &&
        !access_client_allowed(c->proxy->config, &c->peer)) {
        snprintf(text, size, "this client's address is not in access.clients");
        return FAULT_DENIED;
    }
    return fault;
}

void exchange_begin(struct client *c, size_t length)
{
    struct proxy *p = c->proxy;
    const struct head *h = &p->request_head;
    struct route route;
    char text[512];
    enum fault fault = route_find(p, c->frontend, h, &route, text, sizeof text);
    fault = refusal(c, fault, text, sizeof text);
    if (fault == FAULT_NONE && !route.answer_here && handover_begin(c, &route))
        return;
    c->admitted = false;
    struct exchange *e = new_exchange(c);
    if (!e) {
        client_close(c, CLIENT_CUT, false);
        return;
    }
    learn(e, h, &route.framing);
    if (fault == FAULT_NONE && !take_request(e, h, &route, length)) {
        fault = FAULT_INTERNAL;
        snprintf(text, sizeof text, "out of memory");
    }
    if (!e->head)
        exchange_keep_line(e, h);
    bool is_trace = slice_eq(h->method, SLICE("TRACE"));
    consume_head(c, length);
    if (fault != FAULT_NONE) {
        exchange_fail(e, fault, RETIRE_NONE, "%s", text);
    } else if (route.answer_here) {
        answer_here(e, is_trace);
    } else {
        set_limits(e);
        attempt_acquire(e, ACQUIRE_NEW);
    }
}

void exchange_refuse(struct client *c, enum fault fault, const char *text)
{
    struct exchange *e = new_exchange(c);
    if (!e) {
        client_close(c, CLIENT_CUT, false);
        return;
    }
    exchange_fail(e, fault, RETIRE_NONE, "%s", text);
}

/* --- Time ---------------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return !a ? b : !b ? a : a < b ? a : b;
}

/* Limits are never stored as a time that is due: a reload may change them at any moment. */
static uint64_t due_after(uint64_t since_ms, uint64_t limit)
{
    return limit ? since_ms + limit : 0;
}

static uint64_t request_due(const struct exchange *e)
{
    return e->is_connect ? 0 : due_after(e->began_us / 1000, e->origin->agent->policy->timeouts.request);
}

static uint64_t pending_due(const struct exchange *e)
{
    return is_pending(e) ? due_after(e->waiting_since_ms, e->origin->agent->policy->timeouts.pending) : 0;
}

/* timeouts.socket runs from the last byte; not while the client is the one who is waited for. */
static uint64_t silence_due(const struct exchange *e)
{
    bool waits = e->download_blocked || e->state == EXCHANGE_WAITING || e->state == EXCHANGE_REPLY;
    return waits ? 0 : due_after(e->moved_ms, e->origin->agent->policy->timeouts.socket);
}

void exchange_arm(struct exchange *e)
{
    uint64_t due = earlier(request_due(e), has_left_the_queue(e) ? clock_ms() : pending_due(e));
    if (e->state == EXCHANGE_DRAIN)
        due = earlier(due, e->drained_since_ms + DRAIN_MS);
    timer_set_at(&e->timer, earlier(due, silence_due(e)));
}

void exchange_limits_changed(struct exchange *e)
{
    if (e->state != EXCHANGE_REPLY) /* which waits for its client alone */
        exchange_arm(e);
}

static bool is_past(uint64_t due)
{
    return due && clock_ms() >= due;
}

static void on_silence(struct exchange *e)
{
    const struct agent_timeouts *t = &e->origin->agent->policy->timeouts;
    const struct socket *s = e->socket;
    if (e->upload == UPLOAD_BLOCKED)
        exchange_fail(e, FAULT_WRITE_TIMEOUT, RETIRE_SOCKET_TIMEOUT,
                      "the origin took no byte of the request for %llu ms (timeouts.socket)",
                      (unsigned long long)t->socket);
    else if (e->may_be_stale && !e->response_begun)
        exchange_fail(
            e, FAULT_READ_TIMEOUT, RETIRE_SOCKET_TIMEOUT,
            "no byte came or went for %llu ms (timeouts.socket) on a reused connection that had been idle for %llu ms: the "
            "origin is slow, or a firewall or NAT dropped it meanwhile; then set timeouts.free below what that allows",
            (unsigned long long)t->socket,
            (unsigned long long)(s->idle_since_ms ? e->granted_us / 1000 - s->idle_since_ms : 0));
    else
        exchange_fail(e, FAULT_READ_TIMEOUT, RETIRE_SOCKET_TIMEOUT,
                      "no byte came or went for %llu ms (timeouts.socket)", (unsigned long long)t->socket);
}

static void on_timer(void *ctx)
{
    struct exchange *e = ctx;
    if (e->state == EXCHANGE_DEAD || e->state == EXCHANGE_REPLY)
        return;
    if (is_past(request_due(e)))
        exchange_fail(e, FAULT_RESPONSE_TIMEOUT, RETIRE_REQUEST_TIMEOUT,
                      "no whole response within %llu ms (timeouts.request)",
                      (unsigned long long)e->origin->agent->policy->timeouts.request);
    else if (has_left_the_queue(e))
        exchange_client_fin(e);
    else if (is_past(pending_due(e)))
        exchange_fail(e, FAULT_LIMIT, RETIRE_NONE, "waited %llu ms for a connection (timeouts.pending): %s",
                      (unsigned long long)e->origin->agent->policy->timeouts.pending,
                      e->origin->agent->paused ? "the agent is paused"
                                               : "all are busy (maxSockets, maxTotalSockets)");
    else if (e->state == EXCHANGE_DRAIN && is_past(e->drained_since_ms + DRAIN_MS))
        exchange_cut(e, CLIENT_CLOSED);
    else if (is_past(silence_due(e)))
        on_silence(e);
    else
        exchange_arm(e);
}
