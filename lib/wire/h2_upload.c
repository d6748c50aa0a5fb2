/* The content of a request: it stays where it is until the origin's windows take it. */

#include <string.h>

#include "wire/h2_internal.h"

static const struct h2_failure no_memory = {.error = CALL_ERROR_NO_MEMORY,
                                            .text = "out of memory for the request"};

static bool is_pending(const struct h2_stream *s)
{
    return s->run < s->run_count || (s->last && s->trailing.n > 0);
}

/* Copies what there is of content; returns how much. */
static size_t take(struct h2_stream *s, uint8_t *to, size_t n)
{
    size_t taken = 0;
    while (taken < n && s->run < s->run_count) {
        struct iovec *v = &s->runs[s->run];
        size_t part = v->iov_len < n - taken ? v->iov_len : n - taken;
        if (part > 0)
            memcpy(to + taken, v->iov_base, part);
        taken += part;
        v->iov_base = (char *)v->iov_base + part;
        v->iov_len -= part;
        if (v->iov_len == 0)
            s->run++;
    }
    return taken;
}

/* Its last byte is there: the stream ends with it, or with trailers. */
static bool end(struct h2_stream *s, uint32_t *flags)
{
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->trailing.n > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (!h2_submit_trailers(s)) {
            h2_stream_fail(s, no_memory);
            return false;
        }
        s->trailing = (struct slice){"", 0};
    }
    s->request = H2_REQUEST_SENT;
    return true;
}

ssize_t h2_read_content(nghttp2_session *session, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                        nghttp2_data_source *source, void *ctx)
{
    struct h2_stream *s = source->ptr;
    (void)session, (void)id, (void)ctx;
    if (!s->call)
        return NGHTTP2_ERR_DEFERRED; /* it waits for its RST_STREAM */
    size_t taken = take(s, to, n);
    if (s->run == s->run_count && s->last && !end(s, flags))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (s->blocked && !is_pending(s)) {
        s->blocked = false;
        h2_stream_ready(s, CALL_WRITABLE);
    }
    return taken > 0 || s->request == H2_REQUEST_SENT ? (ssize_t)taken : NGHTTP2_ERR_DEFERRED;
}

static void keep(struct h2_stream *s, const struct call_content *content)
{
    if (content->count > 0)
        memcpy(s->runs, content->runs, content->count * sizeof *s->runs);
    s->run = 0;
    s->run_count = content->count;
    s->last = content->last;
    if (content->last)
        s->trailing = content->trailers;
    while (s->run < s->run_count && s->runs[s->run].iov_len == 0)
        s->run++;
}

enum call_write h2_send(struct call *c, const struct call_content *content)
{
    struct h2_stream *s = c->stream;
    struct h2 *h = s->h2;
    if (s->failed || s->request == H2_REQUEST_FORGOTTEN || h->state == H2_OVER)
        return CALL_WRITE_FAILED;
    if (content)
        keep(s, content);
    if (s->request == H2_REQUEST_HELD && s->asked.once && h2_ping_comes_first(h)) {
        h2_due(h);
        s->blocked = true;
        return CALL_BLOCKED;
    }
    if (s->request == H2_REQUEST_HELD && !h2_submit(s)) {
        h2_stream_fail(s, no_memory);
        return CALL_WRITE_FAILED;
    }
    if (content && s->request == H2_REQUEST_SENDING &&
        nghttp2_is_fatal(nghttp2_session_resume_data(h->session, s->id))) {
        h2_out_of_memory(h);
        return CALL_WRITE_FAILED;
    }
    h2_due(h);
    s->blocked = is_pending(s);
    return s->blocked ? CALL_BLOCKED : CALL_SENT;
}
