/* The response's half: its heads and its content, as they come. */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "config/config.h"
#include "http/explain.h"
#include "http/fields.h"
#include "http/repair.h"
#include "io/ack.h"
#include "io/tls.h"
#include "wire/h1_internal.h"

/* --- Failures ------------------------------------------------------------------------------------------ */

static enum call_part fail(struct h1 *h, enum call_error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum call_part fail(struct h1 *h, enum call_error error, const char *format, ...)
{
    struct call_failure *f = &h->wire->loop->failure;
    f->error = error;
    f->progress = h->out.sent == 0 ? CALL_NOT_SENT : CALL_MAYBE_PROCESSED;
    f->code = 0;
    va_list list;
    va_start(list, format);
    vsnprintf(f->text, sizeof f->text, format, list);
    va_end(list);
    return CALL_FAILED;
}

static enum call_error error_of_tls(enum tls_failure failure)
{
    switch (failure) {
    case TLS_FAILURE_ALERT: return CALL_ERROR_TLS_ALERT;
    case TLS_FAILURE_CERTIFICATE: return CALL_ERROR_TLS_CERTIFICATE;
    case TLS_FAILURE_PROTOCOL: return CALL_ERROR_TLS_PROTOCOL;
    case TLS_FAILURE_NONE:
    case TLS_FAILURE_IO: break;
    }
    return CALL_ERROR_ENDED;
}

/* In TLS 1.3 a server's word on our certificate comes as an alert after the handshake (RFC 8446 4.4.2.4). */
static enum call_part fail_ended(struct h1 *h, int error)
{
    char text[256] = "";
    const struct conn *conn = &h->wire->conn;
    enum call_error e = CALL_ERROR_ENDED;
    if (conn->tls && h->response == H1_HEAD)
        e = error_of_tls(tls_failure(conn, text, sizeof text));
    fail(h, e, "%s", text);
    h->wire->loop->failure.code = error;
    return CALL_FAILED;
}

/* --- Reading ------------------------------------------------------------------------------------------- */

static void note_bytes(struct h1 *h, size_t n)
{
    h->came += (uint32_t)n;
    if (!h->first_byte_ms)
        h->first_byte_ms = clock_ms();
    call_received(h->call);
}

/* Some servers write a head and its content apart. */
static void wait_for_more(struct h1 *h)
{
    if (h->came > 0)
        ack_part(h->wire->conn.fd, h->came);
    h->came = 0;
}

/* > 0, CONN_AGAIN, CONN_EOF, CONN_ERROR as conn_read(); CONN_ERROR with ENOMEM where memory is short. */
static ssize_t read_some(struct h1 *h)
{
    struct conn *from = &h->wire->conn;
    if (!buffer_make_room(&h->in, &h->wire->loop->bodies)) {
        from->error = ENOMEM;
        return CONN_ERROR;
    }
    ssize_t n = conn_read(from, h->in->data + h->in->end, buffer_room(h->in));
    if (n == CONN_AGAIN)
        wait_for_more(h);
    if (n <= 0) {
        buffer_give_if_empty(&h->in);
        return n;
    }
    h->in->end += (uint32_t)n;
    note_bytes(h, (size_t)n);
    return n;
}

/* --- The head ------------------------------------------------------------------------------------------ */

/* An alert or a handshake (RFC 8446 5.1) where HTTP was to come. */
static bool speaks_tls(const struct h1 *h)
{
    struct slice in = buffer_unread(h->in);
    return in.n >= 2 && (in.p[0] == 0x15 || in.p[0] == 0x16) && in.p[1] == 3;
}

static enum call_part bad_head(struct h1 *h, enum head_verdict v)
{
    char why[EXPLAIN_SIZE];
    explain_response_head(buffer_unread(h->in), v, &h->wire->loop->limits, why);
    if (v == HEAD_TOO_LARGE || v == HEAD_LINE_TOO_LONG || v == HEAD_TOO_MANY_FIELDS)
        return fail(h, CALL_ERROR_HEAD_TOO_LARGE, "%s", why);
    bool is_repairable = head_verdict_is_repairable(v) && !h->asked.repair;
    return fail(h, is_repairable ? CALL_ERROR_REPAIRABLE : CALL_ERROR_MALFORMED, "%s", why);
}

static enum call_part bad_framing(struct h1 *h, const struct head *head, enum framing_verdict v)
{
    char why[EXPLAIN_SIZE];
    explain_framing(head, v, why);
    return fail(h, CALL_ERROR_MALFORMED, "%s", why);
}

static void note_end(struct h1 *h, const struct head *head, const struct framing *f)
{
    struct keep_alive_hint hint = {0};
    if (head_has(head, FIELD_KEEP_ALIVE))
        hint = keep_alive_hint(head);
    h->end.self_delimiting = f->kind != BODY_CLOSE && !f->doubtful;
    h->end.origin_persistent = head_is_persistent(head) && !h->interim_close;
    h->end.has_hint_timeout = hint.has_timeout;
    h->end.hint_timeout_ms = hint.timeout_ms;
    h->end.has_hint_max = hint.has_max;
    h->end.hint_max = hint.max;
}

static enum call_part interim(struct h1 *h, const struct head *head)
{
    struct framing f;
    enum framing_verdict v = framing_of_response(head, REQUEST_PLAIN, &f);
    if (v != FRAMING_OK)
        return bad_framing(h, head, v);
    h->interim_close |= connection_has(head, SLICE("close"));
    return CALL_INTERIM;
}

static enum call_part final(struct h1 *h, const struct head *head)
{
    struct framing *f = &h->call->framing;
    enum framing_verdict v = framing_of_response(head, h->asked.is_head ? REQUEST_HEAD : REQUEST_PLAIN, f);
    if (v != FRAMING_OK)
        return bad_framing(h, head, v);
    if (h->wire->parent && head->status == 407)
        return fail(h, CALL_ERROR_PARENT, "%s", h->wire->parent->address);
    note_end(h, head, f);
    body_reader_begin(&h->body, *f);
    h->response = h->body.ended ? H1_ENDED : H1_BODY;
    return CALL_HEAD;
}

/* What the peer said before it took no more of the request may be a response (RFC 9112 9.5). */
static enum call_part nothing_came(struct h1 *h)
{
    if (h->request == H1_REQUEST_FAILED && !h->first_byte_ms)
        return fail_ended(h, h->write_error);
    return CALL_MORE;
}

static enum call_part next_head(struct h1 *h, struct head *head)
{
    for (;;) {
        size_t length;
        if (h->in && speaks_tls(h))
            return fail(h, CALL_ERROR_SPEAKS_TLS, "%s", "");
        enum head_verdict v = h1_read_head(h, head, &length);
        if (v == HEAD_OK) {
            h->head_length = length;
            break;
        }
        if (v != HEAD_INCOMPLETE)
            return bad_head(h, v);
        /* Until it says AGAIN, even after a short read: a reset that came with those bytes was announced with
         * them, and by libevent as nothing but readable. */
        ssize_t n = read_some(h);
        if (n == CONN_AGAIN)
            return nothing_came(h);
        if (n == CONN_ERROR && h->wire->conn.error == ENOMEM)
            return fail(h, CALL_ERROR_NO_MEMORY, "out of memory for the response's head");
        if (n <= 0)
            return fail_ended(h, n == CONN_EOF ? 0 : h->wire->conn.error);
    }
    if (head->status < 200 && head->status != 101)
        return interim(h, head);
    return final(h, head);
}

/* --- The content --------------------------------------------------------------------------------------- */

/* The end of the connection is the end of the content, if the origin was free to say so (RFC 9112 8). */
static enum call_part source_ended(struct h1 *h)
{
    if (h->body.framing.kind != BODY_CLOSE)
        return fail_ended(h, 0);
    if (h->wire->conn.eof_without_notify)
        return fail(h, CALL_ERROR_TRUNCATED, "%s", "");
    h->response = H1_ENDED;
    return CALL_END;
}

/* What was given is done with: its bytes are free for what comes next. */
static void release(struct h1 *h)
{
    if (h->used > 0)
        buffer_consume(h->in, h->used);
    h->used = 0;
    h->given = 0;
    buffer_give_if_empty(&h->in);
}

static enum call_part content_ended(struct h1 *h, struct head *head)
{
    h->response = H1_ENDED;
    if (!h->body.trailers)
        return CALL_END;
    if (!body_reader_trailers(&h->body, head))
        return fail(h, CALL_ERROR_MALFORMED, "its %s", body_reader_fault(&h->body));
    return CALL_TRAILERS;
}

/* The next event in what was read already; CALL_MORE: there is none. */
static enum call_part buffered(struct h1 *h, struct head *head, struct slice *run)
{
    size_t used = 0;
    struct slice in = slice_from(buffer_unread(h->in), h->used);
    enum body_event event = body_read(&h->body, &h->wire->loop->bodies, in, &used, run);
    h->used += (uint32_t)used;
    switch (event) {
    case BODY_RUN: h->given += run->n; return CALL_CONTENT;
    case BODY_END: return content_ended(h, head);
    case BODY_MALFORMED: return fail(h, CALL_ERROR_MALFORMED, "its %s", body_reader_fault(&h->body));
    case BODY_NO_MEMORY: return fail(h, CALL_ERROR_NO_MEMORY, "out of memory for the response's trailers");
    case BODY_MORE: break;
    }
    return CALL_MORE;
}

static enum call_part next_content(struct h1 *h, struct head *head, struct slice *run)
{
    for (;;) {
        enum call_part part = buffered(h, head, run);
        if (part != CALL_MORE || h->given > 0)
            return part;
        release(h);
        /* Also after a short read: a reset that came with its bytes will not be announced again. */
        ssize_t n = read_some(h);
        if (n == CONN_AGAIN)
            return CALL_MORE;
        if (n == CONN_EOF)
            return source_ended(h);
        if (n == CONN_ERROR && h->wire->conn.error == ENOMEM)
            return fail(h, CALL_ERROR_NO_MEMORY, "out of memory for the response's content");
        if (n < 0)
            return fail_ended(h, h->wire->conn.error);
    }
}

enum call_part h1_next(struct call *c, struct head *head, struct slice *run)
{
    struct h1 *h = h1_of(c);
    h1_forget_head(h);
    switch (h->response) {
    case H1_HEAD: return next_head(h, head);
    case H1_BODY: return next_content(h, head, run);
    case H1_ENDED: break;
    }
    return CALL_END;
}

void h1_consumed(struct call *c, size_t n)
{
    struct h1 *h = h1_of(c);
    assert(n == h->given);
    release(h);
}

void h1_settle(struct h1 *h)
{
    h1_forget_head(h);
    release(h);
}

/* One busy origin must not keep the others waiting, nor one whose chunks are tiny. */
#define SKIPPED_PER_TURN (1024 * 1024)
#define CHUNK_COST       64

enum call_part h1_skip(struct h1 *h)
{
    struct head scratch; /* for trailers, which are thrown away */
    struct slice run = {NULL, 0};
    for (size_t cost = 0; cost < SKIPPED_PER_TURN; cost += CHUNK_COST + run.n) {
        enum call_part part = next_content(h, &scratch, &run);
        if (part != CALL_CONTENT)
            return part;
        h->skipped += run.n;
        release(h);
        if (h->skipped > h->skip_most)
            return CALL_FAILED;
    }
    return CALL_CONTENT;
}

/* --- Past the program ---------------------------------------------------------------------------------- */

uint64_t h1_spliceable(const struct call *c)
{
    const struct h1 *h = h1_of(c);
    bool possible = h->response == H1_BODY && h->body.framing.kind == BODY_LENGTH && h->given == 0 &&
                    buffer_unread(h->in).n == h->used + h->head_length && conn_can_splice(&h->wire->conn);
    return possible ? h->body.left : 0;
}

ssize_t h1_splice_in(struct call *c, struct pipe *p, size_t n)
{
    struct h1 *h = h1_of(c);
    h1_settle(h);
    ssize_t got = conn_splice_in(&h->wire->conn, p, n);
    if (got > 0) {
        body_reader_skip(&h->body, (size_t)got);
        note_bytes(h, (size_t)got);
        low_water_moved(&h->low_water, (size_t)got);
    } else if (got == CONN_AGAIN) {
        wait_for_more(h);
        low_water_await(&h->wire->loop->low_waters, &h->low_water, &h->wire->conn, h->body.left);
    } else {
        low_water_end(&h->low_water);
    }
    return got;
}
