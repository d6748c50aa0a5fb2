/* What RST_STREAM, GOAWAY and the end of the connection mean for calls. */

#include "wire_test.h"

#include <sys/socket.h>
#include <unistd.h>

#include "wire/h2_internal.h"

#define END NGHTTP2_FLAG_END_STREAM

static struct asked a, b, c;

START_TEST(a_reset_says_what_is_certain)
{
    static const struct {
        uint32_t code;
        enum call_error error;
        enum call_progress progress;
    } rows[] = {
        {NGHTTP2_REFUSED_STREAM, CALL_ERROR_REFUSED, CALL_NOT_PROCESSED},
        {NGHTTP2_HTTP_1_1_REQUIRED, CALL_ERROR_HTTP_1_1, CALL_NOT_PROCESSED},
        {NGHTTP2_ENHANCE_YOUR_CALM, CALL_ERROR_CALM, CALL_MAYBE_PROCESSED},
        {NGHTTP2_PROTOCOL_ERROR, CALL_ERROR_RESET, CALL_MAYBE_PROCESSED},
        {NGHTTP2_INTERNAL_ERROR, CALL_ERROR_RESET, CALL_MAYBE_PROCESSED},
        {NGHTTP2_CANCEL, CALL_ERROR_RESET, CALL_MAYBE_PROCESSED},
        {NGHTTP2_NO_ERROR, CALL_ERROR_RESET, CALL_MAYBE_PROCESSED},
    };
    rig_begin(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(&a, "POST", "/");
        rig_turn();
        say_number(NGHTTP2_RST_STREAM, wait_for(NGHTTP2_HEADERS)->stream, rows[i].code);
        rig_turn();
        ck_assert(a.failed);
        ck_assert_int_eq(a.failure.error, rows[i].error);
        ck_assert_int_eq(a.failure.progress, rows[i].progress);
        ck_assert_int_eq(a.failure.code, rows[i].code);
        ck_assert_uint_eq(a.call.first_byte_us, 0);
        ck_assert_uint_eq(rig.noted[WIRE_RESET_BY_ORIGIN], i + 1);
        ck_assert_uint_eq(rig.noted_value[WIRE_RESET_BY_ORIGIN], rows[i].code);
    }
    ck_assert_uint_eq(rig.drainings, 0);
    rig_end();
}
END_TEST

START_TEST(refused_behind_a_head_is_no_refusal)
{
    rig_begin(NULL);
    ask(&a, "GET", "/");
    rig_turn();
    say_head(1, 0, ":status: 200\n");
    say_number(NGHTTP2_RST_STREAM, 1, NGHTTP2_REFUSED_STREAM);
    rig_turn();
    ck_assert(a.failed);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_int_eq(a.failure.error, CALL_ERROR_RESET);
    ck_assert_int_eq(a.failure.progress, CALL_MAYBE_PROCESSED);
    ck_assert_uint_ne(a.call.first_byte_us, 0);
    rig_end();
}
END_TEST

START_TEST(no_error_behind_a_whole_response_is_none)
{
    rig_begin(NULL);
    ask_with(&a, "POST", "/", "", (struct framing){.kind = BODY_CHUNKED});
    put_content(&a, "some", 4, false, NULL);
    rig_turn();
    say_head(1, 0, ":status: 413\n");
    say_data(1, END, "too large");
    say_number(NGHTTP2_RST_STREAM, 1, NGHTTP2_NO_ERROR);
    rig_turn();
    ck_assert(a.ended);
    ck_assert_uint_eq(a.status, 413);
    ck_assert_uint_eq(a.got, 9);
    rig_turn();
    ck_assert_ptr_null(hear(NGHTTP2_RST_STREAM));
    rig_end();
}
END_TEST

START_TEST(an_early_response_stops_the_upload)
{
    rig_begin(NULL);
    ask_with(&a, "POST", "/", "", (struct framing){.kind = BODY_CHUNKED});
    put_content(&a, "some", 4, false, NULL);
    rig_turn();
    say_head(1, END, ":status: 401\n");
    rig_turn();
    ck_assert(a.ended);
    rig_turn();
    ck_assert_uint_eq(wait_for(NGHTTP2_RST_STREAM)->payload[3], NGHTTP2_CANCEL);
    rig_end();
}
END_TEST

START_TEST(goaway_tells_who_was_not_processed)
{
    rig_begin(NULL);
    ask(&a, "POST", "/a");
    ask(&b, "POST", "/b");
    ask(&c, "POST", "/c");
    rig_turn();
    say_goaway(1, NGHTTP2_NO_ERROR);
    rig_turn();
    ck_assert(!a.failed && b.failed && c.failed);
    ck_assert_int_eq(b.failure.error, CALL_ERROR_REFUSED);
    ck_assert_int_eq(c.failure.progress, CALL_NOT_PROCESSED);
    ck_assert_uint_eq(wire_room(&rig.wire), 0);
    ck_assert_uint_eq(rig.drainings, 1);
    ck_assert_int_eq(rig.reason, RETIRE_GOAWAY);
    ck_assert_uint_eq(rig.closeds, 0);
    say_head(1, END, ":status: 200\n");
    rig_turn();
    ck_assert(a.ended);
    ck_assert_uint_eq(rig.closeds, 1);
    ck_assert_int_eq(rig.reason, RETIRE_GOAWAY);
    rig_end();
}
END_TEST

/* An origin that answers, says GOAWAY and is gone, when a request is on its way to it: all answers are read,
 * however many, while a client takes nothing of its own; and the request is known to be unsent. */
START_TEST(a_write_that_fails_loses_no_answer)
{
    static char text[15001];
    static struct asked late;
    memset(text, 'x', sizeof text - 1);
    rig_begin(NULL);
    buffer_pool_destroy(&rig.loop.bodies);
    rig.loop.bodies.size = 17 * 1024; /* what came is more than two turns read */
    setsockopt(rig.fd, SOL_SOCKET, SO_SNDBUF, &(int){200 * 1024}, sizeof(int));
    ask(&a, "POST", "/a");
    ask(&b, "POST", "/b");
    ask(&c, "POST", "/c");
    rig_turn();
    for (int32_t id = 1; id <= 5; id += 2) {
        say_head(id, 0, ":status: 200\n");
        for (int piece = 1; piece <= 4; piece++)
            say_data(id, piece == 4 ? END : 0, text);
        if (id == 3)
            say_frame(NGHTTP2_PING, 0, 0, "12345678", 8); /* its answer is put where the late request waits */
    }
    a.stuck = true;
    say_goaway(5, NGHTTP2_NO_ERROR);
    shutdown(rig.fd, SHUT_RD);
    ask(&late, "POST", "/late");
    for (int turn = 0; turn < 5; turn++)
        rig_turn();
    ck_assert(b.ended && c.ended && b.got == 60000 && c.got == 60000);
    ck_assert(!a.failed);
    ck_assert(late.failed);
    ck_assert_int_eq(late.failure.progress, CALL_NOT_SENT);
    a.stuck = false;
    take(&a);
    ck_assert(a.ended && a.got == 60000);
    rig_turn();
    rig_end();
}
END_TEST

/* Who did not take the only call that there was took none. */
START_TEST(a_goaway_that_took_nothing_took_no_other)
{
    rig_begin(NULL);
    ask(&a, "POST", "/a");
    rig_turn();
    say_goaway(INT32_MAX, NGHTTP2_NO_ERROR);
    say_number(NGHTTP2_RST_STREAM, 1, NGHTTP2_REFUSED_STREAM);
    rig_turn();
    ck_assert(a.failed && a.failure.orderly && !a.failure.took);
    rig_end();
}
END_TEST

START_TEST(goaway_in_two_steps)
{
    rig_begin(NULL);
    ask(&a, "POST", "/a");
    ask(&b, "POST", "/b");
    rig_turn();
    say_goaway(INT32_MAX, NGHTTP2_NO_ERROR);
    rig_turn();
    ck_assert(!a.failed && !b.failed);
    ck_assert_uint_eq(wire_room(&rig.wire), 0);
    say_goaway(1, NGHTTP2_NO_ERROR);
    rig_turn();
    ck_assert(!a.failed && b.failed);
    close(rig.fd);
    rig.fd = -1;
    rig_turn();
    ck_assert(a.failed);
    ck_assert_int_eq(a.failure.error, CALL_ERROR_ENDED);
    ck_assert_int_eq(a.failure.progress, CALL_MAYBE_PROCESSED);
    ck_assert_int_eq(rig.reason, RETIRE_GOAWAY);
    rig_end();
}
END_TEST

START_TEST(goaway_may_ask_for_http_1_1)
{
    rig_begin(NULL);
    ask(&a, "POST", "/a");
    rig_turn();
    say_goaway(0, NGHTTP2_HTTP_1_1_REQUIRED);
    rig_turn();
    ck_assert(a.failed);
    ck_assert_int_eq(a.failure.error, CALL_ERROR_HTTP_1_1);
    ck_assert_int_eq(a.failure.progress, CALL_NOT_PROCESSED);
    rig_end();
}
END_TEST

START_TEST(an_end_is_known_by_what_was_sent)
{
    rig_begin(NULL);
    ask(&a, "GET", "/a");
    rig_turn();
    ask(&b, "GET", "/b"); /* of which nothing left */
    close(rig.fd);
    rig.fd = -1;
    event_base_loop(rig.base, EVLOOP_NONBLOCK);
    h2_end_turn(&rig.loop);
    ck_assert(a.failed && b.failed);
    ck_assert_int_eq(a.failure.error, CALL_ERROR_ENDED);
    ck_assert_int_eq(a.failure.progress, CALL_MAYBE_PROCESSED);
    ck_assert_int_eq(b.failure.progress, CALL_NOT_SENT);
    ck_assert_uint_eq(rig.closeds, 1);
    ck_assert_int_eq(rig.reason, RETIRE_ERROR);
    rig_end();
}
END_TEST

/* It may be repeated elsewhere, so this origin must never hear of it: one may take requests when it sends no
 * more. */
START_TEST(what_is_said_to_be_unsent_is_never_sent)
{
    rig_begin(NULL);
    ask(&a, "POST", "/a");
    rig_turn();
    ask(&b, "POST", "/b");
    shutdown(rig.fd, SHUT_WR);
    rig_turn();
    ck_assert(b.failed);
    ck_assert_int_eq(b.failure.progress, CALL_NOT_SENT);
    rig_turn();
    ck_assert_int_eq(hear(NGHTTP2_HEADERS)->stream, 1);
    ck_assert_ptr_null(hear(NGHTTP2_HEADERS));
    rig_end();
}
END_TEST

/* The content of `a` is more than the origin reads, and the head of `b` waits behind it. */
static void begin_with_a_head_that_waits(void)
{
    static char content[1000];
    rig_begin(NULL);
    say_setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, INT32_MAX);
    say_number(NGHTTP2_WINDOW_UPDATE, 0, INT32_MAX - 65535);
    rig_turn();
    ck_assert(ask_with(&a, "POST", "/a", "", (struct framing){.kind = BODY_CHUNKED}));
    const struct h2 *h = rig.wire.session;
    while (!h->out_blocked && a.call.sent < 1 << 24) {
        put_content(&a, content, sizeof content, false, NULL);
        rig_turn();
    }
    ask(&b, "POST", "/b");
    h2_write(rig.wire.session);
    ck_assert(h->out_blocked);
    h2_pump(rig.wire.session);
    ck_assert_uint_lt(h->handed, h->serialised);
}

/* The same where its head had been made, and waited for the origin to read. */
START_TEST(a_head_that_waits_goes_with_its_connection)
{
    begin_with_a_head_that_waits();
    say_frame(NGHTTP2_PUSH_PROMISE, 0, 1, "    ", 4);
    ck_assert_int_eq(hear(NGHTTP2_HEADERS)->stream, 1);
    ck_assert_ptr_null(hear(NGHTTP2_HEADERS)); /* and now there is room again */
    rig_until(rig.closeds > 0);
    ck_assert(a.failed && b.failed);
    ck_assert_int_eq(b.failure.progress, CALL_NOT_SENT);
    ck_assert_uint_eq(rig.closeds, 1);
    ck_assert_ptr_null(hear(NGHTTP2_HEADERS));
    rig_end();
}
END_TEST

/* Its origin cannot know of it, but it will: it is not said to be unsent. */
START_TEST(a_head_that_waits_and_is_reset_is_sent)
{
    begin_with_a_head_that_waits();
    say_number(NGHTTP2_RST_STREAM, 3, NGHTTP2_CANCEL);
    rig_turn();
    ck_assert(b.failed);
    ck_assert_int_eq(b.failure.progress, CALL_MAYBE_PROCESSED);
    ck_assert_int_eq(hear(NGHTTP2_HEADERS)->stream, 1);
    struct frame *f;
    rig_until((f = hear(NGHTTP2_HEADERS)));
    ck_assert_int_eq(f->stream, 3);
    call_reset(&a.call);
    rig_end();
}
END_TEST

/* At once, so that it is read when there is room to write again. */
static void say_flood(void)
{
    static uint8_t pings[1100][17];
    for (int i = 0; i < 1100; i++)
        memcpy(pings[i],
               "\0\0\10\6\0\0\0\0\0"
               "12345678",
               17);
    say(pings, sizeof pings);
}

/* So many bytes that their last frame leaves no room for another. */
static size_t fill(const struct h2 *h)
{
    const size_t piece = 16384, most = piece + 64;
    return ((buffer_room(h->out) - most) / (piece + 9) + 1) * piece;
}

/* What lay between was taken back: trailers would make half an upload a whole one, and name fields that the
 * origin never saw. */
START_TEST(no_trailers_follow_what_was_taken_back)
{
    static char content[1 << 20];
    begin_with_a_head_that_waits();
    const struct h2 *h = rig.wire.session;
    buffer_compact(h->out);
    put_content(&a, content, fill(h), true, "X-Sum: 1\r\n");
    h2_pump(rig.wire.session);
    ck_assert_int_eq(((struct h2_stream *)a.call.stream)->request, H2_REQUEST_SENT);
    say_flood();
    ck_assert_int_eq(hear(NGHTTP2_HEADERS)->stream, 1);
    ck_assert_ptr_null(hear(NGHTTP2_HEADERS));
    rig_until(rig.closeds > 0);
    ck_assert(a.failed && b.failed);
    ck_assert_int_eq(a.failure.progress, CALL_MAYBE_PROCESSED);
    ck_assert_int_eq(b.failure.progress, CALL_NOT_SENT);
    ck_assert_ptr_null(hear(NGHTTP2_HEADERS));
    rig_end();
}
END_TEST

START_TEST(an_idle_wire_notices_its_end)
{
    rig_begin(NULL);
    shutdown(rig.fd, SHUT_WR);
    rig_turn();
    ck_assert_uint_eq(rig.closeds, 1);
    ck_assert_int_eq(rig.reason, RETIRE_PEER_CLOSED);
    rig_end();
}
END_TEST

START_TEST(a_probe_sees_a_goaway)
{
    rig_begin(NULL);
    ck_assert_int_eq(wire_probe(&rig.wire), RETIRE_NONE);
    say_goaway(0, NGHTTP2_NO_ERROR);
    ck_assert_int_eq(wire_probe(&rig.wire), RETIRE_GOAWAY);
    ck_assert_uint_eq(rig.drainings + rig.closeds, 0); /* not from within */
    rig_turn();
    ck_assert_uint_eq(rig.closeds, 1);
    rig_end();
}
END_TEST

START_TEST(numbers_of_streams_run_out)
{
    rig_begin(NULL);
    const struct h2 *h = rig.wire.session;
    ck_assert_int_eq(nghttp2_session_set_next_stream_id(h->session, INT32_MAX - 4098), 0);
    ask(&a, "GET", "/last");
    rig_turn();
    ask(&b, "GET", "/beyond");
    rig_turn();
    ck_assert_uint_eq(rig.drainings, 1);
    ck_assert_int_eq(rig.reason, RETIRE_MAX_REQUESTS);
    ck_assert_uint_eq(wire_room(&rig.wire), 0);
    for (int32_t id = INT32_MAX - 4098; id <= INT32_MAX - 4096; id += 2)
        say_head(id, END, ":status: 200\n");
    rig_until(rig.closeds == 1);
    ck_assert(a.ended && b.ended);
    rig_end();
}
END_TEST

START_TEST(a_close_says_goaway)
{
    char bytes[4096];
    rig_begin(NULL);
    while (read(rig.fd, bytes, sizeof bytes) > 0)
        ;
    wire_close(&rig.wire, false);
    ck_assert_int_eq(read(rig.fd, bytes, sizeof bytes), 17);
    ck_assert_int_eq(bytes[3], NGHTTP2_GOAWAY);
    ck_assert_int_eq(bytes[12] + bytes[16], 0); /* no stream of the origin's was processed; NO_ERROR */
    rig_end();
}
END_TEST

START_TEST(text_is_no_http_2)
{
    rig_greet(NULL);
    say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 47);
    rig_turn();
    ck_assert_uint_eq(rig.closeds, 1);
    ck_assert_int_eq(rig.reason, RETIRE_PROTOCOL_ERROR);
    ck_assert_ptr_nonnull(strstr(rig.loop.failure.text, "does not speak HTTP/2"));
    rig_end();
}
END_TEST

void add_h2_ends(Suite *suite)
{
    unit_group(suite, "ends", a_reset_says_what_is_certain, refused_behind_a_head_is_no_refusal,
               no_error_behind_a_whole_response_is_none, an_early_response_stops_the_upload,
               goaway_tells_who_was_not_processed, a_write_that_fails_loses_no_answer,
               a_goaway_that_took_nothing_took_no_other, goaway_in_two_steps, goaway_may_ask_for_http_1_1,
               an_end_is_known_by_what_was_sent, what_is_said_to_be_unsent_is_never_sent,
               a_head_that_waits_goes_with_its_connection, a_head_that_waits_and_is_reset_is_sent,
               no_trailers_follow_what_was_taken_back, an_idle_wire_notices_its_end, a_probe_sees_a_goaway,
               numbers_of_streams_run_out, a_close_says_goaway, text_is_no_http_2);
}
