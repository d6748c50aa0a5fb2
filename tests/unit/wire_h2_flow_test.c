/* Windows, the way out, and RST_STREAM that are not too many. */

#include "wire_test.h"

#include <sys/socket.h>

#define END NGHTTP2_FLAG_END_STREAM

static struct asked a, many[200];
static char block[16384];

/* As much as its window lets the origin send; what is acknowledged goes on. Returns what was sent. */
static size_t send_until(int32_t id, size_t window, size_t most)
{
    size_t sent = 0;
    while (sent < most && window >= sizeof block) {
        say_frame(NGHTTP2_DATA, 0, id, block, sizeof block);
        sent += sizeof block;
        window -= sizeof block;
        rig_turn();
        for (struct frame *f; (f = hear(NGHTTP2_WINDOW_UPDATE));)
            if (f->stream == id)
                window += (size_t)f->payload[0] << 24 | (size_t)f->payload[1] << 16 |
                          (size_t)f->payload[2] << 8 | f->payload[3];
    }
    return sent;
}

START_TEST(a_stuck_client_holds_its_own_window)
{
    rig_begin(NULL);
    ask(&a, "GET", "/stuck");
    ask(&many[0], "GET", "/quick");
    a.stuck = true;
    rig_turn();
    say_head(1, 0, ":status: 200\n");
    say_head(3, 0, ":status: 200\n");
    ck_assert_uint_eq(send_until(1, 65536, 1 << 22), 65536);
    ck_assert_uint_eq(send_until(3, 65536, 1 << 22), 1 << 22);
    ck_assert_uint_eq(a.got, 65536);
    ck_assert_uint_eq(many[0].got, 1 << 22);
    a.stuck = false;
    take(&a);
    rig_turn();
    rig_turn();
    ck_assert_ptr_nonnull(wait_for(NGHTTP2_WINDOW_UPDATE));
    call_reset(&a.call);
    call_reset(&many[0].call);
    rig_end();
}
END_TEST

START_TEST(a_window_grows_where_the_client_keeps_up)
{
    rig_begin(&(struct h2_options){.max_streams = 10, .max_stream_window = 1 << 20});
    ask(&a, "GET", "/");
    rig_turn();
    say_head(1, 0, ":status: 200\n");
    ck_assert_uint_eq(send_until(1, 65536, 1 << 24), 1 << 24);
    ck_assert_uint_eq(rig.loop.h2_grown, (1 << 20) - 65536);
    call_reset(&a.call);
    ck_assert_uint_eq(rig.loop.h2_grown, 0);
    rig_end();
}
END_TEST

START_TEST(windows_of_a_loop_grow_together_up_to_a_limit)
{
    rig_begin(NULL);
    rig.loop.h2_grown = 32 << 20;
    ask(&a, "GET", "/");
    rig_turn();
    say_head(1, 0, ":status: 200\n");
    send_until(1, 65536, 1 << 22);
    ck_assert_uint_eq(rig.loop.h2_grown, 32 << 20);
    call_reset(&a.call);
    rig.loop.h2_grown = 0;
    rig_end();
}
END_TEST

START_TEST(an_upload_waits_for_the_origins_window)
{
    static char content[100000];
    rig_greet(NULL);
    say_setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    rig_turn();
    ask_with(&a, "POST", "/", "", (struct framing){.kind = BODY_LENGTH, .length = sizeof content});
    ck_assert_int_eq(put_content(&a, content, sizeof content, true, NULL), CALL_BLOCKED);
    rig_turn();
    ck_assert_ptr_nonnull(hear(NGHTTP2_HEADERS));
    ck_assert_ptr_null(hear(NGHTTP2_DATA));
    /* By SETTINGS alone */
    say_setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20);
    say_number(NGHTTP2_WINDOW_UPDATE, 0, 1 << 20);
    size_t got = 0;
    while (got < sizeof content)
        got += wait_for(NGHTTP2_DATA)->n;
    ck_assert(a.ready & CALL_WRITABLE);
    ck_assert_uint_ge(a.call.sent, sizeof content);
    call_reset(&a.call);
    rig_end();
}
END_TEST

START_TEST(a_turn_is_one_write)
{
    rig_begin(NULL);
    rig_turn();
    while (hear(255))
        ;
    for (int i = 0; i < 20; i++)
        ask(&many[i], "GET", "/");
    ck_assert_int_eq(recv(rig.fd, block, sizeof block, MSG_PEEK), -1); /* nothing yet */
    h2_end_turn(&rig.loop);
    for (int i = 0; i < 20; i++)
        ck_assert_ptr_nonnull(hear(NGHTTP2_HEADERS));
    for (int i = 0; i < 20; i++)
        call_reset(&many[i].call);
    rig_end();
}
END_TEST

START_TEST(resets_are_no_attack)
{
    unsigned resets = 0;
    rig_begin(&(struct h2_options){.max_streams = 200, .max_stream_window = 65536});
    for (int i = 0; i < 115; i++) {
        ask(&many[i], "GET", "/");
        rig_turn();
    }
    for (int i = 0; i < 115; i++)
        call_reset(&many[i].call);
    rig_turn();
    while (hear(NGHTTP2_RST_STREAM))
        resets++;
    ck_assert_uint_ge(resets, 100);
    ck_assert_uint_le(resets, 110);
    /* The others keep their places until they end, or may be reset. */
    ck_assert_uint_lt(wire_room(&rig.wire), 200 - 100);
    say_head(2 * 114 + 1, END, ":status: 200\n");
    rig_until(resets == 114 || (hear(NGHTTP2_RST_STREAM) && ++resets == 114));
    say_frame(NGHTTP2_PING, 0, 0, "12345678", 8);
    rig_until(wire_room(&rig.wire) == 200);
    rig_end();
}
END_TEST

START_TEST(resets_that_wait_go_out_beside_traffic)
{
    unsigned resets = 0;
    rig_begin(&(struct h2_options){.max_streams = 200, .max_stream_window = 65536});
    for (int i = 0; i < 110; i++)
        ask(&many[i], "GET", "/");
    rig_turn();
    for (int i = 0; i < 110; i++)
        call_reset(&many[i].call);
    for (int turns = 0; resets < 110; turns++) {
        ck_assert_int_lt(turns, 100000);
        if (turns % 20 == 0) /* each one is the end of a turn for this wire, and is no flood */
            say_frame(NGHTTP2_PING, 0, 0, "12345678", 8);
        usleep(500);
        rig_turn();
        while (hear(NGHTTP2_RST_STREAM))
            resets++;
    }
    ck_assert_uint_eq(rig.drainings, 0);
    rig_end();
}
END_TEST

START_TEST(what_was_never_sent_is_never_reset)
{
    rig_begin(NULL);
    ask(&a, "GET", "/");
    call_reset(&a.call);
    rig_turn();
    ck_assert_ptr_null(hear(NGHTTP2_HEADERS));
    ck_assert_uint_eq(wire_room(&rig.wire), 100);
    rig_end();
}
END_TEST

void add_h2_flow(Suite *suite)
{
    unit_group(suite, "flow", a_stuck_client_holds_its_own_window, a_window_grows_where_the_client_keeps_up,
               windows_of_a_loop_grow_together_up_to_a_limit, an_upload_waits_for_the_origins_window,
               a_turn_is_one_write, resets_are_no_attack, resets_that_wait_go_out_beside_traffic,
               what_was_never_sent_is_never_reset);
}
