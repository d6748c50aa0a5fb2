#include "wire/h2_check.h"

#include <assert.h>

#include "wire/h2_internal.h"

static size_t held_content(const struct h2_stream *s)
{
    size_t n = 0;
    for (const struct buffer *b = s->content; b; b = b->next)
        n += buffer_unread(b).n;
    return n;
}

static bool is_known(const struct h2_stream *s)
{
    return s->request == H2_REQUEST_SENDING || s->request == H2_REQUEST_SENT;
}

/* What came for a stream and was not consumed fits its window, and none of it was given back before its
 * time. */
static void check_window(const struct h2_stream *s)
{
    const struct h2 *h = s->h2;
    size_t held = held_content(s);
    assert(s->given <= held);
    assert(s->window >= H2_FIRST_WINDOW);
    if (h2_is_broken(h) || !is_known(s) || s->response == H2_RESPONSE_ENDED)
        return;
    int32_t unacknowledged = nghttp2_session_get_stream_effective_recv_data_length(h->session, s->id);
    int32_t window = nghttp2_session_get_stream_effective_local_window_size(h->session, s->id);
    if (window < 0)
        return; /* its HEADERS have not been serialised */
    /* Before our SETTINGS are acknowledged it is a byte less, and one that grew meanwhile is a byte more. */
    assert(window + 1 >= (int64_t)s->window && window <= (int64_t)s->window + 1);
    assert(s->failed || held <= (size_t)unacknowledged);
    assert(held <= s->window);
}

static void check_stream(const struct h2_stream *s)
{
    assert(s->id > 0 || s->request == H2_REQUEST_HELD);
    assert(!s->call || s->call->stream == s);
    assert(s->call || (is_known(s) && !s->content && !s->head && !s->interim && !s->text && !s->ready));
    assert(s->reset != H2_RESET_DUE || !s->call);
    assert(s->run <= s->run_count && s->run_count <= CALL_RUNS);
    assert(!s->interim || s->interim_count <= H2_MAX_INTERIM);
    check_window(s);
}

static uint32_t count_ready(const struct h2 *h)
{
    const struct h2_stream *s;
    uint32_t n = 0;
    TAILQ_FOREACH (s, &h->ready, ready_link) {
        assert(s->ready && s->call);
        n++;
    }
    return n;
}

void h2_check(const struct wire *w, uint32_t calls, struct h2_sums *sums)
{
    const struct h2 *h = w->session;
    const struct h2_stream *s;
    uint32_t open = 0, abandoned = 0, ready = 0;
    TAILQ_FOREACH (s, &h->streams, link) {
        assert(s->h2 == h);
        check_stream(s);
        open += s->call != NULL;
        abandoned += s->call == NULL;
        ready += s->ready != 0;
        sums->grown += s->window - H2_FIRST_WINDOW;
    }
    assert(h->calls == open && h->abandoned == abandoned && open == calls);
    assert(ready == count_ready(h));
    assert(h->handed <= h->serialised);
    assert(h->calls == 0 || h->state != H2_GREETING);
    assert(wire_room(w) == 0 || h->calls + h->abandoned + h->unconfirmed + wire_room(w) == h2_max_streams(w));
}

void h2_check_loop(const struct wire_loop *loop, const struct h2_sums *sums)
{
    assert(loop->h2_grown == sums->grown && sums->grown <= H2_GROWN_MOST);
}
