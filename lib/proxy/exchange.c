#include "proxy/exchange.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/access.h"
#include "proxy/fate.h"
#include "proxy/response_head.h"

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
        timer_init(&e->timer, p->base, exchange_on_timer, e);
    }
    return e;
}

/* Field by field: most of an exchange is scratch that is written before it is read. */
struct exchange *exchange_new(struct client *c)
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
    e->established = false;
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
    e->end = (struct call_end){0};
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
    if (s)
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
    if (e->established) {
        reply_done(e); /* its answer was the 200: the end of the connection says that nothing came of it */
        return;
    }
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
 * already or about to be: a connection of events may trickle for hours. */
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
    client_close(c, reason, false);
    e->state = EXCHANGE_DRAIN;
    relay_discard(&e->down);
    e->download_blocked = false;
    e->content_out = e->down.content;
    e->drained_since_ms = e->moved_ms =
        clock_ms(); /* while the client took nothing, the origin's time stood still */
    exchange_arm(e);
    download_pump(e);
}

bool exchange_is_pending(const struct exchange *e)
{
    return e->state == EXCHANGE_WAITING && e->waiter.state == WAITER_BLOCKED;
}

/* Half a connection does not wait for a limit. */
bool exchange_has_left_the_queue(const struct exchange *e)
{
    return exchange_is_pending(e) && e->client->conn.peer_fin && !e->proxy->config->server.halfClose;
}

void exchange_client_fin(struct exchange *e)
{
    if (exchange_has_left_the_queue(e))
        exchange_client_gone(e, CLIENT_CLOSED);
}

uint64_t exchange_client_due(const struct exchange *e, enum client_close *reason)
{
    const struct server_options *server = &e->proxy->config->server;
    uint64_t take = e->download_blocked && server->timeout ? e->took_ms + server->timeout : 0;
    uint64_t send = 0;
    if (e->state == EXCHANGE_RELAY && e->upload == UPLOAD_STARVED && server->requestTimeout)
        send = e->client->since_ms + server->requestTimeout + e->body_grace_ms + e->waited_us / 1000;
    bool is_to_send = send && (!take || send < take);
    *reason = is_to_send ? CLIENT_REQUEST_TIMEOUT : CLIENT_TIMEOUT;
    return is_to_send ? send : take;
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
