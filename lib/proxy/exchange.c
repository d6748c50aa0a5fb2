#include "proxy/exchange.h"

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/access.h"
#include "proxy/attempt.h"
#include "proxy/client_fate.h"
#include "proxy/tunnel.h"

static struct exchange *take_exchange(struct proxy *p)
{
    struct exchange *e = freelist_take(&p->spare_exchanges);
    if (!e && !(e = malloc(sizeof *e)))
        return NULL;
    memset(e, 0, sizeof *e);
    return e;
}

struct exchange *exchange_new(struct client *c)
{
    struct exchange *e = take_exchange(c->proxy);
    if (!e) {
        client_close(c, CLIENT_CUT, false);
        return NULL;
    }
    e->client = c;
    e->state = EXCHANGE_ASKING;
    e->framing.kind = BODY_CLOSE; /* unknown: it has no end */
    e->began_us = clock_us();
    c->exchange = e;
    return e;
}

/* --- The end ------------------------------------------------------------------------------------------- */

/* To its last byte, and not a byte further. */
static bool request_is_read(const struct exchange *e)
{
    return e->transfer ? upload_source_is_spent(&e->transfer->upload) : framing_is_empty(&e->framing);
}

void exchange_end_unrecorded(struct exchange *e)
{
    struct proxy *p = e->client->proxy;
    assert(e->state != EXCHANGE_DEAD && e->waiter.state == WAITER_IDLE && !exchange_socket(e) &&
           !(e->transfer && e->transfer->call.wire));
    e->client->exchange = NULL;
    if (e->transfer) {
        upload_end(&e->transfer->upload);
        download_end(&e->transfer->download);
    }
    buffer_give(e->head);
    if (e->waiter.origin)
        origin_let_go(e->waiter.origin);
    e->state = EXCHANGE_DEAD;
    e->next = p->dead_exchanges;
    p->dead_exchanges = e;
}

/* Its client is notified by the caller. */
static void end(struct exchange *e)
{
    waiter_cancel(&e->waiter);
    exchange_record(e);
    e->client->at_boundary = request_is_read(e);
    exchange_end_unrecorded(e);
}

enum client_close exchange_fate(const struct exchange *e, enum fault fault, bool delimited)
{
    const struct client *c = e->client;
    const struct proxy *p = c->proxy;
    const struct fate_facts facts = {
        .stopping = p->stopping_since_ms > 0,
        .last_allowed = c->requests >= p->config->server.maxRequestsPerSocket,
        .refused = e->asked.connect || (fault == FAULT_DENIED && !access_client_allowed(p->config, &c->peer)),
        .head_read = e->head != NULL,
        .request_read = request_is_read(e),
        .client_wants = e->asked.persists,
        .delimited = delimited,
        .fault = fault,
    };
    return client_fate(&facts);
}

/* The response was handed to the kernel whole. */
static void complete(struct exchange *e, enum client_close fate)
{
    struct client *c = e->client;
    end(e);
    client_exchange_done(c, fate);
}

/* The message stays the same, so that a storm of them is counted instead of written. */
static void log_fault(const struct exchange *e, enum fault fault, const char *text)
{
    enum log_level level = fault_status(fault) >= 500 ? LOG_WARN : LOG_INFO;
    /* A response that is cut has its own. */
    unsigned status = e->outcome.status ? e->outcome.status : fault_status(fault);
    char peer[ADDRESS_TEXT_SIZE], target[512];
    if (!log_enabled(level))
        return;
    log_event(level, "request failed", LOG_S("detail", text),
              LOG_S("client", peer_address_format(&e->client->peer, peer)),
              LOG_S("agent", e->waiter.origin ? e->waiter.origin->agent->name : "-"),
              LOG_SLICE("target", e->waiter.origin ? slice_of(e->waiter.origin->key)
                                                   : exchange_target(e, target, sizeof target)),
              LOG_N("status", status), LOG_S("error", fault_error(fault)));
}

static bool has_begun_to_answer(const struct exchange *e)
{
    return e->transfer && e->transfer->download.state != DOWNLOAD_HEAD;
}

/* "payments: https://pay.example.com:443: <what happened>" */
static void describe(const struct exchange *e, const char *text, char *out, size_t size)
{
    if (e->waiter.origin)
        snprintf(out, size, "agent %s, origin %s: %s%s", e->waiter.origin->agent->name, e->waiter.origin->key,
                 text, has_begun_to_answer(e) ? "; the response was cut" : "");
    else
        snprintf(out, size, "%s", text);
}

/* --- Own answers --------------------------------------------------------------------------------------- */

unsigned exchange_keep_alive_seconds(const struct exchange *e)
{
    return (unsigned)(e->client->proxy->config->server.keepAliveTimeout / 1000);
}

void exchange_reply(struct exchange *e, const struct reply *r)
{
    if (!transfer_take(e)) {
        exchange_cut(e, CLIENT_CUT);
        return;
    }
    struct download *d = &e->transfer->download;
    e->state = EXCHANGE_REPLY;
    e->outcome.status = r->fault == FAULT_NONE ? r->status : fault_status(r->fault);
    upload_stop(e);
    buffer_give(d->out_head);
    d->out_head = buffer_borrow(e->client->proxy->heads);
    if (!d->out_head || !reply_write(&d->out_head, r)) {
        exchange_cut(e, CLIENT_CUT);
        return;
    }
    e->transfer->reply_length = r->head_only ? 0 : reply_length(r);
    sendq_clear(&d->out);
    sendq_push(&d->out, buffer_unread(d->out_head));
    e->transfer->times.took_ms = clock_ms();
}

static enum pump reply_pump(struct exchange *e)
{
    struct client *c = e->client;
    c->conn.last = e->outcome.fate != CLIENT_KEPT;
    switch (sendq_flush(&e->transfer->download.out, &c->conn)) {
    case SENDQ_EMPTY: return PUMP_DONE;
    case SENDQ_BLOCKED: return client_watch(c) ? PUMP_WAITS : PUMP_CLIENT_CUT;
    case SENDQ_FAILED: break;
    }
    return PUMP_CLIENT_GONE;
}

static void fail(struct exchange *e, enum fault fault, enum retire_reason reason, const char *text)
{
    char whole[800];
    bool is_http2 = exchange_is_http2(e);
    waiter_cancel(&e->waiter);
    attempt_give_up(e, reason);
    describe(e, text, whole, sizeof whole);
    log_fault(e, fault, whole);
    if (e->waiter.origin && fault_status(fault) >= 500)
        agent_record_error(e->waiter.origin->agent, e->waiter.origin->key, fault_error(fault), text);
    e->outcome.fault = fault;
    /* Nor is there a place for an answer after half an interim response. */
    if (!transfer_take(e) || e->transfer->download.state != DOWNLOAD_HEAD ||
        e->transfer->download.out.count > 0) {
        exchange_cut(e, CLIENT_CUT);
        return;
    }
    e->outcome.fate = exchange_fate(e, fault, true);
    /* Its answer was the 200: the end of the connection says that nothing came of it. */
    if (e->asked.established) {
        e->state = EXCHANGE_REPLY;
        return;
    }
    const struct reply r = {
        .fault = fault,
        .instance = e->client->proxy->instance,
        .next_is_h2 = is_http2,
        .text = slice_of(whole),
        .date = slice_of(clock_http_date()),
        .close = e->outcome.fate != CLIENT_KEPT,
        .keep_alive_seconds = exchange_keep_alive_seconds(e),
        .head_only = e->asked.head_only,
    };
    exchange_reply(e, &r);
}

/* A name may lead to several addresses. */
static void add_address(const struct exchange *e, char *text, size_t size)
{
    char address[ADDRESS_TEXT_SIZE];
    size_t n = strlen(text);
    address_format(&e->transfer->socket->peer, address);
    if (!strstr(e->waiter.origin->key, address) && !strstr(text, address))
        snprintf(text + n, size - n, " (connected to %s)", address);
}

void exchange_fail(struct exchange *e, enum fault fault, enum retire_reason reason, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (exchange_socket(e) && fault_status(fault) >= 500)
        add_address(e, text, sizeof text);
    fail(e, fault, reason, text);
}

enum pump pump_fail(struct exchange *e, enum fault fault, enum retire_reason reason, const char *format, ...)
{
    struct failure *f = &e->client->proxy->failure;
    va_list list;
    va_start(list, format);
    vsnprintf(f->text, sizeof f->text, format, list);
    va_end(list);
    f->fault = fault;
    f->reason = reason;
    return PUMP_FAILED;
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
    if (e->outcome.fault == FAULT_NONE)
        e->outcome.fault = fault_of_cut(reason);
    waiter_cancel(&e->waiter);
    attempt_give_up(e, reason == CLIENT_SHUTDOWN ? RETIRE_SHUTDOWN : RETIRE_CLIENT_ABORTED);
    bool by_reset = download_end_misleads(e);
    end(e);
    client_close(c, reason, by_reset);
}

/* --- Moving on ----------------------------------------------------------------------------------------- */

static enum pump pump_halves(struct exchange *e, unsigned halves)
{
    enum pump result = PUMP_WAITS;
    if (halves & EXCHANGE_UPLOAD)
        result = upload_pump(e);
    if (result == PUMP_SINK_FAILED) /* what the origin said before may still be a response (RFC 9112 9.5) */
        halves |= EXCHANGE_DOWNLOAD;
    else if (result != PUMP_WAITS)
        return result;
    return halves & EXCHANGE_DOWNLOAD ? download_pump(e) : PUMP_WAITS;
}

static void act(struct exchange *e, enum pump result)
{
    const struct failure *f = &e->client->proxy->failure;
    switch (result) {
    case PUMP_DONE: complete(e, attempt_finished(e)); break;
    case PUMP_TUNNEL: tunnel_begin(e); break;
    case PUMP_CALL_FAILED: attempt_failed(e); break;
    case PUMP_CLIENT_GONE: exchange_client_gone(e, CLIENT_CLOSED); break;
    case PUMP_CLIENT_CUT: exchange_cut(e, CLIENT_CUT); break;
    case PUMP_FAILED: fail(e, f->fault, f->reason, f->text); break;
    case PUMP_SINK_FAILED:
    case PUMP_WAITS: break;
    }
}

/* PUMP_WAITS: nothing more to do now. */
static enum pump run_reply(struct exchange *e)
{
    enum pump result = reply_pump(e);
    if (result == PUMP_WAITS)
        exchange_arm(e);
    if (result == PUMP_DONE)
        complete(e, e->outcome.fate);
    else
        act(e, result);
    return result;
}

static enum pump run_relay(struct exchange *e, unsigned halves)
{
    enum pump result = pump_halves(e, halves);
    if (result == PUMP_WAITS)
        exchange_arm(e);
    act(e, result);
    return result;
}

void exchange_run(struct exchange *e, unsigned halves)
{
    for (;;) {
        switch (e->state) {
        case EXCHANGE_ASKING: attempt_ask(e); break;
        case EXCHANGE_RELAY:
            if (run_relay(e, halves) == PUMP_WAITS)
                return;
            break;
        case EXCHANGE_REPLY:
            if (run_reply(e) == PUMP_WAITS)
                return;
            break;
        case EXCHANGE_WAITING:
        case EXCHANGE_DEAD: return;
        }
        halves = EXCHANGE_UPLOAD; /* of a new attempt: its response does not come this soon */
    }
}

void exchange_turn_away(struct exchange *e)
{
    if (e->state != EXCHANGE_WAITING)
        return;
    exchange_fail(e, FAULT_TOO_MANY_CLIENTS, RETIRE_SHUTDOWN,
                  "Carpool stops, and the request still waited for a connection: send it again");
    exchange_run(e, 0);
}

/* --- The client's side --------------------------------------------------------------------------------- */

/* The rest of the response may be read for the sake of the socket (drainLimit). */
static bool leave(struct exchange *e)
{
    struct socket *s = exchange_socket(e);
    if (e->state != EXCHANGE_RELAY || e->asked.private_socket || e->client->proxy->stopping_since_ms ||
        !call_leave(&e->transfer->call, exchange_policy(e)->drainLimit))
        return false;
    e->transfer->socket = NULL;
    return s != NULL;
}

void exchange_client_gone(struct exchange *e, enum client_close reason)
{
    struct client *c = e->client;
    waiter_cancel(&e->waiter);
    if (!leave(e))
        attempt_give_up(e, RETIRE_CLIENT_ABORTED);
    end(e);
    client_close(c, reason, false);
}

bool exchange_is_pending(const struct exchange *e)
{
    return e->state == EXCHANGE_WAITING && e->waiter.state == WAITER_BLOCKED;
}

/* Half a connection does not wait for a limit unless it is told to, and a closed one never does. */
bool exchange_has_left_the_queue(const struct exchange *e)
{
    const struct client *c = e->client;
    return exchange_is_pending(e) && c->conn.peer_fin &&
           (!c->proxy->config->server.halfClose || conn_has_hung_up(&c->conn));
}

void exchange_client_fin(struct exchange *e)
{
    if (exchange_has_left_the_queue(e))
        exchange_client_gone(e, CLIENT_CLOSED);
}

/* Whether what the client sends now must be looked at, since no half reads it. */
static void look(struct exchange *e)
{
    struct client *c = e->client;
    if (e->state != EXCHANGE_WAITING && e->transfer->upload.state != UPLOAD_DONE)
        c->gone |= conn_has_failed(&c->conn); /* its bytes wait in the kernel until the origin takes some */
    else
        client_look(c);
    if (c->gone)
        exchange_client_gone(e, CLIENT_CLOSED);
    else if (c->conn.peer_fin)
        exchange_client_fin(e);
}

void exchange_client_ready(struct exchange *e, unsigned ready)
{
    struct client *c = e->client;
    unsigned halves = 0;
    if ((ready & CONN_WRITABLE) && exchange_waits_for_client(e)) {
        e->transfer->times.moved_ms = clock_ms(); /* the origin's time has stood still */
        halves |= EXCHANGE_DOWNLOAD;
    }
    bool is_starved = e->state == EXCHANGE_RELAY && e->transfer->upload.state == UPLOAD_STARVED;
    if ((ready & CONN_READABLE) && is_starved)
        halves |= EXCHANGE_UPLOAD;
    if (halves)
        exchange_run(e, halves);
    if (c->exchange == e && (ready & CONN_READABLE) && !is_starved && e->state != EXCHANGE_REPLY)
        look(e);
}
