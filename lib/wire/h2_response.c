/* Fields become the text of an HTTP/1.1 head, which is then read by the same strict parser as any other. */

#include <stdio.h>

#include "http/body_reader.h"
#include "http/status.h"
#include "wire/h2_internal.h"

/* --- As it comes --------------------------------------------------------------------------------------- */

static int fail(struct h2_stream *s, enum call_error error, const char *text)
{
    uint32_t code = error == CALL_ERROR_MALFORMED ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_CANCEL;
    h2_stream_fail(s, (struct h2_failure){error, code, text});
    if (error == CALL_ERROR_HEAD_TOO_LARGE)
        h2_guard_glitch(s->h2, 10);
    /* The library then adds none of its own. */
    nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, code);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int h2_head_begins(struct h2_stream *s)
{
    if (s->response == H2_RESPONSE_AWAITED)
        s->response = H2_RESPONSE_BEGUN;
    call_received(s->call);
    s->status = 0;
    if (!s->text)
        s->text = buffer_borrow(&s->h2->wire->loop->heads);
    if (!s->text)
        return fail(s, CALL_ERROR_NO_MEMORY, "out of memory for the response");
    s->text->start = s->text->end = 0;
    return 0;
}

static int status_line(struct h2_stream *s, struct slice value)
{
    unsigned long long status = 0;
    if (value.n != 3 || !slice_to_u64(value, &status) || status < 100 || status == 101)
        return fail(s, CALL_ERROR_MALFORMED, "its status is not one that HTTP/2 has");
    s->status = (uint32_t)status;
    buffer_append(s->text, SLICE("HTTP/1.1 "));
    buffer_append(s->text, value);
    buffer_append(s->text, SLICE(" "));
    buffer_append(s->text, slice_of(status_reason(s->status)));
    buffer_append(s->text, SLICE("\r\n"));
    return 0;
}

/* Of the head or trailers that are coming. */
static const struct head_limits *limits_of(const struct h2_stream *s)
{
    return s->response < H2_RESPONSE_HEAD ? &s->h2->wire->loop->limits : &body_trailer_limits;
}

static int too_large(struct h2_stream *s)
{
    if (s->response < H2_RESPONSE_HEAD)
        return fail(s, CALL_ERROR_HEAD_TOO_LARGE, head_verdict_text(HEAD_TOO_LARGE));
    return fail(s, CALL_ERROR_MALFORMED, "more than 8 KiB of trailers");
}

int h2_head_field(struct h2_stream *s, struct slice name, struct slice value)
{
    size_t n = name.n + value.n + 4;
    if (slice_eq(name, SLICE(":status")))
        return status_line(s, value);
    /* It is a request's. */
    if (slice_eq(name, SLICE("host")))
        return 0;
    if (s->text->end + n > limits_of(s)->max_size)
        return too_large(s);
    if (!buffer_reserve(&s->text, n + 2))
        return fail(s, CALL_ERROR_NO_MEMORY, "out of memory for the response");
    buffer_append(s->text, name);
    buffer_append(s->text, SLICE(": "));
    buffer_append(s->text, value);
    buffer_append(s->text, SLICE("\r\n"));
    return 0;
}

int h2_head_ignored(struct h2_stream *s, size_t n)
{
    s->ignored += n;
    if (s->ignored <= s->h2->wire->loop->limits.max_size)
        return 0;
    h2_guard_glitch(s->h2, 10);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void keep_interim(struct h2_stream *s)
{
    struct buffer **last = &s->interim;
    if (++s->interim_count > H2_MAX_INTERIM) {
        fail(s, CALL_ERROR_MALFORMED, "more than 16 interim responses");
        return;
    }
    while (*last)
        last = &(*last)->next;
    *last = s->text;
    s->text = NULL;
}

void h2_head_ends(struct h2_stream *s, const nghttp2_frame *frame)
{
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (s->failed || !s->text)
        return;
    h2_guard_useful(s->h2, 0, 1);
    s->h2->silent_pings = 0;
    if (!buffer_reserve(&s->text, 2)) {
        fail(s, CALL_ERROR_NO_MEMORY, "out of memory for the response");
        return;
    }
    buffer_append(s->text, SLICE("\r\n"));
    if (s->response < H2_RESPONSE_HEAD && s->status < 200) {
        keep_interim(s);
    } else if (s->response < H2_RESPONSE_HEAD) {
        s->head = s->text;
        s->end_with_head = ends;
        s->response = H2_RESPONSE_HEAD;
        s->text = NULL;
    } else {
        s->trailers = s->text;
        s->text = NULL;
    }
    if (ends)
        h2_response_ended(s);
    h2_stream_ready(s, CALL_READABLE);
}

void h2_response_ended(struct h2_stream *s)
{
    s->response = H2_RESPONSE_ENDED;
    s->h2->answered++;
}

int h2_content(struct h2_stream *s, struct slice bytes)
{
    struct wire_loop *loop = s->h2->wire->loop;
    s->h2->silent_pings = 0;
    call_received(s->call);
    if (s->failed)
        return 0;
    while (bytes.n > 0) {
        struct buffer *b = s->content_end;
        if (!b || buffer_room(b) == 0) {
            b = buffer_borrow(bytes.n <= loop->heads.size && !b ? &loop->heads : &loop->bodies);
            if (!b) {
                fail(s, CALL_ERROR_NO_MEMORY, "out of memory for the response");
                return 0;
            }
            *(s->content_end ? &s->content_end->next : &s->content) = b;
            s->content_end = b;
        }
        size_t part = bytes.n < buffer_room(b) ? bytes.n : buffer_room(b);
        buffer_append(b, (struct slice){bytes.p, part});
        bytes = slice_from(bytes, part);
    }
    h2_stream_ready(s, CALL_READABLE);
    return 0;
}

/* --- As it is asked for -------------------------------------------------------------------------------- */

static enum call_progress progress_of(const struct h2_stream *s)
{
    /* One that is serialised will be sent, unless the connection ends before (h2_take_back()). */
    if (s->head_at == H2_NOT_SERIALISED)
        return CALL_NOT_SENT;
    if (s->failure.error == CALL_ERROR_REFUSED || s->failure.error == CALL_ERROR_HTTP_1_1)
        return CALL_NOT_PROCESSED;
    return CALL_MAYBE_PROCESSED;
}

static enum call_part failed(const struct h2_stream *s)
{
    struct call_failure *f = &s->h2->wire->loop->failure;
    *f = (struct call_failure){
        .error = s->failure.error,
        .progress = progress_of(s),
        .proven = s->h2->answered > 0,
        .orderly = h2_is_sent_away(s->h2->wire),
        .took = s->h2->goaway_last > 0 && s->h2->goaway_last < s->id,
        .code = (int)s->failure.code,
    };
    if (s->failure.text)
        snprintf(f->text, sizeof f->text, "%s", s->failure.text);
    return CALL_FAILED;
}

static enum call_part malformed(struct h2_stream *s, const char *text)
{
    s->failed = true;
    s->failure = (struct h2_failure){CALL_ERROR_MALFORMED, NGHTTP2_PROTOCOL_ERROR, text};
    return failed(s);
}

static enum call_part bad_head(struct h2_stream *s, enum head_verdict v)
{
    if (v != HEAD_TOO_LARGE && v != HEAD_LINE_TOO_LONG && v != HEAD_TOO_MANY_FIELDS)
        return malformed(s, head_verdict_text(v));
    s->failed = true;
    s->failure = (struct h2_failure){CALL_ERROR_HEAD_TOO_LARGE, NGHTTP2_CANCEL, head_verdict_text(v)};
    return failed(s);
}

/* Lends a whole text until the next part is asked for. */
static struct slice lend(struct h2_stream *s, struct buffer *b)
{
    s->lent = b;
    return buffer_unread(b);
}

static enum call_part next_interim(struct h2_stream *s, struct head *head)
{
    struct buffer *b = s->interim;
    s->interim = b->next;
    b->next = NULL;
    enum head_verdict v = head_parse_response(lend(s, b), &s->h2->wire->loop->limits, head);
    return v == HEAD_OK ? CALL_INTERIM : bad_head(s, v);
}

static enum call_part next_head(struct h2_stream *s, struct head *head)
{
    struct framing *f = &s->call->framing;
    struct slice text = lend(s, s->head);
    s->head = NULL;
    enum head_verdict v = head_parse_response(text, &s->h2->wire->loop->limits, head);
    if (v != HEAD_OK)
        return bad_head(s, v);
    enum framing_verdict verdict =
        framing_of_response(head, s->asked.is_head ? REQUEST_HEAD : REQUEST_PLAIN, f);
    if (verdict != FRAMING_OK)
        return malformed(s, framing_verdict_text(verdict));
    f->doubtful = false; /* frames say where it ends */
    if (f->kind == BODY_CLOSE)
        *f = (struct framing){.kind = s->end_with_head ? BODY_LENGTH : BODY_CHUNKED};
    return CALL_HEAD;
}

static enum call_part next_trailers(struct h2_stream *s, struct head *head)
{
    struct slice text = lend(s, s->trailers);
    s->trailers = NULL;
    enum head_verdict v = head_parse_trailers(text, &body_trailer_limits, head);
    return v == HEAD_OK ? CALL_TRAILERS : malformed(s, "its trailers are broken (RFC 9113 8.1)");
}

/* What lies after the bytes that were given already. */
static bool next_content(struct h2_stream *s, struct slice *run)
{
    size_t skip = s->given;
    for (struct buffer *b = s->content; b; b = b->next) {
        struct slice here = buffer_unread(b);
        if (skip < here.n) {
            *run = slice_from(here, skip);
            s->given += run->n;
            return true;
        }
        skip -= here.n;
    }
    return false;
}

/* A response that breaks the rules has no beginning that may be passed on. */
static bool is_void(const struct h2_stream *s)
{
    return s->failed && (s->head || s->response < H2_RESPONSE_HEAD) && s->failure.error != CALL_ERROR_ENDED &&
           s->failure.error != CALL_ERROR_RESET;
}

enum call_part h2_next(struct call *c, struct head *head, struct slice *run)
{
    struct h2_stream *s = c->stream;
    buffer_give(s->lent);
    s->lent = NULL;
    if (is_void(s))
        return failed(s);
    if (s->interim)
        return next_interim(s, head);
    if (s->head)
        return next_head(s, head);
    if (next_content(s, run))
        return CALL_CONTENT;
    if (s->failed)
        return failed(s);
    if (s->response != H2_RESPONSE_ENDED)
        return CALL_MORE;
    return s->trailers ? next_trailers(s, head) : CALL_END;
}
