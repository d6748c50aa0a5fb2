#include <assert.h>
#include <stdlib.h>

#include "wire/h2_internal.h"

struct h2_stream *h2_stream_new(struct h2 *h, struct call *c, const struct call_request *r)
{
    struct h2_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->h2 = h;
    s->call = c;
    s->asked = *r;
    s->head_at = H2_NOT_SERIALISED;
    s->window = H2_FIRST_WINDOW;
    TAILQ_INSERT_TAIL(&h->streams, s, link);
    h->calls++;
    *c = (struct call){.wire = h->wire, .ready = c->ready, .stream = s};
    return s;
}

void h2_stream_ready(struct h2_stream *s, unsigned ready)
{
    if (!s->call)
        return;
    if (!s->ready)
        TAILQ_INSERT_TAIL(&s->h2->ready, s, ready_link);
    s->ready |= ready;
    h2_due(s->h2);
}

void h2_stream_fail(struct h2_stream *s, struct h2_failure failure)
{
    if (s->failed || s->response == H2_RESPONSE_ENDED)
        return;
    s->failed = true;
    s->failure = failure;
    h2_stream_ready(s, CALL_READABLE | CALL_WRITABLE);
}

/* What an RST_STREAM means (RFC 9113 7), or the GOAWAY that left this stream out. */
static struct h2_failure failure_of_reset(const struct h2_stream *s, uint32_t code)
{
    if (code == NGHTTP2_REFUSED_STREAM && s->h2->goaway_code == NGHTTP2_INADEQUATE_SECURITY)
        return (struct h2_failure){
            CALL_ERROR_TLS_PROTOCOL, code,
            "the origin finds this TLS connection inadequate (INADEQUATE_SECURITY): see `ciphers`"};
    if (code == NGHTTP2_REFUSED_STREAM && s->h2->goaway_code == NGHTTP2_HTTP_1_1_REQUIRED)
        return (struct h2_failure){CALL_ERROR_HTTP_1_1, code, NULL};
    if (code == NGHTTP2_REFUSED_STREAM && s->response == H2_RESPONSE_AWAITED)
        return (struct h2_failure){CALL_ERROR_REFUSED, code, NULL};
    if (code == NGHTTP2_HTTP_1_1_REQUIRED && s->response == H2_RESPONSE_AWAITED)
        return (struct h2_failure){CALL_ERROR_HTTP_1_1, code, NULL};
    if (code == NGHTTP2_ENHANCE_YOUR_CALM)
        return (struct h2_failure){CALL_ERROR_CALM, code, NULL};
    return (struct h2_failure){CALL_ERROR_RESET, code, NULL};
}

void h2_stream_closed(struct h2_stream *s, uint32_t code)
{
    struct h2 *h = s->h2;
    s->request = H2_REQUEST_FORGOTTEN;
    if (s->call) {
        h2_stream_fail(s, failure_of_reset(s, code));
        return;
    }
    h->abandoned--;
    h->room_changed = true;
    h2_due(h);
    h2_stream_free(s);
}

static void give_list(struct buffer *b)
{
    while (b) {
        struct buffer *next = b->next;
        b->next = NULL;
        buffer_give(b);
        b = next;
    }
}

static void give_buffers(struct h2_stream *s)
{
    give_list(s->interim);
    give_list(s->content);
    buffer_give(s->text);
    buffer_give(s->head);
    buffer_give(s->trailers);
    buffer_give(s->lent);
    s->interim = s->content = s->content_end = s->text = s->head = s->trailers = s->lent = NULL;
    s->given = 0;
}

void h2_stream_free(struct h2_stream *s)
{
    assert(!s->call);
    TAILQ_REMOVE(&s->h2->streams, s, link);
    free(s);
}

void h2_stream_leave(struct h2_stream *s, uint32_t code)
{
    struct h2 *h = s->h2;
    if (s->ready)
        TAILQ_REMOVE(&h->ready, s, ready_link);
    s->ready = 0;
    s->call->wire = NULL;
    s->call->stream = NULL;
    s->call = NULL;
    h->calls--;
    give_buffers(s);
    h2_window_forget(s);
    h2_due(h);
    if (s->request == H2_REQUEST_HELD || s->request == H2_REQUEST_FORGOTTEN) {
        h2_stream_free(s);
        return;
    }
    h->abandoned++;
    h->room_changed = true;
    h2_abandon(s, code);
}
