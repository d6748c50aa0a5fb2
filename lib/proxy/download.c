#include "proxy/download.h"

#include <string.h>

#include "base/clock.h"
#include "http/body_reader.h"
#include "http/coding.h"
#include "http/fields.h"
#include "http/repair.h"
#include "proxy/exchange.h"
#include "proxy/rewrite.h"
#include "proxy/server_timing.h"

#define MAX_INTERIM 16
/* What the kernel holds for a client that does not read. Without a limit it takes more at first, and lets the
 * origin send tens of megabytes, since a fast reader seems to want them. Half of this costs 64
 * transfers a third more CPU. */
#define MOST_UNSENT (2 * 1024 * 1024)
/* Protocols that a 101 may name: each is looked for among those that were asked for, of which there may be
 * thousands. */
#define MAX_SWITCHED_TO 8
/* One busy pair must not keep the others waiting, nor one whose chunks are tiny. */
#define BATCHES_PER_TURN 64

void download_restart(struct download *d)
{
    d->state = DOWNLOAD_HEAD;
    d->given = 0;
}

void download_end(struct download *d)
{
    buffer_give(d->out_head);
    buffer_give(d->trailers);
    d->out_head = d->trailers = NULL;
    sendq_clear(&d->out);
    splice_end(&d->splice);
}

static bool is_of_unknown_length(const struct framing *f)
{
    return f->kind == BODY_CHUNKED || f->kind == BODY_CLOSE;
}

bool download_end_misleads(const struct exchange *e)
{
    const struct download *d = e->transfer ? &e->transfer->download : NULL;
    return d && d->state != DOWNLOAD_HEAD && !d->writer.chunked &&
           is_of_unknown_length(&e->transfer->call.framing);
}

static enum pump malformed(struct exchange *e, const char *what)
{
    return pump_fail(e, FAULT_PROTOCOL, RETIRE_PROTOCOL_ERROR, "malformed response: %s", what);
}

/* --- Heads --------------------------------------------------------------------------------------------- */

static enum pump push_head(struct exchange *e, const struct outgoing_response *o)
{
    struct buffer *b = buffer_borrow(e->client->proxy->heads);
    if (!b || !rewrite_response(&b, &e->client->proxy->response_head, o)) {
        buffer_give(b);
        return pump_fail(e, FAULT_INTERNAL, RETIRE_ERROR, "out of memory for the response's head");
    }
    buffer_give(e->transfer->download.out_head);
    e->transfer->download.out_head = b;
    sendq_push(&e->transfer->download.out, buffer_unread(b));
    e->transfer->times.took_ms = clock_ms();
    return PUMP_DONE;
}

/* RFC 9110 15.2: passed on, but not to a client of HTTP/1.0. */
static enum pump pass_interim(struct exchange *e)
{
    if (++e->transfer->download.interim > MAX_INTERIM)
        return malformed(e, "more than 16 interim responses");
    if (e->asked.from_http_1_0)
        return PUMP_DONE;
    const struct outgoing_response o = {
        .via_name = exchange_via(e), .from_http2 = exchange_is_http2(e), .interim = true};
    return push_head(e, &o);
}

static bool line_asks_for(struct slice line, struct slice protocol)
{
    const struct slice name = SLICE("upgrade:");
    if (!slice_begins_nocase(line, name))
        return false;
    struct slice list = slice_from(line, name.n), element;
    while (slice_next_element(&list, &element))
        if (slice_eq_nocase(element, protocol))
            return true;
    return false;
}

/* By the head that was sent. */
static bool was_asked_for(const struct exchange *e, struct slice protocol)
{
    struct slice rest = buffer_unread(e->head);
    const char *end;
    while ((end = memchr(rest.p, '\r', rest.n))) {
        struct slice line = {rest.p, (size_t)(end - rest.p)};
        if (line_asks_for(line, protocol))
            return true;
        rest = slice_from(rest, line.n + 2);
    }
    return false;
}

/* The response names a protocol, and none that was not asked for. */
static bool names_what_was_asked_for(const struct exchange *e, const struct head *h)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        struct slice list = h->fields[i].value, element;
        while (h->fields[i].id == FIELD_UPGRADE && slice_next_element(&list, &element))
            if (++count > MAX_SWITCHED_TO || !was_asked_for(e, element))
                return false;
    }
    return count > 0;
}

/* RFC 9110 7.8: only to a protocol that was asked for, and only after the whole request. */
static bool may_switch(const struct exchange *e)
{
    const struct head *h = &e->client->proxy->response_head;
    return e->asked.upgrade && e->transfer->upload.state == UPLOAD_DONE &&
           connection_has(h, SLICE("upgrade")) && names_what_was_asked_for(e, h);
}

static enum pump switch_protocols(struct exchange *e)
{
    if (!may_switch(e))
        return malformed(e, "101 without a matching Upgrade");
    const struct outgoing_response o = {.via_name = exchange_via(e), .upgrade = true};
    e->outcome.status = 101;
    enum pump pushed = push_head(e, &o);
    return pushed == PUMP_DONE ? PUMP_TUNNEL : pushed;
}

/* A smaller text is not worth a server's while. */
#define TEXT_LEAST 1024

/* Stock servers do not compress what comes with a Via (nginx: gzip_proxied): the diagnosis says so. */
static void note_coding(const struct exchange *e, const struct framing *f)
{
    const struct head *h = &e->client->proxy->response_head;
    struct origin_stats *stats = &e->waiter.origin->stats;
    bool large = is_of_unknown_length(f) || (f->kind == BODY_LENGTH && f->length >= TEXT_LEAST);
    if (!large || h->status != 200 || exchange_via(e).n == 0 || !coding_is_text(h))
        return;
    stats->texts++;
    stats->texts_plain += !head_has(h, FIELD_CONTENT_ENCODING);
}

static void note_repairs(const struct exchange *e)
{
    struct origin_stats *stats = &e->waiter.origin->stats;
    stats->repaired += e->transfer->call.repairs != 0;
    for (unsigned i = 0; i < REPAIR_COUNT; i++)
        stats->repairs[i] += e->transfer->call.repairs >> i & 1;
}

static void learn(struct exchange *e, const struct framing *f)
{
    const struct head *h = &e->client->proxy->response_head;
    if (head_has(h, FIELD_WWW_AUTHENTICATE) && challenge_is_connection_bound(h))
        e->asked.private_socket = true;
    if (e->asked.accepts_gzip)
        note_coding(e, f);
}

/* The final head. HTTP/1.0 knows no chunks: there the end of the connection ends content of unknown
 * length. */
static enum pump begin_body(struct exchange *e)
{
    const struct framing *f = &e->transfer->call.framing;
    struct download *d = &e->transfer->download;
    learn(e, f);
    if (f->kind == BODY_LENGTH && f->length > MOST_UNSENT)
        conn_limit_unsent(&e->client->conn, MOST_UNSENT);
    char timing[SERVER_TIMING_SIZE];
    bool is_unknown = is_of_unknown_length(f), is_bodiless = f->kind == BODY_NONE;
    e->outcome.status = e->client->proxy->response_head.status;
    e->outcome.fate = exchange_fate(e, FAULT_NONE, !is_unknown || !e->asked.from_http_1_0);
    d->writer.chunked = is_unknown && !e->asked.from_http_1_0;
    const struct outgoing_response o = {
        .via_name = exchange_via(e),
        .from_http2 = exchange_is_http2(e),
        .framing = *f,
        .chunked = d->writer.chunked,
        .bodiless = is_bodiless,
        .close = e->outcome.fate != CLIENT_KEPT,
        .keep_alive_seconds = exchange_keep_alive_seconds(e),
        .date = slice_of(clock_http_date()),
        .server_timing = server_timing(e, timing),
        .own = {e->asked.own_urls, slice_of(e->waiter.origin->host), e->waiter.origin->plan.port},
    };
    enum pump pushed = push_head(e, &o);
    if (pushed == PUMP_DONE)
        d->state = DOWNLOAD_BODY;
    return pushed;
}

static enum pump pass_head(struct exchange *e, enum call_part part)
{
    note_repairs(e);
    if (part == CALL_INTERIM)
        return pass_interim(e);
    return e->transfer->call.framing.kind == BODY_TUNNEL ? switch_protocols(e) : begin_body(e);
}

/* --- Content ------------------------------------------------------------------------------------------- */

static enum pump keep_trailers(struct exchange *e)
{
    struct download *d = &e->transfer->download;
    d->trailers = buffer_borrow(e->client->proxy->bodies);
    if (!d->trailers || !trailers_append(d->trailers, &e->client->proxy->response_head))
        return pump_fail(e, FAULT_INTERNAL, RETIRE_ERROR, "out of memory for the response's trailers");
    return PUMP_DONE;
}

/* Queues what has come, up to a batch. *part: after what it stopped. */
static enum pump gather(struct exchange *e, enum call_part *part)
{
    struct download *d = &e->transfer->download;
    struct iovec runs[CALL_RUNS];
    unsigned count = 0;
    enum pump result = PUMP_DONE;
    bool more = true;
    while (more && count < CALL_RUNS && result == PUMP_DONE) {
        struct slice run;
        *part = call_next(&e->transfer->call, &e->client->proxy->response_head, &run);
        switch (*part) {
        case CALL_INTERIM: more = false; /* fall through */
        case CALL_HEAD: result = pass_head(e, *part); break;
        case CALL_CONTENT:
            runs[count++] = (struct iovec){(void *)run.p, run.n};
            d->given += run.n;
            break;
        case CALL_TRAILERS: result = keep_trailers(e); break;
        case CALL_MORE:
        case CALL_END:
        case CALL_FAILED: more = false; break;
        }
    }
    if (d->state == DOWNLOAD_BODY)
        body_writer_push(&d->writer, &d->out, runs, count, *part == CALL_END, buffer_unread(d->trailers));
    return result;
}

/* When the queue is empty, the call has its bytes back. */
static enum pump flush(struct exchange *e)
{
    struct download *d = &e->transfer->download;
    struct client *c = e->client;
    uint64_t before = d->out.sent;
    c->conn.last = d->state == DOWNLOAD_LAST && e->outcome.fate != CLIENT_KEPT;
    enum sendq_result result = sendq_flush(&d->out, &c->conn);
    if (d->out.sent != before)
        e->transfer->times.took_ms = clock_ms();
    if (result == SENDQ_FAILED)
        return PUMP_CLIENT_GONE;
    if (result == SENDQ_BLOCKED)
        return client_watch(c) ? PUMP_WAITS : PUMP_CLIENT_CUT;
    if (d->given > 0) {
        d->content += d->given;
        call_consumed(&e->transfer->call, d->given);
    }
    d->given = 0;
    return PUMP_DONE;
}

static ssize_t take(void *from, struct pipe *p, size_t n)
{
    return call_splice_in(from, p, n);
}

static ssize_t put(void *to, struct pipe *p)
{
    return conn_splice_out(to, p);
}

static enum pump pump_pipe(struct exchange *e)
{
    struct download *d = &e->transfer->download;
    struct client *c = e->client;
    const struct splice_ends ends = {.take = take,
                                     .put = put,
                                     .from = &e->transfer->call,
                                     .to = &c->conn,
                                     .left = call_spliceable(&e->transfer->call)};
    uint64_t in = d->splice.in, out = d->splice.out;
    enum splice_result result = splice_some(&d->splice, &ends, &e->client->proxy->pipes);
    d->content += d->splice.in - in;
    if (d->splice.out != out)
        e->transfer->times.took_ms = clock_ms();
    switch (result) {
    case SPLICE_DONE:
    case SPLICE_ENDED: return PUMP_DONE;
    case SPLICE_STARVED: return PUMP_WAITS;
    case SPLICE_BLOCKED: return client_watch(c) ? PUMP_WAITS : PUMP_CLIENT_CUT;
    case SPLICE_FAILED: return PUMP_CLIENT_GONE;
    case SPLICE_YIELD: break;
    }
    call_yield(&e->transfer->call);
    return PUMP_WAITS;
}

static bool may_splice(const struct exchange *e)
{
    const struct download *d = &e->transfer->download;
    return d->splice.pipe || (d->state == DOWNLOAD_BODY && conn_can_splice(&e->client->conn) &&
                              splice_pays(&d->splice, call_spliceable(&e->transfer->call)));
}

/* Queues what comes next, if nothing is queued. PUMP_WAITS: the origin must send some first. */
static enum pump fill(struct exchange *e, enum call_part *part)
{
    struct download *d = &e->transfer->download;
    if (d->out.count > 0 || d->state == DOWNLOAD_LAST)
        return PUMP_DONE;
    enum pump result = gather(e, part);
    if (result != PUMP_DONE)
        return result;
    if (*part == CALL_END)
        d->state = DOWNLOAD_LAST;
    return *part == CALL_MORE && d->out.count == 0 ? PUMP_WAITS : PUMP_DONE;
}

enum pump download_pump(struct exchange *e)
{
    struct download *d = &e->transfer->download;
    for (unsigned batches = 0; batches < BATCHES_PER_TURN; batches++) {
        enum call_part part = CALL_CONTENT;
        enum pump result = PUMP_DONE;
        if (may_splice(e) && d->out.count == 0)
            result = pump_pipe(e);
        if (result == PUMP_DONE)
            result = fill(e, &part);
        if (result != PUMP_DONE)
            return result;
        result = flush(e);
        /* A failure is not reported twice: what a slow client has not taken by now is lost. */
        if (part == CALL_FAILED && (result == PUMP_DONE || result == PUMP_WAITS))
            return PUMP_CALL_FAILED;
        if (result != PUMP_DONE)
            return result;
        if (d->state == DOWNLOAD_LAST) {
            d->state = DOWNLOAD_DONE;
            return PUMP_DONE;
        }
    }
    call_yield(&e->transfer->call);
    return PUMP_WAITS;
}
