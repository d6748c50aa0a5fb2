#include "base/minmax.h"
#include "wire/h2_internal.h"

/* What the library serialises at a time, at most: a frame of 16 KiB, its head, and some. */
#define PIECE_MOST (16 * 1024 + 64)

/* Room for one more piece. No more than a buffer waits: beyond that the sender must wait. */
static bool make_room(struct h2 *h)
{
    if (!h->out)
        h->out = buffer_borrow(&h->wire->loop->bodies);
    if (!h->out) {
        h2_out_of_memory(h);
        return false;
    }
    if (buffer_room(h->out) < PIECE_MOST)
        buffer_compact(h->out);
    return buffer_room(h->out) >= PIECE_MOST;
}

void h2_take_back(struct h2 *h)
{
    struct h2_stream *s;
    uint64_t keep = h->serialised;
    TAILQ_FOREACH (s, &h->streams, link) {
        if (s->head_at == H2_NOT_SERIALISED || s->head_at < h->handed)
            continue;
        keep = min64(s->head_at, keep);
        s->head_at = H2_NOT_SERIALISED;
    }
    if (h->out)
        h->out->end -= h->serialised - keep;
    h->serialised = keep;
}

/* The library sends no request any more of those that wait. */
static void terminate(struct h2 *h)
{
    bool is_malformed = h->failure.error == CALL_ERROR_MALFORMED;
    if (nghttp2_session_terminate_session(h->session, is_malformed ? h->failure.code : NGHTTP2_NO_ERROR) != 0)
        h2_out_of_memory(h);
}

void h2_pump(struct h2 *h)
{
    const uint8_t *piece;
    ssize_t n = 0;
    if (h->state == H2_OVER && !h2_is_broken(h))
        terminate(h);
    while (!h2_is_broken(h) && nghttp2_session_want_write(h->session) && make_room(h) &&
           (n = nghttp2_session_mem_send(h->session, &piece)) > 0) {
        buffer_append(h->out, (struct slice){(const char *)piece, (size_t)n});
        h->serialised += (uint64_t)n;
    }
    if (n < 0)
        h2_out_of_memory(h);
    buffer_give_if_empty(&h->out);
}

/* More than a receive buffer holds, unless the peer is one that goes on without a pause. */
#define TURNS_OF_LAST_WORDS 64

/* The peer takes no more: what it said before may still be responses, or a GOAWAY, and is all read, since
 * nothing follows. What was not taken stays in `out`, where its requests are known to be unsent. */
static void write_failed(struct h2 *h)
{
    int error = h->wire->conn.error;
    h->out_blocked = true;
    for (unsigned turns = 0; turns < TURNS_OF_LAST_WORDS && h2_take_in(h); turns++)
        ;
    h2_over(h, RETIRE_ERROR, (struct h2_failure){.error = CALL_ERROR_ENDED, .code = (uint32_t)error});
}

/* False: nothing more can be written now. */
static bool write_out(struct h2 *h)
{
    struct slice all = buffer_unread(h->out);
    const struct iovec v = {.iov_base = (void *)all.p, .iov_len = all.n};
    ssize_t n = conn_write(&h->wire->conn, &v, 1);
    if (n == CONN_AGAIN || (n > 0 && (size_t)n < all.n))
        h->out_blocked = true;
    if (n > 0) {
        buffer_consume(h->out, (size_t)n);
        if (h->handed < h->serialised - buffer_unread(h->out).n)
            h->handed = h->serialised - buffer_unread(h->out).n;
    } else if (n != CONN_AGAIN) {
        write_failed(h);
    }
    if (h->out && h->out_blocked && h->wire->conn.tls)
        h->handed = h->serialised; /* a record may have begun with what is left */
    return !h->out_blocked;
}

void h2_write(struct h2 *h)
{
    if (h->out_blocked)
        return;
    h2_pump(h);
    h2_resets_confirm(h);
    h2_pump(h);
    while (h->out && write_out(h))
        h2_pump(h);
    buffer_give_if_empty(&h->out);
}
