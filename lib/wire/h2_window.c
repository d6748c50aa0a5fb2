/* A stream's window is what its client may leave untaken: it grows for those that keep up. */

#include <assert.h>

#include "base/minmax.h"
#include "wire/h2_internal.h"

static void drop_from_front(struct h2_stream *s, size_t n)
{
    while (n > 0) {
        struct buffer *b = s->content;
        assert(b);
        size_t here = buffer_unread(b).n;
        if (n < here) {
            buffer_consume(b, n);
            return;
        }
        n -= here;
        s->content = b->next;
        if (!s->content)
            s->content_end = NULL;
        b->next = NULL;
        buffer_give(b);
    }
}

/* A whole window went through, and nothing is left over. */
static void grow(struct h2_stream *s)
{
    struct h2 *h = s->h2;
    uint64_t *grown = &h->wire->loop->h2_grown;
    uint32_t larger = min32(s->window * 2, h->options.max_stream_window);
    s->kept_up = 0;
    if (larger <= s->window || *grown + (larger - s->window) > H2_GROWN_MOST)
        return;
    if (nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, s->id, (int32_t)larger) != 0)
        return;
    *grown += larger - s->window;
    s->window = larger;
}

void h2_consumed(struct call *c, size_t n)
{
    struct h2_stream *s = c->stream;
    assert(n <= s->given);
    s->given -= n;
    drop_from_front(s, n);
    if (s->request == H2_REQUEST_FORGOTTEN || s->h2->state == H2_OVER || s->response == H2_RESPONSE_ENDED)
        return;
    if (nghttp2_is_fatal(nghttp2_session_consume_stream(s->h2->session, s->id, n))) {
        h2_out_of_memory(s->h2);
        return;
    }
    s->kept_up += n;
    if (!s->content && s->kept_up >= s->window)
        grow(s);
    h2_due(s->h2);
}

void h2_window_forget(struct h2_stream *s)
{
    s->h2->wire->loop->h2_grown -= s->window - H2_FIRST_WINDOW;
    s->window = H2_FIRST_WINDOW;
}
