/* Requests and responses that are as they should be (RFC 9113 8). */

#include "wire_test.h"

static const struct framing none = {.kind = BODY_NONE}, chunked = {.kind = BODY_CHUNKED};
static struct asked a, b;

static uint32_t number_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

START_TEST(settings_say_what_is_wanted)
{
    struct frame *f = rig_greet(NULL);
    char got[100] = "";
    for (uint32_t i = 0, n = 0; i + 6 <= f->n; i += 6)
        n += (uint32_t)snprintf(got + n, sizeof got - n, "%u=%u ", f->payload[i + 1],
                                number_at(f->payload + i + 2));
    /* ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE, and where it is free of bugs
     * NO_RFC7540_PRIORITIES */
    ck_assert_str_eq(got, nghttp2_version(0x013d00) ? "2=0 4=65536 6=16384 9=1 " : "2=0 4=65536 6=16384 ");
    rig_end();
}
END_TEST

START_TEST(a_request_becomes_fields)
{
    rig_begin(NULL);
    ask_with(
        &a, "GET", "/p?q=1",
        "X-One: 1\nConnection: keep-alive\nKeep-Alive: 5\nProxy-Connection: close\nUpgrade: x\nTE: gzip\n"
        "HTTP2-Settings: AA\nAuthorization: Basic eA==\nCookie: a=1\nAccept: */*\n",
        none);
    call_send(&a.call, &(struct call_content){.last = true});
    rig_turn();
    struct frame *f = wait_for(NGHTTP2_HEADERS);
    ck_assert_str_eq(f->fields,
                     ":method: GET\n:scheme: http\n:authority: api.local\n:path: /p?q=1\nx-one: 1\n"
                     "authorization: Basic eA==\ncookie: a=1\naccept: */*\nte: trailers\n");
    ck_assert(f->indexed[4] && f->indexed[7]);
    ck_assert(!f->indexed[5] && !f->indexed[6]);
    ck_assert_int_eq(f->flags, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM);
    call_reset(&a.call);
    rig_end();
}
END_TEST

START_TEST(several_cookies_become_one)
{
    rig_begin(NULL);
    ask_with(&a, "GET", "/", "Cookie: a=1\nX-Two: 2\ncookie: b=2\nCookie: c=3\n", none);
    call_send(&a.call, NULL);
    rig_turn();
    ck_assert_ptr_nonnull(strstr(wait_for(NGHTTP2_HEADERS)->fields, "x-two: 2\ncookie: a=1; b=2; c=3\n"));
    call_reset(&a.call);
    rig_end();
}
END_TEST

START_TEST(content_of_a_known_length_ends_its_stream)
{
    rig_begin(NULL);
    ask_with(&a, "POST", "/", "Content-Length: 5\n", (struct framing){.kind = BODY_LENGTH, .length = 5});
    ck_assert_int_eq(put_content(&a, "hello", 5, true, NULL), CALL_BLOCKED);
    rig_turn();
    struct frame *f = wait_for(NGHTTP2_HEADERS);
    ck_assert_int_eq(f->flags & NGHTTP2_FLAG_END_STREAM, 0);
    ck_assert_ptr_nonnull(strstr(f->fields, "content-length: 5\n"));
    f = wait_for(NGHTTP2_DATA);
    ck_assert_int_eq(f->flags, NGHTTP2_FLAG_END_STREAM);
    ck_assert(f->n == 5 && memcmp(f->payload, "hello", 5) == 0);
    ck_assert(a.ready & CALL_WRITABLE);
    call_reset(&a.call);
    rig_end();
}
END_TEST

START_TEST(content_of_an_unknown_length_may_have_trailers)
{
    rig_begin(NULL);
    ask_with(&a, "POST", "/", "Transfer-Encoding: chunked\n", chunked);
    ck_assert_int_eq(call_send(&a.call, NULL), CALL_SENT);
    rig_turn();
    struct frame *f = wait_for(NGHTTP2_HEADERS);
    ck_assert_int_eq(f->flags & NGHTTP2_FLAG_END_STREAM, 0);
    ck_assert_ptr_null(strstr(f->fields, "transfer-encoding"));
    ck_assert_int_eq(put_content(&a, "hello", 5, false, NULL), CALL_BLOCKED);
    rig_turn();
    ck_assert_int_eq(wait_for(NGHTTP2_DATA)->flags, 0);
    ck_assert_int_eq(call_send(&a.call, NULL), CALL_SENT);
    ck_assert_int_eq(put_content(&a, "", 0, true, "X-Sum: 1\r\nConnection: x\r\n"), CALL_BLOCKED);
    rig_turn();
    f = wait_for(NGHTTP2_HEADERS);
    ck_assert_str_eq(f->fields, "x-sum: 1\n");
    ck_assert(f->flags & NGHTTP2_FLAG_END_STREAM);
    call_reset(&a.call);
    rig_end();
}
END_TEST

START_TEST(an_upload_that_is_given_up_never_looks_complete)
{
    rig_begin(NULL);
    ask_with(&a, "POST", "/", "", chunked);
    put_content(&a, "half", 4, false, NULL);
    rig_turn();
    wait_for(NGHTTP2_DATA);
    call_reset(&a.call);
    rig_turn();
    struct frame *f = wait_for(NGHTTP2_RST_STREAM);
    ck_assert_uint_eq(f->payload[3], NGHTTP2_CANCEL);
    ck_assert_ptr_null(hear(NGHTTP2_DATA));
    rig_end();
}
END_TEST

START_TEST(a_response_has_head_content_and_trailers)
{
    rig_begin(NULL);
    ask(&a, "GET", "/");
    rig_turn();
    say_head(1, 0, ":status: 103\nlink: </x>\n");
    say_head(1, 0, ":status: 200\nserver: x\nproxy-authenticate: Basic\nhost: y\nx-odd:  spaces \n");
    say_data(1, 0, "hello ");
    say_data(1, 0, "world");
    say_head(1, NGHTTP2_FLAG_END_STREAM, "x-sum: 2\n");
    rig_turn();
    ck_assert(a.ended);
    ck_assert_uint_eq(a.interim, 1);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_eq(a.fields, "server: x\nproxy-authenticate: Basic\nx-odd: spaces\n");
    ck_assert_int_eq(a.framing.kind, BODY_CHUNKED);
    ck_assert_uint_eq(a.got, 11);
    ck_assert_int_eq(memcmp(a.content, "hello world", 11), 0);
    ck_assert_str_eq(a.trailers, "x-sum: 2\n");
    ck_assert(a.end.request_complete && a.end.response_complete && a.end.origin_persistent && a.end.drained);
    rig_end();
}
END_TEST

START_TEST(framing_is_the_heads_or_the_streams)
{
    static const struct {
        const char *method, *head;
        enum body_kind kind;
        uint64_t length;
    } rows[] = {
        {"GET", ":status: 200\ncontent-length: 0\n", BODY_LENGTH, 0},
        {"GET", ":status: 200\n", BODY_LENGTH, 0},
        {"HEAD", ":status: 200\ncontent-length: 70\n", BODY_NONE, 70},
        {"GET", ":status: 204\n", BODY_NONE, 0},
        {"GET", ":status: 304\ncontent-length: 70\n", BODY_NONE, 70},
        {"GET", ":status: 799\n", BODY_LENGTH, 0},
    };
    rig_begin(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(&a, rows[i].method, "/");
        rig_turn();
        int32_t id = wait_for(NGHTTP2_HEADERS)->stream;
        say_head(id, NGHTTP2_FLAG_END_STREAM, rows[i].head);
        rig_turn();
        ck_assert_msg(a.ended, "row %zu", i);
        ck_assert_int_eq(a.framing.kind, rows[i].kind);
        ck_assert_uint_eq(a.framing.length, rows[i].length);
    }
    rig_end();
}
END_TEST

START_TEST(streams_go_on_beside_each_other)
{
    rig_begin(NULL);
    ask(&a, "GET", "/a");
    ask(&b, "GET", "/b");
    rig_turn();
    say_head(3, 0, ":status: 200\ncontent-length: 1\n");
    say_head(1, 0, ":status: 404\ncontent-length: 2\n");
    say_data(3, NGHTTP2_FLAG_END_STREAM, "b");
    rig_turn();
    ck_assert(b.ended && !a.ended);
    ck_assert_uint_eq(a.status, 404);
    say_data(1, NGHTTP2_FLAG_END_STREAM, "aa");
    rig_turn();
    ck_assert(a.ended);
    rig_end();
}
END_TEST

START_TEST(room_is_what_both_sides_allow)
{
    rig_begin(&(struct h2_options){.max_streams = 10, .max_stream_window = 65536});
    ck_assert_uint_eq(wire_room(&rig.wire), 10);
    say_setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2);
    rig_turn();
    ck_assert_uint_eq(wire_room(&rig.wire), 2);
    ck_assert_uint_eq(h2_max_streams(&rig.wire), 2);
    ask(&a, "GET", "/");
    ck_assert_uint_eq(wire_room(&rig.wire), 1);
    ask(&b, "GET", "/");
    ck_assert_uint_eq(wire_room(&rig.wire), 0);
    rig_turn();
    say_setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0);
    rig_turn();
    ck_assert_uint_eq(wire_room(&rig.wire), 0);
    say_head(1, NGHTTP2_FLAG_END_STREAM, ":status: 200\n");
    rig_turn();
    ck_assert(a.ended);
    ck_assert_uint_eq(wire_room(&rig.wire), 0);
    say_setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 500);
    rig_turn();
    ck_assert_uint_eq(wire_room(&rig.wire), 9);
    call_reset(&b.call);
    rig_turn();
    /* Until something comes, it is not known whether the origin has counted it out. */
    ck_assert_uint_eq(wire_room(&rig.wire), 9);
    say_frame(NGHTTP2_PING, 0, 0, "12345678", 8);
    rig_turn();
    ck_assert_uint_eq(wire_room(&rig.wire), 10);
    rig_end();
}
END_TEST

START_TEST(a_reset_that_takes_all_room_is_confirmed)
{
    rig_begin(&(struct h2_options){.max_streams = 1, .max_stream_window = 65536});
    ask(&a, "GET", "/");
    rig_turn();
    call_reset(&a.call);
    rig_turn();
    ck_assert_uint_eq(wire_room(&rig.wire), 0);
    struct frame *f = wait_for(NGHTTP2_PING);
    say_frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, f->payload, 8);
    rig_turn();
    ck_assert_uint_eq(wire_room(&rig.wire), 1);
    rig_end();
}
END_TEST

START_TEST(who_answers_no_ping_has_room_again)
{
    rig_begin(&(struct h2_options){.max_streams = 1, .max_stream_window = 65536});
    ask(&a, "GET", "/");
    rig_turn();
    call_reset(&a.call);
    rig_turn();
    ck_assert_uint_eq(wire_room(&rig.wire), 0);
    unsigned rooms = rig.rooms;
    rig_until(wire_room(&rig.wire) == 1);
    ck_assert_uint_gt(rig.rooms, rooms);
    rig_end();
}
END_TEST

/* The limit is lowered before what was begun could be sent. */
START_TEST(what_no_longer_fits_is_given_back)
{
    rig_begin(NULL);
    ask(&a, "GET", "/a");
    rig_turn();
    ck_assert_ptr_nonnull(wait_for(NGHTTP2_HEADERS));
    ask(&b, "GET", "/b");
    say_setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1);
    rig_turn();
    ck_assert(!a.failed && b.failed);
    ck_assert_ptr_null(hear(NGHTTP2_RST_STREAM));
    ck_assert_int_eq(b.failure.error, CALL_ERROR_REFUSED);
    ck_assert_int_eq(b.failure.progress, CALL_NOT_SENT);
    say_setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 10);
    rig_turn();
    ck_assert_ptr_null(hear(NGHTTP2_HEADERS));
    say_head(1, NGHTTP2_FLAG_END_STREAM, ":status: 200\n");
    rig_turn();
    ck_assert(a.ended);
    ck_assert_uint_eq(wire_room(&rig.wire), 10);
    rig_end();
}
END_TEST

void add_h2_translation(Suite *suite)
{
    unit_group(suite, "translation", settings_say_what_is_wanted, a_request_becomes_fields,
               several_cookies_become_one, content_of_a_known_length_ends_its_stream,
               content_of_an_unknown_length_may_have_trailers,
               an_upload_that_is_given_up_never_looks_complete, a_response_has_head_content_and_trailers,
               framing_is_the_heads_or_the_streams, streams_go_on_beside_each_other,
               room_is_what_both_sides_allow, a_reset_that_takes_all_room_is_confirmed,
               who_answers_no_ping_has_room_again, what_no_longer_fits_is_given_back);
}
