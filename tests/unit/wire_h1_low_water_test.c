/* Of large content the loop is told in large pieces, but nothing waits for more that does not come. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/pipe.h"
#include "wire_h1_rig.h"

#define WHOLE  (2 * 1024 * 1024)
#define RAISED (256 * 1024)
#define PIECE  (64 * 1024)

static const struct wire_owner owner;
static struct wire wire;
static struct call call;
static struct pipe_pool pipes;
static size_t unsaid; /* of the content */
static int far_end;
static unsigned reports;

static void on_ready(struct call *c, unsigned ready)
{
    (void)c;
    reports += (ready & CALL_READABLE) != 0;
}

/* Only TCP's sockets know the mark. */
static void open_tcp_pair(struct conn *c, int *other)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int near_end = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, n), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &n), 0);
    ck_assert_int_eq(connect(near_end, (struct sockaddr *)&address, n), 0);
    *other = accept(listener, NULL, NULL);
    close(listener);
    evutil_make_socket_nonblocking(near_end);
    conn_open(c, near_end);
}

static void open_call(void)
{
    const struct call_request r = {.head = SLICE("GET / HTTP/1.1\r\n"), .framing = {.kind = BODY_NONE}};
    const struct call_content nothing = {.last = true};
    ck_assert(wire_open(&wire, &call, &r));
    ck_assert_int_eq(call_send(&call, &nothing), CALL_SENT);
}

static void set_up(void)
{
    h1_set_up();
    open_tcp_pair(&wire.conn, &far_end);
    call.ready = on_ready;
    h1_begin(&wire, &h1_loop, &owner);
    open_call();
    ck_assert(conn_watch(&wire.conn, h1_loop.base, 0, wire.conn.on_ready, wire.conn.ctx));
}

static void tear_down(void)
{
    if (call.wire)
        call_reset(&call);
    wire_close(&wire, false);
    close(far_end);
    pipe_pool_destroy(&pipes);
    h1_tear_down();
}

/* ---- the origin */

static void send_content(size_t n)
{
    static char content[WHOLE];
    ck_assert_uint_le(n, unsaid);
    unsaid -= n;
    while (n > 0) {
        ssize_t put = send(far_end, content, n, MSG_NOSIGNAL);
        ck_assert_int_gt(put, 0);
        n -= (size_t)put;
    }
}

static void send_head(void)
{
    char head[128];
    int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", WHOLE);
    ck_assert_int_eq(send(far_end, head, (size_t)n, MSG_NOSIGNAL), n);
    unsaid = WHOLE;
}

/* ---- Carpool's side */

static int mark(void)
{
    int value;
    socklen_t n = sizeof value;
    ck_assert_int_eq(getsockopt(wire.conn.fd, SOL_SOCKET, SO_RCVLOWAT, &value, &n), 0);
    return value;
}

static void await_report(void)
{
    unsigned before = reports;
    while (reports == before) {
        clock_update();
        event_base_loop(h1_loop.base, EVLOOP_ONCE);
    }
}

static void take_head(void)
{
    static struct head head;
    struct slice run;
    enum call_part part;
    while ((part = call_next(&call, &head, &run)) == CALL_MORE)
        await_report();
    ck_assert_int_eq(part, CALL_HEAD);
}

/* What a read that takes at most so much finds. */
static ssize_t pass_by(size_t most)
{
    static char waste[PIECE];
    struct pipe *p = pipe_take(&pipes);
    ck_assert_ptr_nonnull(p);
    ssize_t n = call_splice_in(&call, p, most);
    if (n > 0)
        ck_assert_int_eq(read(p->out, waste, p->held), n);
    p->held = 0;
    pipe_give(p);
    return n;
}

/* The kernel may take its time to bring it. */
static void await_bytes(int n)
{
    int have = 0;
    while (have < n) {
        ck_assert_int_eq(ioctl(wire.conn.fd, FIONREAD, &have), 0);
        sched_yield();
    }
}

static void send_and_pass_by(size_t n)
{
    send_content(n);
    await_bytes((int)n);
    for (ssize_t got; n > 0; n -= (size_t)got) {
        got = pass_by(n);
        ck_assert_int_gt(got, 0);
    }
}

/* The origin pauses after so much at once. */
static void burst(size_t n)
{
    for (; n > PIECE; n -= PIECE)
        send_and_pass_by(PIECE);
    send_and_pass_by(n);
    ck_assert_int_eq(pass_by(1), CONN_AGAIN);
}

START_TEST(a_fast_origin_raises_it)
{
    set_up();
    send_head();
    take_head();
    ck_assert_int_eq(mark(), 1);
    burst(100 * 1024);
    ck_assert_int_eq(mark(), RAISED);
    tear_down();
}
END_TEST

START_TEST(what_is_less_is_told)
{
    set_up();
    send_head();
    take_head();
    burst(100 * 1024);
    send_content(1000);
    await_report();
    ck_assert_int_eq(pass_by(1000), 1000);
    /* It is no fast one now. */
    ck_assert_int_eq(pass_by(1), CONN_AGAIN);
    ck_assert_int_eq(mark(), 1);
    tear_down();
}
END_TEST

START_TEST(the_rest_is_enough)
{
    set_up();
    send_head();
    take_head();
    burst(WHOLE - 50 * 1024);
    ck_assert_int_eq(mark(), 50 * 1024);
    tear_down();
}
END_TEST

START_TEST(an_end_is_told_at_once)
{
    set_up();
    send_head();
    take_head();
    burst(100 * 1024);
    shutdown(far_end, SHUT_WR);
    await_report();
    ck_assert_int_eq(pass_by(1000), CONN_EOF);
    tear_down();
}
END_TEST

START_TEST(the_next_response_is_small)
{
    static struct head head;
    struct slice run;
    struct call_end end;
    set_up();
    send_head();
    take_head();
    burst(WHOLE - 50 * 1024);
    send_and_pass_by(50 * 1024);
    ck_assert_int_eq(call_next(&call, &head, &run), CALL_END);
    call_finish(&call, &end);
    ck_assert_int_eq(mark(), 1);
    tear_down();
}
END_TEST

/* As the loop says nothing of it, while a slow client takes the end of the response. */
START_TEST(what_is_behind_the_rest_is_seen)
{
    static struct head head;
    struct slice run;
    struct call_end end;
    set_up();
    send_head();
    take_head();
    burst(WHOLE - 20 * 1024);
    ck_assert_int_eq(mark(), 20 * 1024);
    send_content(20 * 1024);
    await_bytes(20 * 1024);
    ck_assert_int_eq(call_next(&call, &head, &run), CALL_CONTENT);
    ck_assert_uint_eq(run.n, 20 * 1024);
    ck_assert_int_eq(send(far_end, "HTTP", 4, MSG_NOSIGNAL), 4);
    await_bytes(4);
    call_consumed(&call, run.n);
    ck_assert_int_eq(call_next(&call, &head, &run), CALL_END);
    call_finish(&call, &end);
    ck_assert(!end.drained);
    tear_down();
}
END_TEST

START_TEST(what_was_left_is_read_as_it_comes)
{
    set_up();
    send_head();
    take_head();
    burst(WHOLE - 50 * 1024);
    ck_assert(call_leave(&call, WHOLE));
    ck_assert_int_eq(mark(), 1);
    tear_down();
}
END_TEST

#define CROWD 64 /* more timers than the loop has room for */

static bool memory_is_short;

static void *grow(void *p, size_t n)
{
    return memory_is_short ? NULL : realloc(p, n);
}

static void on_other(void *ctx)
{
    (void)ctx;
}

/* Room for a timer is left to none. */
static unsigned crowd(struct timer timers[CROWD])
{
    unsigned n = 0;
    memory_is_short = true;
    do {
        ck_assert_uint_lt(n, CROWD);
        timer_init(&timers[n], h1_loop.base, on_other, NULL);
        timer_set(&timers[n], 3600000);
    } while (timer_will_fire(&timers[n++]));
    return n;
}

static void raise_mark(struct low_water *w)
{
    low_water_moved(w, RAISED);
    low_water_await(&h1_loop.low_waters, w, &wire.conn, WHOLE);
    ck_assert_ptr_nonnull(w->among);
}

START_TEST(without_memory_for_its_timer_it_is_low)
{
    struct low_water first = {0}, second = {0};
    struct low_waters *l = &h1_loop.low_waters;
    struct timer others[CROWD];
    event_set_mem_functions(malloc, grow, free);
    set_up();
    raise_mark(&first);
    raise_mark(&second);
    /* The first one's time has come, and its event leaves room, which others take. */
    first.due = clock_ms();
    second.due = clock_ms() + 1000;
    timer_release(&l->timer);
    unsigned count = crowd(others);
    l->timer.fire(l);
    ck_assert_ptr_null(first.among);
    ck_assert_ptr_null(second.among);
    memory_is_short = false;
    raise_mark(&second);
    ck_assert(timer_will_fire(&l->timer));
    low_water_end(&second);
    while (count > 0)
        timer_release(&others[--count]);
    tear_down();
}
END_TEST

void add_h1_low_water(Suite *suite)
{
    unit_group(suite, "low_water", a_fast_origin_raises_it, what_is_less_is_told, the_rest_is_enough,
               an_end_is_told_at_once, the_next_response_is_small, what_is_behind_the_rest_is_seen,
               what_was_left_is_read_as_it_comes, without_memory_for_its_timer_it_is_low);
}
