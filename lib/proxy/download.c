/* The response's half: interim responses, the head, then the content, from the socket to the client. */

#include <assert.h>
#include <errno.h>

#include "base/clock.h"
#include "http/coding.h"
#include "http/explain.h"
#include "http/fields.h"
#include "http/repair.h"
#include "proxy/exchange.h"
#include "proxy/response_head.h"
#include "proxy/rewrite.h"
#include "proxy/server_timing.h"
#include "proxy/tunnel.h"

#define MAX_INTERIM 16

static void malformed(struct exchange *e, const char *what)
{
    exchange_fail(e, FAULT_PROTOCOL, RETIRE_PROTOCOL_ERROR, "malformed response: %s", what);
}

static void bad_framing(struct exchange *e, enum framing_verdict v)
{
    char why[EXPLAIN_SIZE];
    explain_framing(&e->proxy->response_head, v, why);
    malformed(e, why);
}

/* --- Reading the head ---------------------------------------------------------------------------------- */

enum read_step { READ_SOME, READ_NOTHING, READ_ENDED };

static bool make_room(struct exchange *e)
{
    if (!e->in)
        e->in = buffer_borrow(&e->proxy->bodies);
    if (!e->in)
        return false;
    buffer_compact(e->in);
    if (buffer_room(e->in) > 0)
        return true;
    struct buffer *larger = buffer_grow(e->in, e->in->size * 2);
    e->in = larger ? larger : e->in;
    return larger != NULL;
}

static void give_back_if_empty(struct exchange *e)
{
    if (!e->in || buffer_unread(e->in).n > 0)
        return;
    buffer_give(e->in);
    e->in = NULL;
}

/* The socket ended before the response's head was whole. */
static void ended_early(struct exchange *e, int error)
{
    give_back_if_empty(e);
    if (e->state == EXCHANGE_DRAIN)
        exchange_fail(e, FAULT_TERMINATED, RETIRE_ERROR, "the origin ended the connection");
    else
        attempt_failed(e, error);
}

static enum read_step read_some(struct exchange *e)
{
    struct conn *from = &e->socket->conn;
    if (!make_room(e)) {
        exchange_fail(e, FAULT_INTERNAL, RETIRE_ERROR, "out of memory for the response's head");
        return READ_ENDED;
    }
    size_t room = buffer_room(e->in);
    ssize_t n = conn_read(from, e->in->data + e->in->end, room);
    if (n > 0) {
        if (!e->first_byte_us)
            e->first_byte_us = clock_us();
        e->in->end += (uint32_t)n;
        e->response_begun = true;
        e->moved_ms = clock_ms();
        return READ_SOME;
    }
    if (n == CONN_AGAIN) {
        give_back_if_empty(e);
        return READ_NOTHING;
    }
    ended_early(e, n == CONN_EOF ? 0 : from->error);
    return READ_ENDED;
}

/* --- Passing it on ------------------------------------------------------------------------------------- */

static bool push_head(struct exchange *e, const struct outgoing_response *o)
{
    struct buffer *b = buffer_borrow(&e->proxy->heads);
    if (!b || !rewrite_response(&b, &e->proxy->response_head, o)) {
        buffer_give(b);
        exchange_fail(e, FAULT_INTERNAL, RETIRE_ERROR, "out of memory for the response's head");
        return false;
    }
    buffer_give(e->out);
    e->out = b;
    sendq_push(&e->down.out, buffer_unread(b));
    e->took_ms = clock_ms();
    return true;
}

/* Hands what is queued to the client; false: it is blocked or gone. */
static bool flush(struct exchange *e)
{
    switch (sendq_flush(&e->down.out, &e->client->conn)) {
    case SENDQ_EMPTY: return true;
    case SENDQ_BLOCKED:
        e->download_blocked = true;
        exchange_await_client(e);
        return false;
    case SENDQ_FAILED: exchange_client_gone(e, CLIENT_CLOSED); return false;
    }
    return false;
}

/* RFC 9110 15.2: passed on, but not to a client of HTTP/1.0. */
static bool pass_interim(struct exchange *e)
{
    struct framing f;
    enum framing_verdict v = framing_of_response(&e->proxy->response_head, REQUEST_PLAIN, &f);
    if (v != FRAMING_OK) {
        bad_framing(e, v);
        return false;
    }
    if (++e->interim > MAX_INTERIM) {
        malformed(e, "more than 16 interim responses");
        return false;
    }
    e->interim_close |= connection_has(&e->proxy->response_head, SLICE("close"));
    if (e->from_http_1_0)
        return true;
    const struct outgoing_response o = {.via_name = exchange_via(e), .interim = true};
    return push_head(e, &o) && flush(e);
}

static bool was_asked_for(const struct exchange *e, struct slice protocol)
{
    struct slice list = slice_of(e->protocols), element;
    while (slice_next_element(&list, &element))
        if (slice_eq_nocase(element, protocol))
            return true;
    return false;
}

/* RFC 9110 7.8: only to a protocol that was asked for, and only behind the whole request. */
static bool may_switch(const struct exchange *e)
{
    const struct head *h = &e->proxy->response_head;
    if (!e->asked_upgrade || e->upload != UPLOAD_DONE || !head_has(h, FIELD_UPGRADE) ||
        !connection_has(h, SLICE("upgrade")))
        return false;
    struct slice list = head_find(h, FIELD_UPGRADE)->value, element;
    bool any = false;
    while (slice_next_element(&list, &element)) {
        if (!was_asked_for(e, element))
            return false;
        any = true;
    }
    return any;
}

static void switch_protocols(struct exchange *e, size_t length)
{
    if (!may_switch(e)) {
        malformed(e, "101 without a matching Upgrade");
        return;
    }
    const struct outgoing_response o = {.via_name = exchange_via(e), .upgrade = true};
    e->status = 101;
    if (!push_head(e, &o))
        return;
    buffer_consume(e->in, length);
    give_back_if_empty(e);
    tunnel_begin(e);
}

/* How the content goes on to this client. */
static enum relay_format format_for(const struct exchange *e, const struct framing *f)
{
    bool unknown_length = f->kind == BODY_CHUNKED || f->kind == BODY_CLOSE;
    return unknown_length && !e->from_http_1_0 ? RELAY_CHUNKED : RELAY_RAW;
}

/* HTTP/1.0 knows no chunks: there the end of the connection is the end of content of unknown length. */
static bool is_delimited(const struct exchange *e, const struct framing *f)
{
    return !e->from_http_1_0 || (f->kind != BODY_CHUNKED && f->kind != BODY_CLOSE);
}

static void note_end(struct exchange *e, const struct framing *f)
{
    const struct head *h = &e->proxy->response_head;
    struct keep_alive_hint hint = {0};
    if (head_has(h, FIELD_KEEP_ALIVE))
        hint = keep_alive_hint(h);
    e->end.self_delimiting = f->kind != BODY_CLOSE && !f->doubtful;
    e->end.origin_persistent = head_is_persistent(h) && !e->interim_close;
    e->end.has_hint_timeout = hint.has_timeout;
    e->end.hint_timeout_ms = hint.timeout_ms;
    e->end.has_hint_max = hint.has_max;
    e->end.hint_max = hint.max;
    if (head_has(h, FIELD_WWW_AUTHENTICATE) && challenge_is_connection_bound(h))
        e->private_socket = true;
}

/* A smaller text is not worth a server's while. */
#define TEXT_LEAST 1024

/* Stock servers do not compress behind a Via (nginx: gzip_proxied): the diagnosis tells. */
static void note_coding(const struct exchange *e, const struct framing *f)
{
    const struct head *h = &e->proxy->response_head;
    struct origin_stats *stats = &e->origin->stats;
    bool large = f->kind == BODY_CHUNKED || f->kind == BODY_CLOSE ||
                 (f->kind == BODY_LENGTH && f->length >= TEXT_LEAST);
    if (!large || h->status != 200 || exchange_via(e).n == 0 || !coding_is_text(h))
        return;
    stats->texts++;
    stats->texts_plain += !head_has(h, FIELD_CONTENT_ENCODING);
}

static unsigned advertised_seconds(const struct exchange *e)
{
    return (unsigned)(e->proxy->config->server.keepAliveTimeout / 1000);
}

/* It is Carpool whom the parent proxy asks, not the client. */
static bool parent_wants_credentials(struct exchange *e, const struct head *h)
{
    const struct parent_proxy *parent = e->socket->parent;
    if (!parent || h->status != 407)
        return false;
    exchange_fail(e, FAULT_PARENT, RETIRE_ERROR,
                  "the parent proxy %s refused the request: 407; set user and password in `proxy`",
                  parent->address);
    return true;
}

/* The final head. False: the exchange has failed or waits. */
static bool begin_body(struct exchange *e)
{
    struct head *h = &e->proxy->response_head;
    struct framing f;
    if (parent_wants_credentials(e, h))
        return false;
    enum framing_verdict v = framing_of_response(h, e->asked_head ? REQUEST_HEAD : REQUEST_PLAIN, &f);
    if (v != FRAMING_OK) {
        bad_framing(e, v);
        return false;
    }
    note_end(e, &f);
    if (e->accepts_gzip)
        note_coding(e, &f);
    e->status = h->status;
    e->fate = exchange_fate(e, FAULT_NONE, is_delimited(e, &f));
    bool bodiless = f.kind == BODY_NONE;
    char timing[SERVER_TIMING_SIZE];
    const struct outgoing_response o = {
        .via_name = exchange_via(e),
        .framing = f,
        .chunked = !bodiless && format_for(e, &f) == RELAY_CHUNKED,
        .bodiless = bodiless,
        .close = e->fate != CLIENT_KEPT,
        .keep_alive_seconds = advertised_seconds(e),
        .own = {e->own_urls, slice_of(e->origin->host), e->origin->plan.port},
        .server_timing = server_timing(e, timing),
    };
    relay_begin(&e->down, f, format_for(e, &f));
    e->down.closes = e->fate != CLIENT_KEPT;
    if (!push_head(e, &o))
        return false;
    e->in_body = true;
    return true;
}

/* A head is complete: interim ones are passed on, the final one begins the body. True: go on reading. */
static bool handle_head(struct exchange *e, size_t length)
{
    struct head *h = &e->proxy->response_head;
    unsigned status = h->status;
    bool go_on = true;
    if (status == 101)
        switch_protocols(e, length);
    else if (status < 200)
        go_on = pass_interim(e);
    else
        go_on = begin_body(e);
    if (e->state != EXCHANGE_RELAY)
        return false;
    buffer_consume(e->in, length);
    give_back_if_empty(e);
    return go_on;
}

static void bad_head(struct exchange *e, enum head_verdict v, const struct head_limits *limits)
{
    char why[EXPLAIN_SIZE];
    explain_response_head(buffer_unread(e->in), v, limits, why);
    if (v == HEAD_TOO_LARGE || v == HEAD_LINE_TOO_LONG || v == HEAD_TOO_MANY_FIELDS)
        exchange_fail(e, FAULT_RESPONSE_HEAD_SIZE, RETIRE_PROTOCOL_ERROR,
                      "the response's head is too large: %s", why);
    else if (head_verdict_is_repairable(v) && !e->origin->agent->policy->insecureHTTPParser)
        exchange_fail(e, FAULT_PROTOCOL, RETIRE_PROTOCOL_ERROR,
                      "malformed response: %s; mend the service, or set insecureHTTPParser: true", why);
    else
        malformed(e, why);
}

/* An alert or a handshake (RFC 8446 5.1) where HTTP was to come. */
static bool speaks_tls(const struct exchange *e)
{
    struct slice in = e->in ? buffer_unread(e->in) : SLICE("");
    return in.n >= 2 && (in.p[0] == 0x15 || in.p[0] == 0x16) && in.p[1] == 3;
}

/* Until the final head was passed on. False: nothing more to do now. */
static bool read_head(struct exchange *e)
{
    const struct server_options *server = &e->proxy->config->server;
    const struct head_limits limits = {.max_size = (uint32_t)server->maxHeaderSize,
                                       .max_count = server->maxHeadersCount};
    while (!e->in_body) {
        size_t length;
        if (speaks_tls(e)) {
            exchange_fail(e, FAULT_PROTOCOL, RETIRE_PROTOCOL_ERROR,
                          "the origin speaks TLS on this port: "
                          "set tls: true for this upstream, or ask for https://");
            return false;
        }
        enum head_verdict v = response_head_read(e, &limits, &length);
        if (v == HEAD_INCOMPLETE) {
            /* Until it says AGAIN, even behind a short read: a reset that came with those bytes was announced
             * with them, and by libevent as nothing but readable. */
            if (read_some(e) != READ_SOME)
                return false;
            continue;
        }
        if (v != HEAD_OK) {
            bad_head(e, v, &limits);
            return false;
        }
        bool go_on = handle_head(e, length);
        response_head_done(e);
        if (!go_on)
            return false;
    }
    return true;
}

/* --- The body ------------------------------------------------------------------------------------------ */

/* The end of the connection is the end of the content, if the origin was free to say so (RFC 9112 8). */
static void source_ended(struct exchange *e)
{
    if (e->down.framing.kind != BODY_CLOSE) {
        exchange_fail(e, FAULT_TERMINATED, RETIRE_ERROR,
                      "the origin ended the connection before its response was complete");
        return;
    }
    if (e->socket->conn.eof_without_notify) {
        exchange_fail(e, FAULT_TERMINATED, RETIRE_ERROR,
                      "the origin ended TLS without close_notify: the response may be incomplete");
        return;
    }
    relay_finish(&e->down);
    download_pump(e);
}

static void pump_body(struct exchange *e)
{
    const struct relay_ends ends = {
        .from = &e->socket->conn,
        .in = &e->in,
        .to = e->client ? &e->client->conn : NULL,
        .bodies = &e->proxy->bodies,
        .pipes = &e->proxy->pipes,
        .scratch = &e->proxy->response_head,
    };
    uint64_t sent_before = e->down.out.sent, content_before = e->down.content;
    enum relay_result result = relay_pump(&e->down, &ends);
    if (e->down.content != content_before)
        e->moved_ms = clock_ms();
    if (e->down.out.sent != sent_before)
        e->took_ms = clock_ms();
    if (e->state == EXCHANGE_DRAIN && result != RELAY_DONE && result != RELAY_SOURCE_EOF &&
        e->down.content - e->content_out > e->origin->agent->policy->drainLimit) {
        exchange_fail(e, FAULT_TERMINATED, RETIRE_CLIENT_ABORTED,
                      "the client has gone and more than drainLimit of the response is left");
        return;
    }
    switch (result) {
    case RELAY_DONE: attempt_finished(e); return;
    case RELAY_STARVED: exchange_arm(e); return;
    case RELAY_BLOCKED:
        e->download_blocked = true;
        exchange_await_client(e);
        return;
    case RELAY_YIELD: conn_call_again(&e->socket->conn); return;
    case RELAY_SOURCE_EOF: source_ended(e); return;
    case RELAY_SOURCE_FAILED:
        exchange_fail(e, FAULT_TERMINATED, RETIRE_ERROR,
                      "the connection failed before the response was complete");
        return;
    case RELAY_SINK_FAILED: exchange_client_gone(e, CLIENT_CLOSED); return;
    case RELAY_MALFORMED: malformed(e, "its chunked content is broken (RFC 9112 7.1)"); return;
    case RELAY_NO_MEMORY:
        exchange_fail(e, FAULT_INTERNAL, RETIRE_ERROR, "out of memory for the response's content");
        return;
    }
}

void download_pump(struct exchange *e)
{
    assert(e->state == EXCHANGE_RELAY || e->state == EXCHANGE_DRAIN);
    if (e->download_blocked)
        return;
    if (!e->in_body) {
        if (e->down.out.count > 0 && !flush(e)) /* an interim response that was blocked */
            return;
        if (!read_head(e))
            return;
    }
    pump_body(e);
}
