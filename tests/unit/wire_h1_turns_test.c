/* Calls that stop early: each goes on in its turn, and what others wait for comes between two of them. */

#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/head.h"
#include "wire/h1.h"
#include "wire_test.h"

#define CALLS 8

static struct wire_loop loop;
static struct wire wires[CALLS];
static struct call calls[CALLS];
static int far_ends[CALLS], bell[2];
static char order[256];
static size_t noted;
static unsigned goes_left;
static struct event *bell_event;

static void note(char what)
{
    ck_assert_uint_lt(noted, sizeof order - 1);
    order[noted++] = what;
    order[noted] = '\0';
}

/* Notes who it is, and stops early once more. */
static void on_ready(struct call *c, unsigned ready)
{
    (void)ready;
    if (goes_left == 0)
        return;
    goes_left--;
    note((char)('a' + (c - calls)));
    call_yield(c);
}

static void on_bell(evutil_socket_t fd, short what, void *ctx)
{
    char byte;
    (void)what;
    (void)ctx;
    ck_assert_int_eq(read(fd, &byte, 1), 1);
    note('!');
}

static void set_up(void)
{
    const struct call_request r = {.head = SLICE("GET / HTTP/1.1\r\n"), .framing = {.kind = BODY_NONE}};
    static const struct wire_owner owner;

    signal(SIGPIPE, SIG_IGN);
    clock_update();
    noted = goes_left = 0;
    loop = (struct wire_loop){
        .heads.size = BUFFER_HEAD_SIZE, .bodies.size = BUFFER_SIZE, .limits = {16384, 100}};
    wire_loop_init(&loop, event_base_new());
    for (int i = 0; i < CALLS; i++) {
        int ends[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        memset(&wires[i], 0, sizeof wires[i]);
        memset(&calls[i], 0, sizeof calls[i]);
        conn_open(&wires[i].conn, ends[0]);
        far_ends[i] = ends[1];
        calls[i].ready = on_ready;
        h1_begin(&wires[i], &loop, &owner);
        ck_assert(wire_open(&wires[i], &calls[i], &r));
        ck_assert(conn_watch(&wires[i].conn, loop.base, 0, wires[i].conn.on_ready, wires[i].conn.ctx));
    }
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bell), 0);
    bell_event = event_new(loop.base, bell[0], EV_READ | EV_PERSIST, on_bell, NULL);
    event_add(bell_event, NULL);
    event_base_loop(loop.base, EVLOOP_NONBLOCK); /* the first report of each, which is that it is writable */
}

static void tear_down(void)
{
    event_free(bell_event);
    for (int i = 0; i < CALLS; i++) {
        if (calls[i].wire)
            call_reset(&calls[i]);
        wire_close(&wires[i], false);
        close(far_ends[i]);
    }
    close(bell[0]);
    close(bell[1]);
    wire_loop_destroy(&loop);
    event_base_free(loop.base);
}

static void turn(void)
{
    event_base_loop(loop.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

START_TEST(each_goes_on_in_its_turn)
{
    set_up();
    goes_left = 3 * CALLS;
    for (int i = 0; i < CALLS; i++)
        call_yield(&calls[i]);
    call_yield(&calls[3]); /* once is enough */
    for (int i = 0; i < 4 * CALLS; i++)
        turn();
    ck_assert_str_eq(order, "abcdefghabcdefghabcdefgh");
    tear_down();
}
END_TEST

/* However many of them there are. */
START_TEST(who_waits_comes_after_one_of_them)
{
    set_up();
    goes_left = 200;
    for (int i = 0; i < CALLS; i++)
        call_yield(&calls[i]);
    for (int rings = 0; rings < 10; rings++) {
        ck_assert_int_eq(write(bell[1], "!", 1), 1);
        size_t before = noted;
        for (int turns = 0; turns < 3 && !strchr(order + before, '!'); turns++)
            turn();
        ck_assert_ptr_nonnull(strchr(order + before, '!'));
        ck_assert_uint_le((size_t)(strchr(order + before, '!') - (order + before)), 2);
    }
    ck_assert_uint_gt(goes_left, 0);
    tear_down();
}
END_TEST

START_TEST(who_is_gone_has_no_turn)
{
    set_up();
    goes_left = 2 * CALLS;
    for (int i = 0; i < CALLS; i++)
        call_yield(&calls[i]);
    for (int i = 0; i < CALLS; i += 2)
        call_reset(&calls[i]);
    for (int i = 0; i < 2 * CALLS; i++)
        turn();
    ck_assert_str_eq(order, "bdfhbdfhbdfhbdfh");
    for (int i = 1; i < CALLS; i += 2)
        call_reset(&calls[i]);
    turn();
    tear_down();
}
END_TEST

void add_h1_turns(Suite *suite)
{
    unit_group(suite, "turns", each_goes_on_in_its_turn, who_waits_comes_after_one_of_them,
               who_is_gone_has_no_turn);
}
