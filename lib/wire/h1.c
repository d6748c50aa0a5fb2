/* The life of a call on an HTTP/1.1 wire. */

#include "wire/h1.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/ack.h"
#include "io/tls.h"
#include "wire/h1_internal.h"

/* How long what is left of a response is waited for when its client has gone. */
#define LEFT_MS 1000
/* Kept for the next burst. */
#define SPARES_KEPT 512

static void on_left_timeout(void *ctx);

static struct h1 *take(struct wire_loop *loop)
{
    struct h1 *h = freelist_take(&loop->spare_h1);
    if (!h) {
        h = malloc(sizeof *h);
        if (!h)
            return NULL;
        timer_init(&h->timer, loop->base, on_left_timeout, h);
    }
    memset((char *)h + offsetof(struct h1, wire), 0, sizeof *h - offsetof(struct h1, wire));
    return h;
}

static void destroy(struct h1 *h)
{
    timer_release(&h->timer);
    free(h);
}

static void give(struct wire_loop *loop, struct h1 *h)
{
    if (!freelist_keep(&loop->spare_h1, h, SPARES_KEPT))
        destroy(h);
}

void h1_destroy_freelist(struct wire_loop *loop)
{
    struct h1 *h;
    while ((h = freelist_take(&loop->spare_h1)))
        destroy(h);
}

/* --- Between calls --------------------------------------------------------------------------------------- */

static void on_idle_ready(void *ctx, unsigned ready)
{
    struct wire *w = ctx;
    (void)ready;
    w->owner->readable(w);
}

static uint32_t room(const struct wire *w)
{
    return w->session == NULL;
}

/* Not ended by the peer, be it with an end of file or an alert. */
static bool is_broken_tls(const struct wire *w, ssize_t read)
{
    char text[256];
    return read == CONN_ERROR && w->conn.error == EPROTO &&
           tls_failure(&w->conn, text, sizeof text) != TLS_FAILURE_ALERT;
}

/* The rest of a record would be taken for the response to the next request. */
static enum retire_reason of_silence(const struct wire *w)
{
    bool is_data = conn_has_part(&w->conn) && !conn_awaits_ticket(&w->conn);
    return is_data ? RETIRE_UNEXPECTED_DATA : RETIRE_NONE;
}

static enum retire_reason probe(struct wire *w)
{
    char byte;
    if (conn_is_quiet(&w->conn))
        return of_silence(w);
    ssize_t n = conn_read(&w->conn, &byte, 1);
    if (n > 0)
        return RETIRE_UNEXPECTED_DATA;
    if (n == CONN_AGAIN)
        return of_silence(w);
    return ack_is_dead_path(w->conn.error) ? RETIRE_DEAD
           : is_broken_tls(w, n)           ? RETIRE_ERROR
                                           : RETIRE_PEER_CLOSED;
}

/* --- A call ---------------------------------------------------------------------------------------------- */

_Static_assert(CALL_READABLE == (int)CONN_READABLE && CALL_WRITABLE == (int)CONN_WRITABLE, "on_ready()");

static void on_ready(void *ctx, unsigned ready)
{
    struct h1 *h = ctx;
    struct call *c = h->call;
    unsigned what = ready & (CALL_READABLE | CALL_WRITABLE);
    if ((ready & CONN_UNACKED) && conn_unsent(&h->wire->conn) >= c->sent)
        what |= CALL_UNACKED;
    c->ready(c, what);
}

static bool open_call(struct wire *w, struct call *c, const struct call_request *r)
{
    assert(!w->session);
    struct h1 *h = take(w->loop);
    if (!h)
        return false;
    h->wire = w;
    h->call = c;
    h->asked = *r;
    h->writer.chunked = r->framing.kind == BODY_CHUNKED;
    h1_queue_head(h);
    w->session = h;
    *c = (struct call){.wire = w, .ready = c->ready, .stream = h};
    conn_set_owner(&w->conn, on_ready, h);
    if (w->conn.may_read && w->conn.watched)
        conn_call_again(&w->conn); /* TLS has something that the loop will not report */
    return true;
}

/* The wire has no call any more. */
static void end_call(struct h1 *h)
{
    struct wire *w = h->wire;
    if (h->call) {
        h->call->wire = NULL;
        h->call->stream = NULL;
    }
    timer_clear(&h->timer);
    low_water_end(&h->low_water);
    h1_forget_turn(h);
    body_reader_end(&h->body);
    buffer_give(h->repaired);
    buffer_give(h->in);
    w->session = NULL;
    conn_set_owner(&w->conn, on_idle_ready, w);
    give(w->loop, h);
}

static void yield(struct call *c)
{
    h1_yield(h1_of(c));
}

/* Whether nothing is left on the conn after the response. */
static bool is_drained(const struct h1 *h)
{
    struct conn *c = &h->wire->conn;
    return !h->in && (conn_is_drained(c) || conn_is_quiet(c)) && !conn_has_part(c);
}

static void note_end(struct h1 *h, struct call_end *end)
{
    h1_settle(h);
    low_water_end(&h->low_water);
    *end = h->end;
    end->request_complete = h->request == H1_REQUEST_SENT;
    end->response_complete = h->response == H1_ENDED;
    end->drained = is_drained(h);
    end->peer_ended = !end->drained && !h->in && probe(h->wire) == RETIRE_PEER_CLOSED;
}

static void finish(struct call *c, struct call_end *end)
{
    struct h1 *h = h1_of(c);
    note_end(h, end);
    end_call(h);
}

static void reset(struct call *c)
{
    end_call(h1_of(c));
}

static struct buffer *detach(struct call *c)
{
    struct h1 *h = h1_of(c);
    h1_settle(h);
    struct buffer *in = h->in;
    h->in = NULL;
    end_call(h);
    return in;
}

/* --- A call that was left -------------------------------------------------------------------------------- */

/* What is left is little enough, and there already or about to be: a response of events may trickle for
 * hours. */
static bool is_worth_reading(const struct h1 *h, uint64_t limit)
{
    bool is_young = clock_ms() - h->first_byte_ms < LEFT_MS;
    if (h->response == H1_HEAD || h->request != H1_REQUEST_SENT)
        return false;
    if (h->response == H1_ENDED)
        return true;
    switch (h->body.framing.kind) {
    case BODY_LENGTH: return h->body.left <= limit;
    case BODY_CHUNKED: return limit > 0 && (h->given > 0 || is_young);
    case BODY_NONE:
    case BODY_CLOSE:
    case BODY_TUNNEL: break;
    }
    return false;
}

static void end_left(struct h1 *h, enum retire_reason reason)
{
    struct wire *w = h->wire;
    struct call_end end = {0};
    if (reason == RETIRE_NONE)
        note_end(h, &end);
    end_call(h);
    w->owner->left(w, reason, &end);
}

static void skip_rest(struct h1 *h)
{
    switch (h1_skip(h)) {
    case CALL_END:
    case CALL_TRAILERS: end_left(h, RETIRE_NONE); return;
    case CALL_FAILED: end_left(h, h->skipped > h->skip_most ? RETIRE_CLIENT_ABORTED : RETIRE_ERROR); return;
    case CALL_CONTENT: conn_call_again(&h->wire->conn); return;
    case CALL_MORE:
    case CALL_INTERIM:
    case CALL_HEAD: return;
    }
}

static void on_left_ready(void *ctx, unsigned ready)
{
    if (ready & CONN_READABLE)
        skip_rest(ctx);
}

static void on_left_timeout(void *ctx)
{
    end_left(ctx, RETIRE_CLIENT_ABORTED);
}

static bool leave(struct call *c, uint64_t limit)
{
    struct h1 *h = h1_of(c);
    if (!is_worth_reading(h, limit))
        return false;
    c->wire = NULL;
    c->stream = NULL;
    h->call = NULL;
    h->skip_most = limit;
    h1_settle(h);
    low_water_end(&h->low_water);
    conn_set_owner(&h->wire->conn, on_left_ready, h);
    timer_set(&h->timer, LEFT_MS);
    conn_call_again(&h->wire->conn); /* what has come is reported once more */
    return true;
}

/* --- The end --------------------------------------------------------------------------------------------- */

static void close_wire(struct wire *w, bool with_reset)
{
    if (w->session)
        end_call(w->session);
    conn_close(&w->conn, with_reset);
}

static const struct wire_ops h1_ops = {
    .name = "http/1.1",
    .open = open_call,
    .send = h1_send,
    .next = h1_next,
    .consumed = h1_consumed,
    .spliceable = h1_spliceable,
    .splice_in = h1_splice_in,
    .takes_pipe = h1_takes_pipe,
    .splice_out = h1_splice_out,
    .yield = yield,
    .finish = finish,
    .leave = leave,
    .reset = reset,
    .detach = detach,
    .room = room,
    .probe = probe,
    .close = close_wire,
};

void h1_begin(struct wire *w, struct wire_loop *loop, const struct wire_owner *owner)
{
    w->ops = &h1_ops;
    w->loop = loop;
    w->owner = owner;
    w->session = NULL;
    conn_set_owner(&w->conn, on_idle_ready, w);
}
