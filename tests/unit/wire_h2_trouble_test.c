/* Floods, and silence. */

#include "base/clock.h"
#include "wire_test.h"

#define MOST_BYTES (4 * 1024 * 1024)

static struct asked a;

/* --- Floods --------------------------------------------------------------------------------------------- */

/* One piece of each kind, as the origin repeats it. */
enum flood {
    FLOOD_PING,
    FLOOD_SETTINGS,
    FLOOD_WINDOW_UPDATE,
    FLOOD_PRIORITY,
    FLOOD_RST_OF_CLOSED,
    FLOOD_EMPTY_DATA,
    FLOOD_PADDING,
    FLOOD_UNKNOWN,
    FLOOD_HEADERS_OF_CLOSED,
    FLOOD_GOAWAY,
    FLOOD_COUNT
};

static size_t one_of(enum flood kind)
{
    static const uint8_t padding[256] = {255};
    switch (kind) {
    case FLOOD_PING: say_frame(NGHTTP2_PING, 0, 0, "12345678", 8); return 17;
    case FLOOD_SETTINGS: say_frame(NGHTTP2_SETTINGS, 0, 0, NULL, 0); return 9;
    case FLOOD_WINDOW_UPDATE: say_number(NGHTTP2_WINDOW_UPDATE, 0, 1); return 13;
    case FLOOD_PRIORITY: say_frame(NGHTTP2_PRIORITY, 0, 3, "\0\0\0\0\1", 5); return 14;
    case FLOOD_RST_OF_CLOSED: say_number(NGHTTP2_RST_STREAM, 1, 0); return 13;
    case FLOOD_EMPTY_DATA: say_frame(NGHTTP2_DATA, 0, 3, NULL, 0); return 9;
    case FLOOD_PADDING: say_frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 3, padding, 256); return 265;
    case FLOOD_UNKNOWN: say_frame(0x77, 0, 0, padding, 200); return 209;
    case FLOOD_HEADERS_OF_CLOSED: say_head(1, 0, ":status: 200\n"); return 10;
    case FLOOD_GOAWAY: say_goaway(INT32_MAX, 0); return 17;
    case FLOOD_COUNT: break;
    }
    return 0;
}

START_TEST(a_flood_ends_the_connection)
{
    size_t sent = 0;
    rig_begin(NULL);
    ask(&a, "GET", "/closed");
    rig_turn();
    say_head(1, NGHTTP2_FLAG_END_STREAM, ":status: 200\n");
    rig_turn();
    ask(&a, "GET", "/open");
    rig_turn();
    say_head(3, 0, ":status: 200\n");
    rig_turn();
    while (rig.closeds == 0 && sent < MOST_BYTES) {
        for (int i = 0; i < 100; i++)
            sent += one_of((enum flood)_i);
        rig_turn();
    }
    ck_assert_msg(rig.closeds == 1, "flood %d went on", _i);
    ck_assert_int_eq(rig.reason, _i == FLOOD_GOAWAY ? RETIRE_FLOOD : RETIRE_FLOOD);
    ck_assert(a.failed);
    ck_assert_int_eq(a.failure.error, CALL_ERROR_MALFORMED);
    ck_assert_uint_eq(wait_for(NGHTTP2_GOAWAY)->payload[7], NGHTTP2_ENHANCE_YOUR_CALM);
    rig_end();
}
END_TEST

START_TEST(continuations_without_end_are_a_flood)
{
    static const uint8_t fields[1024];
    rig_begin(NULL);
    ask(&a, "GET", "/");
    rig_turn();
    say_frame(NGHTTP2_HEADERS, 0, 1, "\x88", 1);
    for (int i = 0; i < 100 && rig.closeds == 0; i++) {
        say_frame(NGHTTP2_CONTINUATION, 0, 1, fields, 0);
        rig_turn();
    }
    ck_assert_uint_eq(rig.closeds, 1);
    ck_assert_int_eq(rig.reason, RETIRE_FLOOD);
    rig_end();
}
END_TEST

START_TEST(a_push_is_an_error)
{
    rig_begin(NULL);
    ask(&a, "GET", "/");
    rig_turn();
    say_frame(NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, "\0\0\0\2\x82", 5);
    rig_turn();
    ck_assert(a.failed);
    ck_assert_int_eq(a.failure.error, CALL_ERROR_MALFORMED);
    ck_assert_uint_eq(rig.closeds, 1);
    ck_assert_int_eq(rig.reason, RETIRE_PROTOCOL_ERROR);
    ck_assert_uint_eq(wait_for(NGHTTP2_GOAWAY)->payload[7], NGHTTP2_PROTOCOL_ERROR);
    rig_end();
}
END_TEST

START_TEST(what_breaks_the_connection_is_said)
{
    rig_begin(NULL);
    ask(&a, "GET", "/");
    rig_turn();
    say_number(NGHTTP2_WINDOW_UPDATE, 0, 0);
    rig_turn();
    ck_assert(a.failed);
    ck_assert_int_eq(a.failure.error, CALL_ERROR_MALFORMED);
    ck_assert_str_eq(a.failure.text, "Protocol error");
    ck_assert_int_eq(rig.reason, RETIRE_PROTOCOL_ERROR);
    rig_end();
}
END_TEST

START_TEST(an_honest_server_is_no_flood)
{
    static char content[16384];
    rig_begin(NULL);
    /* Acknowledges each frame of an upload, measures beside it, and answers in small pieces. */
    for (int round = 0; round < 300; round++) {
        ask_with(&a, "POST", "/", "", (struct framing){.kind = BODY_LENGTH, .length = sizeof content});
        put_content(&a, content, sizeof content, true, NULL);
        rig_turn();
        int32_t id = wait_for(NGHTTP2_DATA)->stream;
        say_number(NGHTTP2_WINDOW_UPDATE, id, sizeof content);
        say_number(NGHTTP2_WINDOW_UPDATE, 0, sizeof content);
        say_frame(NGHTTP2_PING, 0, 0, "12345678", 8);
        say_head(id, 0, ":status: 200\n");
        for (int i = 0; i < 10; i++)
            say_data(id, 0, "x");
        say_frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, NULL, 0);
        rig_turn();
        ck_assert(a.ended);
    }
    ck_assert_uint_eq(rig.drainings, 0);
    rig_end();
}
END_TEST

/* As a server whose handler reads 512 bytes at a time, and gives both windows back each time. */
START_TEST(small_reads_of_an_upload_are_no_flood)
{
    static char content[16384];
    rig_begin(NULL);
    for (int round = 0; round < 300; round++) {
        ask_with(&a, "POST", "/", "", (struct framing){.kind = BODY_LENGTH, .length = sizeof content});
        put_content(&a, content, sizeof content, true, NULL);
        rig_turn();
        int32_t id = wait_for(NGHTTP2_DATA)->stream;
        for (size_t n = 0; n < sizeof content; n += 512) {
            say_number(NGHTTP2_WINDOW_UPDATE, 0, 512);
            say_number(NGHTTP2_WINDOW_UPDATE, id, 512);
        }
        rig_turn();
        say_head(id, NGHTTP2_FLAG_END_STREAM, ":status: 200\n");
        rig_turn();
        ck_assert(a.ended);
    }
    ck_assert_uint_eq(rig.drainings, 0);
    rig_end();
}
END_TEST

/* Fields cost a byte each once they are in the table, and nobody looks at them. */
START_TEST(fields_for_nobody_are_few)
{
    static struct asked many[102];
    static char value[1000];
    const struct pair head[] = {{":status", "100", 0}, {"x", value, 0}, {"x", value, 0}, {"x", value, 0}};
    unsigned resets = 0;
    rig_begin(&(struct h2_options){.max_streams = 200, .max_stream_window = 65536});
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 102; i++)
        ask(&many[i], "GET", "/");
    rig_turn();
    for (int i = 0; i < 102; i++)
        call_reset(&many[i].call);
    rig_turn();
    /* The last one waits until it may be reset. */
    struct frame *f;
    for (int i = 0; i < 100 && rig.closeds == 0; i++) {
        say_pairs(2 * 101 + 1, 0, head, sizeof head / sizeof head[0]);
        rig_turn();
        while ((f = hear(NGHTTP2_RST_STREAM)))
            if (f->stream == 2 * 101 + 1)
                resets = f->payload[3];
        if (resets)
            break;
    }
    ck_assert_uint_eq(resets, NGHTTP2_INTERNAL_ERROR);
    rig_end();
}
END_TEST

/* --- Silence -------------------------------------------------------------------------------------------- */

static const struct h2_options impatient = {
    .max_streams = 10, .max_stream_window = 65536, .ping_interval_ms = 20, .ping_timeout_ms = 20};

START_TEST(silence_is_asked_about)
{
    rig_begin(&impatient);
    ask(&a, "GET", "/");
    rig_turn();
    struct frame *f = wait_for(NGHTTP2_PING);
    ck_assert_int_eq(f->flags, 0);
    say_frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, f->payload, 8);
    rig_until(rig.noted[WIRE_PING] == 1);
    /* Of one that has answered, silence is the end. */
    rig_until(rig.closeds == 1);
    ck_assert_int_eq(rig.reason, RETIRE_PING_TIMEOUT);
    ck_assert(a.failed);
    ck_assert_int_eq(a.failure.error, CALL_ERROR_PING);
    ck_assert_int_eq(a.failure.progress, CALL_MAYBE_PROCESSED);
    rig_end();
}
END_TEST

START_TEST(who_never_answered_is_only_avoided)
{
    rig_begin(&impatient);
    ask(&a, "GET", "/");
    rig_turn();
    rig_until(rig.drainings == 1);
    ck_assert_int_eq(rig.reason, RETIRE_PING_TIMEOUT);
    ck_assert(!a.failed);
    ck_assert_uint_eq(wire_room(&rig.wire), 0);
    say_head(1, NGHTTP2_FLAG_END_STREAM, ":status: 200\n");
    rig_until(a.ended);
    rig_until(rig.closeds == 1);
    rig_end();
}
END_TEST

static void wait_ms(uint64_t ms)
{
    for (uint64_t end = clock_ms() + ms; clock_ms() < end;)
        rig_wait();
}

static enum call_write post(struct asked *asked)
{
    static const struct call_content nothing = {.last = true};
    ck_assert(ask_with(asked, "POST", "/", "", (struct framing){.kind = BODY_NONE}));
    return call_send(&asked->call, &nothing);
}

/* A request that is sent once only is not sent into silence, */
START_TEST(a_post_waits_until_the_origin_is_heard)
{
    struct h2_options o = impatient;
    o.ping_interval_ms = 3000;
    o.ping_timeout_ms = 60000;
    o.answers_ping = true;
    rig_begin(&o);
    wait_ms(1000);
    ck_assert_int_eq(post(&a), CALL_BLOCKED);
    rig_turn();
    struct frame *f = wait_for(NGHTTP2_PING);
    ck_assert_uint_eq(rig.in_n, 0); /* and nothing else */
    say_frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, f->payload, 8);
    ck_assert_int_eq(wait_for(NGHTTP2_HEADERS)->stream, 1);
    say_head(1, NGHTTP2_FLAG_END_STREAM, ":status: 200\n");
    rig_until(a.ended);
    ck_assert_int_eq(post(&a), CALL_SENT); /* it was just heard */
    rig_turn();
    ck_assert_int_eq(wait_for(NGHTTP2_HEADERS)->stream, 3);
    say_head(3, NGHTTP2_FLAG_END_STREAM, ":status: 200\n");
    rig_until(a.ended);
    rig_end();
}
END_TEST

/* however many clients come and go meanwhile: servers punish who asks often, */
START_TEST(posts_that_are_given_up_ask_once)
{
    struct h2_options o = impatient;
    o.ping_interval_ms = 3000;
    o.ping_timeout_ms = 60000;
    o.answers_ping = true;
    unsigned pings = 0;
    rig_begin(&o);
    wait_ms(1000);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(post(&a), CALL_BLOCKED);
        rig_turn();
        call_reset(&a.call);
        while (hear(NGHTTP2_PING))
            pings++;
    }
    ck_assert_uint_eq(pings, 1);
    ck_assert_int_eq(post(&a), CALL_BLOCKED);
    say_frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678", 8);
    ck_assert_ptr_nonnull(wait_for(NGHTTP2_HEADERS));
    call_reset(&a.call);
    rig_end();
}
END_TEST

/* and goes elsewhere when nothing is heard. */
START_TEST(a_post_is_not_sent_to_nobody)
{
    struct h2_options o = impatient;
    o.answers_ping = true;
    rig_begin(&o);
    wait_ms(20);
    ck_assert_int_eq(post(&a), CALL_BLOCKED);
    rig_until(rig.closeds == 1);
    ck_assert(a.failed);
    ck_assert_int_eq(a.failure.progress, CALL_NOT_SENT);
    ck_assert_ptr_null(hear(NGHTTP2_HEADERS));
    rig_end();
}
END_TEST

/* Of an origin that may answer no PING, nothing is made to depend on that. */
START_TEST(whether_pings_are_answered_is_found_out)
{
    struct h2_options o = impatient;
    o.ping_interval_ms = 3000;
    o.ping_timeout_ms = 1;
    rig_begin(&o);
    wait_ms(1000);
    ck_assert_int_eq(post(&a), CALL_SENT);
    rig_turn();
    wait_for(NGHTTP2_PING);
    ck_assert_ptr_nonnull(wait_for(NGHTTP2_HEADERS));
    wait_ms(20);
    ck_assert_uint_eq(rig.drainings, 0);
    say_head(1, NGHTTP2_FLAG_END_STREAM, ":status: 200\n");
    rig_until(a.ended);
    rig_end();
}
END_TEST

START_TEST(a_post_waits_for_no_ping_that_may_never_be_answered)
{
    struct h2_options o = impatient;
    struct asked b = {0};
    o.ping_interval_ms = 10;
    o.ping_timeout_ms = 60000;
    rig_begin(&o);
    ask(&b, "GET", "/");
    rig_turn();
    wait_for(NGHTTP2_PING);
    wait_ms(20);
    ck_assert_int_eq(post(&a), CALL_SENT);
    rig_turn();
    ck_assert_int_eq(wait_for(NGHTTP2_HEADERS)->stream, 3);
    call_reset(&a.call);
    call_reset(&b.call);
    rig_end();
}
END_TEST

/* By a reload. */
START_TEST(a_post_waits_no_longer_when_pings_are_off)
{
    struct h2_options o = impatient;
    o.ping_timeout_ms = 60000;
    o.answers_ping = true;
    rig_begin(&o);
    wait_ms(o.ping_interval_ms);
    ck_assert_int_eq(post(&a), CALL_BLOCKED);
    rig_turn();
    a.ready = 0;
    o.ping_timeout_ms = 0;
    h2_options_changed(&rig.wire, &o);
    rig_turn();
    ck_assert(a.ready & CALL_WRITABLE);
    call_reset(&a.call);
    rig_end();
}
END_TEST

START_TEST(an_idle_wire_is_never_asked)
{
    rig_begin(&impatient);
    for (int i = 0; i < 100; i++)
        rig_wait();
    ck_assert_ptr_null(hear(NGHTTP2_PING));
    rig_end();
}
END_TEST

void add_h2_trouble(Suite *suite)
{
    TCase *floods = tcase_create("floods");
    tcase_add_loop_test(floods, a_flood_ends_the_connection, 0, FLOOD_COUNT);
    tcase_set_timeout(floods, 120);
    suite_add_tcase(suite, floods);
    unit_group(suite, "trouble", continuations_without_end_are_a_flood, a_push_is_an_error,
               what_breaks_the_connection_is_said, an_honest_server_is_no_flood,
               small_reads_of_an_upload_are_no_flood, fields_for_nobody_are_few, silence_is_asked_about,
               who_never_answered_is_only_avoided, a_post_waits_until_the_origin_is_heard,
               posts_that_are_given_up_ask_once, a_post_is_not_sent_to_nobody,
               whether_pings_are_answered_is_found_out, a_post_waits_for_no_ping_that_may_never_be_answered,
               a_post_waits_no_longer_when_pings_are_off, an_idle_wire_is_never_asked);
}
