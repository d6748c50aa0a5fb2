/* What libnghttp2 says of the frames that come. */

#include <string.h>

#include "base/clock.h"
#include "io/ack.h"
#include "wire/h2_internal.h"

/* So many reads of a full buffer, then others have their turn. */
#define READS_A_TURN 4

/* More than any head that a client may send (server.maxHeaderSize). */
#define HEADER_BLOCK_MOST (4 * 1024 * 1024)

#define MAX_CONTINUATIONS 32

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

/* --- Callbacks ---------------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    (void)ctx;
    return s && s->call ? h2_head_begins(s) : 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    (void)flags;
    if (!s)
        return 0;
    if (!s->call)
        return h2_head_ignored(s, name_n + value_n);
    h2_guard_useful(ctx, name_n + value_n, 0);
    if (s->failed)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return h2_head_field(s, (struct slice){(const char *)name, name_n},
                         (struct slice){(const char *)value, value_n});
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
                   void *ctx)
{
    struct h2_stream *s = stream_of(session, id);
    (void)flags;
    h2_guard_useful(ctx, n, 1);
    /* A client that is slow to take it holds its own stream's window and no other. */
    if (nghttp2_session_consume_connection(session, n) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return s && s->call ? h2_content(s, (struct slice){(const char *)data, n}) : 0;
}

static void note_settings(struct h2 *h)
{
    h->max_streams = nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    h->room_changed = true;
    if (h->state == H2_GREETING)
        h->state = H2_OPEN;
    else
        h2_guard_glitch(h, 1);
}

static void note_goaway(struct h2 *h, const nghttp2_goaway *frame)
{
    h->goaway_code = frame->error_code;
    h->goaway_last = frame->last_stream_id;
    h->wire->owner->noted(h->wire, WIRE_GOAWAY, frame->error_code);
    h2_guard_glitch(h, 10);
    h2_drain(h, RETIRE_GOAWAY);
}

static void note_ping(struct h2 *h, const nghttp2_frame *frame)
{
    if (frame->hd.flags & NGHTTP2_FLAG_ACK)
        h2_ping_answered(h);
    h2_guard_reply(h);
}

static void note_data(struct h2 *h, struct h2_stream *s, const nghttp2_frame *frame)
{
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        if (s && s->call) {
            h2_response_ended(s);
            h2_stream_ready(s, CALL_READABLE);
        }
    } else if (frame->hd.length <= frame->data.padlen) {
        h2_guard_glitch(h, 1);
    }
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            note_settings(h);
        break;
    case NGHTTP2_HEADERS:
        if (s && s->call)
            h2_head_ends(s, frame);
        break;
    case NGHTTP2_DATA: note_data(h, s, frame); break;
    case NGHTTP2_RST_STREAM:
        h->wire->owner->noted(h->wire, WIRE_RESET_BY_ORIGIN, frame->rst_stream.error_code);
        break;
    case NGHTTP2_PING: note_ping(h, frame); break;
    case NGHTTP2_WINDOW_UPDATE: h2_guard_reply(h); break;
    case NGHTTP2_GOAWAY: note_goaway(h, &frame->goaway); break;
    case NGHTTP2_PUSH_PROMISE: /* before it acknowledged our SETTINGS */
        h2_over(h, RETIRE_PROTOCOL_ERROR,
                (struct h2_failure){CALL_ERROR_MALFORMED, NGHTTP2_PROTOCOL_ERROR, "the origin pushes"});
        break;
    default: h2_guard_glitch(h, 1); break;
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *ctx)
{
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    struct h2 *h = ctx;
    h2_guard_glitch(h, 10);
    if (!s)
        h->complaint = nghttp2_strerror(error);
    else
        h2_stream_fail(
            s, (struct h2_failure){CALL_ERROR_MALFORMED, NGHTTP2_PROTOCOL_ERROR, nghttp2_strerror(error)});
    return 0;
}

/* The library resets what breaks the rules: its word on a stream or on all of them is this frame. */
static int before_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (s && s->head_at == H2_NOT_SERIALISED)
            s->head_at = h->serialised;
        break;
    case NGHTTP2_RST_STREAM:
        h2_resets_sent(h);
        h->wire->owner->noted(h->wire, WIRE_RESET_BY_CARPOOL, frame->rst_stream.error_code);
        if (s && s->call)
            h2_stream_fail(s, (struct h2_failure){CALL_ERROR_MALFORMED, frame->rst_stream.error_code,
                                                  "its DATA frames do not fit its head"});
        break;
    case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR)
            h2_over(h, RETIRE_PROTOCOL_ERROR,
                    (struct h2_failure){CALL_ERROR_MALFORMED, frame->goaway.error_code, NULL});
        break;
    }
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_DATA)
        h2_guard_sent(ctx, frame->hd.length);
    if (s && s->call && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
        call_sent(s->call, frame->hd.length);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
    struct h2_stream *s = stream_of(session, id);
    (void)ctx;
    if (s)
        h2_stream_closed(s, code);
    return 0; /* anything else would leak (CVE-2023-35945) */
}

/* --- The session --------------------------------------------------------------------------------------- */

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
    nghttp2_session_callbacks_set_before_frame_send_callback(c, before_frame_send);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    return c;
}

static nghttp2_option *option_new(void)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o) != 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_max_send_header_block_length(o, HEADER_BLOCK_MOST);
    /* Real origins send spaces around values (RFC 9113 8.2.1); they are taken off, as HTTP/1.1 says. */
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(o, 1);
#ifdef HAVE_NGHTTP2_OPTION_SET_MAX_CONTINUATIONS
    nghttp2_option_set_max_continuations(o, MAX_CONTINUATIONS);
#endif
#ifdef HAVE_NGHTTP2_OPTION_SET_GLITCH_RATE_LIMIT
    nghttp2_option_set_glitch_rate_limit(o, 1000, 33);
#endif
    return o;
}

/* With NO_RFC7540_PRIORITIES, libnghttp2 before 1.61 frees a request twice when memory runs out. */
static bool bears_no_priorities(void)
{
    return nghttp2_version(0x013d00) != NULL;
}

/* Preface, SETTINGS, and a window of the connection's that never limits. */
static bool greet(struct h2 *h, nghttp2_session *session)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_FIRST_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h->wire->loop->limits.max_size},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}, /* RFC 9218 2.1: no tree of dependencies is kept */
    };
    size_t n = sizeof settings / sizeof *settings - !bears_no_priorities();
    return nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, n) == 0 &&
           nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, INT32_MAX) == 0;
}

nghttp2_session *h2_session_new(struct h2 *h)
{
    nghttp2_session_callbacks *callbacks = callbacks_new();
    nghttp2_option *option = option_new();
    nghttp2_session *session = NULL;
    if (callbacks && option && nghttp2_session_client_new2(&session, callbacks, h, option) != 0)
        session = NULL;
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (!session || greet(h, session))
        return session;
    nghttp2_session_del(session);
    return NULL;
}

/* --- Reading ------------------------------------------------------------------------------------------- */

static void flooded(struct h2 *h)
{
    h2_over(h, RETIRE_FLOOD,
            (struct h2_failure){CALL_ERROR_MALFORMED, NGHTTP2_ENHANCE_YOUR_CALM,
                                "the origin floods the connection with frames of no use"});
}

static void refused_by_library(struct h2 *h, int error)
{
    if (error == NGHTTP2_ERR_FLOODED || error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
        flooded(h);
    else if (error == NGHTTP2_ERR_NOMEM || error == NGHTTP2_ERR_CALLBACK_FAILURE)
        h2_out_of_memory(h);
    else
        h2_over(h, RETIRE_PROTOCOL_ERROR,
                (struct h2_failure){CALL_ERROR_MALFORMED, NGHTTP2_PROTOCOL_ERROR, nghttp2_strerror(error)});
}

/* Nothing more is to come from a session that has ended itself, or after a GOAWAY after which no stream is
 * left. */
static void look_for_end(struct h2 *h)
{
    if (nghttp2_session_want_read(h->session))
        return;
    if (h->state == H2_DRAINING)
        h2_over(h, h->reason, (struct h2_failure){.error = CALL_ERROR_REFUSED});
    else
        h2_over(h, RETIRE_PROTOCOL_ERROR, (struct h2_failure){.error = CALL_ERROR_MALFORMED});
}

/* What the library keeps since the limit was lowered may begin elsewhere. */
static void give_back_unsent(struct h2 *h)
{
    struct h2_stream *s;
    uint32_t open = 0;
    TAILQ_FOREACH (s, &h->streams, link)
        open += s->request != H2_REQUEST_FORGOTTEN;
    TAILQ_FOREACH_REVERSE(s, &h->streams, h2_stream_list, link)
    {
        if (open <= h->max_streams)
            return;
        if (!s->call || s->failed || s->head_at != H2_NOT_SERIALISED)
            continue;
        h2_stream_fail(s, (struct h2_failure){CALL_ERROR_REFUSED, NGHTTP2_REFUSED_STREAM, NULL});
        h2_cancel_unsent(s);
        open--;
    }
}

static void feed(struct h2 *h, const char *bytes, size_t n)
{
    uint32_t limit = h->max_streams;
    h->taken_in += n;
    h->came_ms = clock_ms();
    h2_ping_heard(h);
    h2_resets_confirmed(h);
    ssize_t rc = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes, n);
    if (rc < 0)
        refused_by_library(h, (int)rc);
    else if (h2_guard_flooded(h))
        flooded(h);
    if (h2_is_broken(h))
        return;
    if (h->max_streams < limit)
        give_back_unsent(h);
    h2_pump(h); /* what the library resets is known when it says so */
    look_for_end(h);
}

static void ended(struct h2 *h, ssize_t how)
{
    const struct conn *c = &h->wire->conn;
    int error = how == CONN_ERROR ? c->error : 0;
    enum retire_reason idle = ack_is_dead_path(error) ? RETIRE_DEAD : RETIRE_PEER_CLOSED;
    h2_over(h, h->calls > 0 ? RETIRE_ERROR : idle,
            (struct h2_failure){.error = CALL_ERROR_ENDED, .code = (uint32_t)error});
}

bool h2_take_in(struct h2 *h)
{
    struct conn *c = &h->wire->conn;
    ssize_t n = CONN_AGAIN;
    unsigned reads = 0;
    if (h->state == H2_OVER)
        return false;
    struct buffer *b = buffer_borrow(&h->wire->loop->bodies);
    if (!b) {
        h2_out_of_memory(h);
        return false;
    }
    /* Until it says AGAIN: a reset that came with the last bytes was announced with them. */
    while (h->state != H2_OVER && reads++ < READS_A_TURN && (n = conn_read(c, b->data, b->size)) > 0)
        feed(h, b->data, (size_t)n);
    buffer_give(b);
    if (n == CONN_EOF || n == CONN_ERROR)
        ended(h, n);
    return n > 0 && h->state != H2_OVER;
}
