#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/minmax.h"
#include "wire/h2_internal.h"

/* So that the HEADERS of one do not wait in the kernel until a megabyte of another's upload is gone. */
#define MOST_UNSENT (128 * 1024)

/* A wire whose owners always have more to send is written so often at the end of one turn. */
#define PASSES_A_TURN 8

/* --- What became of it ------------------------------------------------------------------------------- */

void h2_due(struct h2 *h)
{
    if (h->due || h->owner == H2_OWNER_GONE)
        return;
    h->due = true;
    LIST_INSERT_HEAD(&h->wire->loop->h2_due, h, due_link);
}

static void undue(struct h2 *h)
{
    if (!h->due)
        return;
    h->due = false;
    LIST_REMOVE(h, due_link);
}

void h2_drain(struct h2 *h, enum retire_reason reason)
{
    if (h->state >= H2_DRAINING)
        return;
    h->state = H2_DRAINING;
    h->reason = reason;
    h2_due(h);
}

/* Where no better text is known. */
static const char *text_of(const struct h2 *h, enum call_error error)
{
    if (error == CALL_ERROR_NO_MEMORY)
        return "out of memory for HTTP/2";
    if (error != CALL_ERROR_MALFORMED)
        return NULL;
    if (h->state == H2_GREETING)
        return h->wire->conn.tls ? "the origin chose HTTP/2 by ALPN and does not speak it: set allowH2: false"
                                 : "the origin does not speak HTTP/2: set h2Options.useH2c: false";
    return h->complaint ? h->complaint : "the origin breaks the rules of HTTP/2";
}

void h2_over(struct h2 *h, enum retire_reason reason, struct h2_failure failure)
{
    struct h2_stream *s;
    if (h->state == H2_OVER)
        return;
    /* A connection that was to end has a reason already. */
    if (h->state != H2_DRAINING || (reason != RETIRE_PEER_CLOSED && reason != RETIRE_ERROR))
        h->reason = reason;
    if (!failure.text)
        failure.text = text_of(h, failure.error);
    h->state = H2_OVER;
    h->failure = failure;
    h2_take_back(h); /* their requests may be repeated elsewhere */
    TAILQ_FOREACH (s, &h->streams, link)
        h2_stream_fail(s, failure);
    h2_due(h);
}

void h2_out_of_memory(struct h2 *h)
{
    h2_over(h, RETIRE_ERROR, (struct h2_failure){.error = CALL_ERROR_NO_MEMORY});
    h->failure.error = CALL_ERROR_NO_MEMORY;
}

static void destroy(struct h2 *h)
{
    struct h2_stream *s;
    nghttp2_session_del(h->session);
    while ((s = TAILQ_FIRST(&h->streams)))
        h2_stream_free(s);
    buffer_give(h->out);
    free(h);
}

/* --- Who is notified --------------------------------------------------------------------------------- */

static void notify_calls(struct h2 *h)
{
    struct h2_stream *s;
    uint32_t n = 0;
    TAILQ_FOREACH (s, &h->ready, ready_link)
        n++;
    /* No more than were ready: those that yield have their next turn later. */
    while (n-- > 0 && (s = TAILQ_FIRST(&h->ready))) {
        unsigned ready = s->ready;
        TAILQ_REMOVE(&h->ready, s, ready_link);
        s->ready = 0;
        s->call->ready(s->call, ready);
        if (h->owner == H2_OWNER_GONE)
            return;
    }
}

static void notify_room(struct h2 *h)
{
    if (!h->room_changed || h->state == H2_GREETING)
        return;
    h->room_changed = false;
    h->wire->owner->room(h->wire);
}

static void notify_draining(struct h2 *h)
{
    if (h->state < H2_DRAINING || h->owner != H2_OWNER_USES_IT)
        return;
    h->owner = H2_OWNER_DRAINS_IT;
    h->wire->owner->draining(h->wire, h->reason);
}

static void notify_closed(struct h2 *h)
{
    /* What it is ended for is written first. */
    if (h->owner != H2_OWNER_DRAINS_IT || h->calls > 0 || h->due)
        return;
    h->owner = H2_OWNER_DONE;
    h->wire->loop->failure = (struct call_failure){.error = h->failure.error, .code = (int)h->failure.code};
    if (h->failure.text)
        snprintf(h->wire->loop->failure.text, sizeof h->wire->loop->failure.text, "%s", h->failure.text);
    h->wire->owner->closed(h->wire, h->reason);
}

/* The owner first, so that it gives no place on what takes no more calls. Those that are notified may close
 * it: it is freed when the last of them has returned. */
static void notify(struct h2 *h)
{
    static void (*const steps[])(struct h2 *) = {notify_draining, notify_room, notify_calls, notify_closed};
    assert(!h->notifying);
    h->notifying = true;
    for (unsigned i = 0; i < sizeof steps / sizeof *steps && h->owner != H2_OWNER_GONE; i++)
        steps[i](h);
    h->notifying = false;
    if (h->owner == H2_OWNER_GONE)
        destroy(h);
}

/* What was written last is not acknowledged: further calls go elsewhere, and those of which nothing is are
 * notified. Where none was ever answered, a failure says something (h2_next()'s `proven`). */
static void note_unacked(struct h2 *h)
{
    uint64_t unacked = conn_unsent(&h->wire->conn);
    uint64_t acked = h->handed > unacked ? h->handed - unacked : 0;
    struct h2_stream *s;
    h2_drain(h, RETIRE_ERROR);
    TAILQ_FOREACH (s, &h->streams, link) {
        if (s->request == H2_REQUEST_HELD)
            h2_stream_fail(s, (struct h2_failure){.error = CALL_ERROR_REFUSED});
        else if (s->response == H2_RESPONSE_AWAITED && s->head_at >= acked && h->answered > 0)
            h2_stream_ready(s, CALL_UNACKED);
    }
}

/* Where there was more than enough for one turn, the next one goes on, also when no event tells of the
 * rest. */
static void take_in(struct h2 *h)
{
    if (h2_take_in(h))
        conn_call_again(&h->wire->conn);
}

static void on_ready(void *ctx, unsigned ready)
{
    struct h2 *h = ctx;
    if (ready & CONN_WRITABLE)
        h->out_blocked = false;
    if (ready & CONN_UNACKED)
        note_unacked(h);
    take_in(h);
    h2_due(h);
    notify(h);
}

static void on_timer(void *ctx)
{
    struct h2 *h = ctx;
    h2_resets_go_on(h);
    h2_ping_check(h);
    h2_due(h);
}

/* False: it had its share of this turn, and goes on in the next one. */
static bool may_pass(struct h2 *h, uint64_t turn)
{
    if (h->turn != turn)
        h->passes = 0;
    h->turn = turn;
    if (h->passes++ < PASSES_A_TURN)
        return true;
    conn_call_again(&h->wire->conn);
    return false;
}

void h2_end_turn(struct wire_loop *loop)
{
    struct h2 *h;
    loop->h2_turn++;
    while ((h = LIST_FIRST(&loop->h2_due))) {
        undue(h);
        if (!may_pass(h, loop->h2_turn))
            continue;
        h2_write(h);
        h2_ping_arm(h);
        notify(h);
    }
}

/* --- The wire ---------------------------------------------------------------------------------------- */

bool h2_open(struct wire *w, const struct h2_options *o)
{
    struct h2 *h = calloc(1, sizeof *h);
    if (!h)
        return false;
    h->wire = w;
    h->options = *o;
    TAILQ_INIT(&h->streams);
    TAILQ_INIT(&h->ready);
    h->session = h2_session_new(h);
    if (!h->session) {
        free(h);
        return false;
    }
    timer_init(&h->timer, w->loop->base, on_timer, h);
    h->heard_ms = h->came_ms = clock_ms();
    w->ops = &h2_ops;
    w->session = h;
    conn_set_owner(&w->conn, on_ready, h);
    conn_limit_unsent(&w->conn, MOST_UNSENT);
    h2_due(h);
    if (w->conn.tls) /* the handshake's last read may have brought SETTINGS */
        take_in(h);
    return true;
}

bool h2_is(const struct wire *w)
{
    return w->ops == &h2_ops && w->session;
}

void h2_options_changed(struct wire *w, const struct h2_options *o)
{
    struct h2 *h = w->session;
    h->options = *o;
    h->room_changed = true;
    h2_ping_release(h); /* whether they wait depends on the options */
    h2_due(h);
}

uint32_t h2_max_streams(const struct wire *w)
{
    const struct h2 *h = w->session;
    if (h->state == H2_GREETING)
        return 0;
    return min32(h->options.max_streams, h->max_streams);
}

uint32_t h2_capacity(const struct wire *w)
{
    const struct h2 *h = w->session;
    if (!h || h->state != H2_OPEN)
        return 0;
    uint32_t most = h2_max_streams(w), lost = h->abandoned + h->unconfirmed;
    return most > lost ? most - lost : 0;
}

bool h2_must_be_http1(const struct wire *w)
{
    const struct h2 *h = w->session;
    return h->goaway_code == NGHTTP2_HTTP_1_1_REQUIRED;
}

bool h2_is_sent_away(const struct wire *w)
{
    const struct h2 *h = w->session;
    return h->state >= H2_DRAINING && h->reason == RETIRE_GOAWAY && h->goaway_code == NGHTTP2_NO_ERROR;
}

static uint32_t room(const struct wire *w)
{
    const struct h2 *h = w->session;
    uint32_t most = h2_capacity(w);
    return most > 0 && most > h->calls ? most - h->calls : 0;
}

static bool open_call(struct wire *w, struct call *c, const struct call_request *r)
{
    struct h2 *h = w->session;
    assert(room(w) > 0);
    if (!h2_stream_new(h, c, r))
        return false;
    if (h->calls == 1)
        h2_ping_heard(h);
    return true;
}

static enum retire_reason probe(struct wire *w)
{
    struct h2 *h = w->session;
    take_in(h);
    h2_due(h);
    return h->state >= H2_DRAINING ? h->reason : RETIRE_NONE;
}

static void say_goodbye(struct h2 *h)
{
    if (h->state == H2_OVER ||
        nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0) != 0)
        return;
    h2_due(h);
}

static void close_wire(struct wire *w, bool reset)
{
    struct h2 *h = w->session;
    if (!h) {
        conn_close(&w->conn, reset);
        return;
    }
    assert(h->calls == 0);
    if (!reset) {
        say_goodbye(h);
        h2_write(h);
    }
    w->session = NULL;
    conn_close(&w->conn, reset);
    undue(h);
    timer_release(&h->timer);
    h->owner = H2_OWNER_GONE;
    if (!h->notifying)
        destroy(h);
}

/* --- Calls ------------------------------------------------------------------------------------------- */

static uint64_t spliceable(const struct call *c)
{
    (void)c;
    return 0;
}

static ssize_t splice_in(struct call *c, struct pipe *p, size_t n)
{
    (void)c, (void)p, (void)n;
    return CONN_ERROR;
}

static bool takes_pipe(const struct call *c)
{
    (void)c;
    return false;
}

static ssize_t splice_out(struct call *c, struct pipe *p)
{
    (void)c, (void)p;
    return CONN_ERROR;
}

static void yield(struct call *c)
{
    h2_stream_ready(c->stream, CALL_READABLE | CALL_WRITABLE);
    conn_call_again(&c->wire->conn);
}

/* Whatever became of the request, the connection is as good as before. */
static void finish(struct call *c, struct call_end *end)
{
    struct h2_stream *s = c->stream;
    assert(s->response == H2_RESPONSE_ENDED);
    *end = (struct call_end){
        .request_complete = true,
        .response_complete = true,
        .self_delimiting = true,
        .origin_persistent = true,
        .drained = true,
    };
    h2_stream_leave(s, NGHTTP2_CANCEL);
}

static bool leave(struct call *c, uint64_t limit)
{
    (void)c, (void)limit;
    return false;
}

static void reset(struct call *c)
{
    struct h2_stream *s = c->stream;
    bool malformed = s->failed && s->failure.error == CALL_ERROR_MALFORMED;
    h2_stream_leave(s, malformed ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_CANCEL);
}

static struct buffer *detach(struct call *c)
{
    (void)c;
    assert(!"101 and CONNECT are HTTP/1.1's");
    return NULL;
}

const struct wire_ops h2_ops = {
    .name = "h2",
    .open = open_call,
    .send = h2_send,
    .next = h2_next,
    .consumed = h2_consumed,
    .spliceable = spliceable,
    .splice_in = splice_in,
    .takes_pipe = takes_pipe,
    .splice_out = splice_out,
    .yield = yield,
    .finish = finish,
    .leave = leave,
    .reset = reset,
    .detach = detach,
    .room = room,
    .probe = probe,
    .close = close_wire,
};

const char *h2_error_name(uint32_t code)
{
    static const char *const names[H2_ERROR_COUNT] = {
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
        "unknown",
    };
    return names[code < H2_ERROR_COUNT ? code : H2_ERROR_COUNT - 1];
}
