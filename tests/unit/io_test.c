/* lib/io: the helpers, and the tests of streams; the rest is in the files that io_test.h names. */

#include "io_test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/timer.h"
#include "io/pipe.h"

#define PATIENCE_MS 20000 /* of a machine that is busy, beside what a test expects */

struct event_base *io_loop(void)
{
    struct event_base *base = event_base_new();

    ck_assert_ptr_nonnull(base);
    ck_assert_int_eq(event_base_priority_init(base, 2), 0);
    clock_update();
    return base;
}

unsigned long long io_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (unsigned long long)ts.tv_sec * 1000 + (unsigned long long)ts.tv_nsec / 1000000;
}

void io_run_for(struct event_base *base, int ms)
{
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};

    event_base_loopexit(base, &tv);
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
    /* Where the process stood still, the time is over before all was seen that had come. */
    for (int i = 0; i < 4 + TIMER_LATE_TURNS; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
    clock_update();
}

void io_run_until(struct event_base *base, const bool *done, int ms)
{
    unsigned long long end = io_now() + (unsigned long long)ms + PATIENCE_MS;

    while (!*done) {
        ck_assert_msg(io_now() < end, "nothing happened within %d ms", ms);
        io_run_for(base, 2);
    }
}

int io_listen(struct address *a, int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert(address_from_ip(a, SLICE("127.0.0.1"), 0));
    ck_assert_int_eq(bind(fd, &a->sa.any, a->length), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    ck_assert_int_eq(getsockname(fd, &a->sa.any, &a->length), 0);
    return fd;
}

struct address io_dead_address(void)
{
    struct address a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* Bound, so that nobody else gets it, and not listening. Left open to the end of the test. */
    ck_assert(address_from_ip(&a, SLICE("127.0.0.1"), 0));
    ck_assert_int_eq(bind(fd, &a.sa.any, a.length), 0);
    ck_assert_int_eq(getsockname(fd, &a.sa.any, &a.length), 0);
    return a;
}

int io_pair(struct conn *s)
{
    struct address a;
    int listening = io_listen(&a, 1);
    int near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), far;

    ck_assert_int_eq(connect(near, &a.sa.any, a.length), 0);
    far = accept(listening, NULL, NULL);
    ck_assert_int_ge(far, 0);
    close(listening);
    evutil_make_socket_nonblocking(near);
    conn_open(s, near);
    return far;
}

static char directory[64];
static pid_t owner;

static void remove_directory(void)
{
    char command[128];

    if (getpid() != owner)
        return;
    snprintf(command, sizeof command, "rm -rf %s", directory);
    if (system(command) != 0)
        perror(command);
}

const char *io_path(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *out = path[turn++ % 4];

    if (!directory[0]) {
        snprintf(directory, sizeof directory, "/tmp/carpool-io-test-XXXXXX");
        if (!mkdtemp(directory))
            abort();
        owner = getpid();
        atexit(remove_directory);
    }
    snprintf(out, sizeof path[0], "%s/%s", directory, name);
    return out;
}

/* ---- stream */

struct seen {
    unsigned ready;
    int calls;
    bool readable, fin;
};

static void on_ready(void *ctx, unsigned ready)
{
    struct seen *seen = ctx;

    seen->ready |= ready;
    seen->calls++;
    seen->readable |= (ready & CONN_READABLE) != 0;
    seen->fin |= (ready & CONN_PEER_FIN) != 0;
}

START_TEST(conn_carries_bytes)
{
    struct conn s;
    int far = io_pair(&s);
    struct iovec v[3] = {{(char[]){"one "}, 4}, {NULL, 0}, {(char[]){"two"}, 3}};
    char got[32];

    ck_assert_int_eq(conn_read(&s, got, sizeof got), CONN_AGAIN);
    ck_assert_int_eq(conn_write(&s, v, 3), 7);
    ck_assert_int_eq(conn_write(&s, v, 1), 4);
    ck_assert_int_eq(recv(far, got, 11, MSG_WAITALL), 11);
    ck_assert_int_eq(memcmp(got, "one twoone ", 11), 0);
    ck_assert_int_eq(write(far, "answer", 6), 6);
    close(far);
    usleep(1000);
    ck_assert_int_eq(conn_read(&s, got, 4), 4);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), 2);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), CONN_EOF);
    ck_assert_uint_eq(conn_buffered(&s), 0);
    conn_close(&s, false);
    conn_close(&s, false);
    ck_assert(!conn_is_open(&s));
}
END_TEST

START_TEST(conn_fills_up)
{
    static char much[1 << 16];
    struct conn s;
    int far = io_pair(&s);
    struct iovec v = {much, sizeof much};
    ssize_t n = 1;

    for (int i = 0; i < 10000 && n > 0; i++)
        n = conn_write(&s, &v, 1);
    ck_assert_int_eq(n, CONN_AGAIN);
    close(far);
    conn_close(&s, false);
}
END_TEST

/* Whichever way the end comes, and though the peer has sent what nobody reads. */
START_TEST(last_bytes_leave_with_the_end)
{
    enum { SHUT, CLOSE, CLOSE_UNREAD, WAYS };

    for (int way = 0; way < WAYS; way++) {
        struct conn s;
        int far = io_pair(&s);
        struct iovec v = {(char[]){"bye"}, 3};
        char got[8];

        if (way == CLOSE_UNREAD)
            ck_assert_int_eq(write(far, "more", 4), 4);
        s.last = true;
        ck_assert_int_eq(conn_write(&s, &v, 1), 3);
        ck_assert_int_eq(recv(far, got, sizeof got, MSG_DONTWAIT), -1);
        ck_assert_int_eq(errno, EAGAIN);
        if (way == SHUT)
            conn_shutdown_write(&s);
        else
            conn_close(&s, false);
        ck_assert_int_eq(recv(far, got, sizeof got, 0), 3);
        ck_assert_int_eq(memcmp(got, "bye", 3), 0);
        ck_assert_int_le(recv(far, got, sizeof got, 0), 0);
        conn_close(&s, false);
        close(far);
    }
}
END_TEST

START_TEST(conn_survives_a_write_to_nobody)
{
    struct conn s;
    int far = io_pair(&s);
    struct iovec v[2] = {{(char[]){"x"}, 1}, {(char[]){"y"}, 1}};

    signal(SIGPIPE, SIG_DFL);
    close(far);
    ck_assert_int_eq(conn_write(&s, v, 2), 2);
    usleep(1000);
    ck_assert_int_eq(conn_write(&s, v, 1), CONN_ERROR);
    ck_assert_int_eq(conn_write(&s, v, 2), CONN_ERROR);
    ck_assert_int_eq(s.error, EPIPE);
    conn_close(&s, false);
}
END_TEST

START_TEST(conn_reports_each_edge_once)
{
    struct event_base *base = io_loop();
    struct seen seen = {0};
    struct conn s;
    int far = io_pair(&s);
    char got[8];

    ck_assert(conn_watch(&s, base, 1, on_ready, &seen));
    io_run_for(base, 5);
    ck_assert_uint_eq(seen.ready, CONN_WRITABLE);
    ck_assert_int_eq(seen.calls, 1);
    ck_assert_int_eq(write(far, "x", 1), 1);
    io_run_until(base, &seen.readable, 1000);
    io_run_for(base, 5);
    ck_assert_int_eq(seen.calls, 2);
    ck_assert(!seen.fin);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), 1);
    shutdown(far, SHUT_WR);
    io_run_until(base, &seen.fin, 1000);
    io_run_for(base, 5);
    ck_assert_int_eq(seen.calls, 3);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), CONN_EOF);
    conn_close(&s, false);
    close(far);
    event_base_free(base);
}
END_TEST

START_TEST(conn_sees_a_reset)
{
    struct event_base *base = io_loop();
    struct seen seen = {0};
    struct conn s, other;
    int far = io_pair(&s);
    char got[8];

    ck_assert(conn_watch(&s, base, 0, on_ready, &seen));
    io_run_for(base, 5);
    conn_open(&other, far);
    conn_close(&other, true);
    io_run_until(base, &seen.readable, 1000);
    ck_assert(!conn_is_quiet(&s));
    conn_close(&s, false);

    /* The same without a look before. */
    seen = (struct seen){0};
    far = io_pair(&s);
    ck_assert(conn_watch(&s, base, 0, on_ready, &seen));
    io_run_for(base, 5);
    conn_open(&other, far);
    conn_close(&other, true);
    seen.readable = false;
    io_run_until(base, &seen.readable, 1000);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), CONN_ERROR);
    ck_assert_int_eq(s.error, ECONNRESET);
    conn_close(&s, false);
    event_base_free(base);
}
END_TEST

/* Sends, then ends: with a FIN first, or by a reset alone. A write has met that when this returns. */
static void end_under_a_write(struct conn *s, int far, bool fin, int error)
{
    struct iovec v = {(char[]){"x"}, 1};
    struct conn other;
    ssize_t n = 1;

    ck_assert_int_eq(write(far, "ab", 2), 2);
    if (fin)
        shutdown(far, SHUT_WR);
    conn_open(&other, far);
    conn_close(&other, true);
    for (int i = 0; i < PATIENCE_MS && n > 0; i++) {
        n = conn_write(s, &v, 1);
        usleep(1000);
    }
    ck_assert_int_eq(n, CONN_ERROR);
    ck_assert_int_eq(s->error, error);
}

/* The kernel tells of it once. What came before it can be read all the same. */
START_TEST(conn_knows_of_a_reset_that_a_write_met)
{
    struct conn s;
    struct pipe_pool pool = {0};
    char got[8];

    end_under_a_write(&s, io_pair(&s), false, ECONNRESET);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), 2);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), CONN_ERROR);
    ck_assert_int_eq(s.error, ECONNRESET);
    struct pipe *p = pipe_take(&pool);
    ck_assert_int_eq(conn_splice_in(&s, p, 8), CONN_ERROR);
    ck_assert_int_eq(s.error, ECONNRESET);
    pipe_give(p);
    pipe_pool_destroy(&pool);
    conn_close(&s, false);

    end_under_a_write(&s, io_pair(&s), true, EPIPE);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), 2);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), CONN_EOF);
    conn_close(&s, false);
}
END_TEST

static void send_and_await(int far, const char *text, struct conn *s)
{
    struct pollfd readable = {.fd = s->fd, .events = POLLIN};

    ck_assert_int_eq(write(far, text, strlen(text)), (int)strlen(text));
    ck_assert_int_eq(poll(&readable, 1, 5000), 1);
}

/* The loop has reported nothing of it yet. */
START_TEST(conn_is_not_drained_by_a_read_of_what_came_behind_a_short_one)
{
    struct event_base *base = io_loop();
    struct seen seen = {0};
    struct conn s;
    struct pipe_pool pipes = {0};
    struct pipe *pipe = pipe_take(&pipes);
    int far = io_pair(&s);
    char got[4];

    ck_assert_ptr_nonnull(pipe);
    ck_assert(conn_watch(&s, base, 1, on_ready, &seen));
    io_run_for(base, 5);
    send_and_await(far, "a", &s);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), 1);
    ck_assert(conn_is_drained(&s));
    send_and_await(far, "bcde and more", &s);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), 4);
    ck_assert(!conn_is_drained(&s));
    ck_assert_int_eq(conn_read(&s, (char[20]){0}, 20), 9);
    ck_assert(conn_is_drained(&s));
    send_and_await(far, "bcde and more", &s);
    ck_assert_int_eq(conn_splice_in(&s, pipe, 4), 4);
    ck_assert(!conn_is_drained(&s));
    pipe_give(pipe);
    pipe_pool_destroy(&pipes);
    conn_close(&s, false);
    close(far);
    event_base_free(base);
}
END_TEST

START_TEST(conn_looks_without_taking)
{
    struct conn s;
    int far = io_pair(&s);
    char got[8];

    ck_assert(conn_is_quiet(&s));
    ck_assert_int_eq(write(far, "x", 1), 1);
    usleep(1000);
    ck_assert(!conn_is_quiet(&s));
    ck_assert_int_eq(conn_read(&s, got, 1), 1);
    ck_assert(s.may_read); /* a read that took all it asked for says nothing of what is left */
    ck_assert(conn_is_quiet(&s));
    ck_assert(!s.may_read);
    shutdown(far, SHUT_WR);
    usleep(1000);
    ck_assert(!conn_is_quiet(&s));
    conn_shutdown_write(&s);
    ck_assert_int_eq(read(far, got, sizeof got), 0);
    conn_close(&s, false);
    close(far);
}
END_TEST

struct ordered {
    struct conn conn, *other;
    int number, new_priority, *order, *count;
};

static void note_order(void *ctx, unsigned ready)
{
    struct ordered *o = ctx;

    if (!(ready & CONN_READABLE))
        return;
    o->order[(*o->count)++] = o->number;
    /* Asked for while the other waits in its queue: it takes effect from its next event on. */
    if (o->other)
        conn_set_priority(o->other, o->new_priority);
}

START_TEST(conn_priority_changes_the_order)
{
    struct event_base *base = io_loop();
    int order[8], count = 0, far[2];
    struct ordered a = {.number = 1, .order = order, .count = &count},
                   b = {.number = 2, .order = order, .count = &count};

    far[0] = io_pair(&a.conn);
    far[1] = io_pair(&b.conn);
    ck_assert(conn_watch(&a.conn, base, 1, note_order, &a));
    ck_assert(conn_watch(&b.conn, base, 1, note_order, &b));
    io_run_for(base, 5);
    conn_set_priority(&b.conn, 0);
    a.other = &b.conn;
    a.new_priority = 1;
    for (int round = 0; round < 2; round++) {
        /* Both of a round are reported by one look. */
        ck_assert_int_eq(write(far[0], "x", 1), 1);
        ck_assert_int_eq(write(far[1], "x", 1), 1);
        usleep(1000);
        io_run_for(base, 5);
    }
    ck_assert_int_eq(count, 4);
    ck_assert_int_eq(order[0], 2);
    ck_assert_int_eq(order[1], 1);
    ck_assert_int_eq(order[2], 1);
    ck_assert_int_eq(order[3], 2);
    conn_close(&a.conn, false);
    conn_close(&b.conn, false);
    close(far[0]);
    close(far[1]);
    event_base_free(base);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io");

    /* In the parent, so that all tests share one directory and one set of certificates. */
    io_path("");
    unit_group(suite, "stream", conn_carries_bytes, conn_fills_up, last_bytes_leave_with_the_end,
               conn_survives_a_write_to_nobody, conn_reports_each_edge_once, conn_sees_a_reset,
               conn_knows_of_a_reset_that_a_write_met, conn_looks_without_taking,
               conn_is_not_drained_by_a_read_of_what_came_behind_a_short_one,
               conn_priority_changes_the_order);
    io_binding_tests(suite);
    io_listener_tests(suite);
    io_resolv_conf_tests(suite);
    io_resolver_tests(suite);
    io_families_tests(suite);
    io_connector_tests(suite);
    io_parent_tests(suite);
    io_owner_tests(suite);
    io_race_tests(suite);
    io_tls_tests(suite);
    io_tls_data_tests(suite);
    io_tls_connects_tests(suite);
    io_tls_session_tests(suite);
    io_tls_packet_tests(suite);
    io_tls_accept_tests(suite);
    return unit_run(suite);
}
