/* Connections to the admin API over socket pairs, turn by turn, with a clock that can be moved: how many
 * there may be, for how long, and what they may hold. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "admin/connections.h"
#include "admin_test.h"
#include "base/clock.h"
#include "base/timer.h"
#include "pool/pool.h"
#include "unit.h"

#define LARGE (8 * 1024 * 1024)

/* In a rig time stands still but for what a test adds, however busy the machine is. The loop's own timers
 * keep to real time: the sweep is looked at every 250 ms. */
static time_t now_s;

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    if (now_s == 0)
        return __real_clock_gettime(id, ts);
    *ts = (struct timespec){.tv_sec = now_s};
    return 0;
}

struct rig {
    struct event_base *base;
    struct connections *connections;
    struct address peer;
    unsigned answered;
    uint64_t waiting;
};

static const int one_listener, other_listener;

static void answer(void *ctx, const struct request *r, const struct address *peer, struct admin_answer *out)
{
    struct rig *rig = ctx;

    (void)peer;
    rig->answered++;
    out->status = 200;
    out->type = "text/plain";
    if (slice_eq(r->path, SLICE("/large")) && text_reserve(&out->body, LARGE)) {
        memset(out->body.p, 'x', LARGE);
        out->body.n = LARGE;
    } else if (slice_eq(r->path, SLICE("/short"))) {
        text_lit(&out->body, "half an answ");
        out->body.failed = true;
    } else if (slice_eq(r->path, SLICE("/end"))) {
        connections_end(rig->connections, &one_listener);
    } else if (slice_eq(r->path, SLICE("/stranger"))) {
        out->last = true;
    } else if (slice_eq(r->path, SLICE("/wait"))) {
        out->waits_for = ++rig->waiting;
        return;
    }
    text_put(&out->body, r->path);
}

static void rig_open(struct rig *r)
{
    *r = (struct rig){.base = event_base_new()};
    http_init();
    now_s = 1000000;
    clock_update();
    ck_assert_int_eq(event_base_priority_init(r->base, PRIORITY_COUNT), 0);
    ck_assert(address_from_ip(&r->peer, SLICE("127.0.0.1"), 1));
    r->connections = connections_new(r->base, answer, r);
    ck_assert_ptr_nonnull(r->connections);
}

static void rig_close(struct rig *r)
{
    connections_free(r->connections);
    event_base_free(r->base);
    now_s = 0; /* check measures how long the test took */
}

/* All that is to be done now. */
static void turn(struct rig *r)
{
    for (int i = 0; i < 8 + TIMER_LATE_TURNS; i++)
        event_base_loop(r->base, EVLOOP_NONBLOCK);
}

static void on_passed(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    *(bool *)ctx = true;
}

/* Later, when the sweep has come by. */
static void turn_later(struct rig *r, time_t seconds)
{
    const struct timeval sweeps = {.tv_usec = 400 * 1000};
    bool passed = false;

    now_s += seconds;
    clock_update();
    ck_assert_int_eq(event_base_once(r->base, -1, EV_TIMEOUT, on_passed, &passed, &sweeps), 0);
    while (!passed)
        event_base_loop(r->base, EVLOOP_ONCE);
    turn(r);
}

static int connect_by(struct rig *r, const void *listener)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    connections_take(r->connections, listener, pair[1], &r->peer);
    turn(r);
    return pair[0];
}

static int connect_one(struct rig *r)
{
    return connect_by(r, &one_listener);
}

static void say(struct rig *r, int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    turn(r);
}

static void ask(struct rig *r, int fd, const char *path)
{
    char text[128];

    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    say(r, fd, text);
}

/* What has come, up to the room; *ended: and the end behind it. */
static const char *heard(int fd, bool *ended)
{
    static char text[16 * 1024];
    size_t n = 0;
    ssize_t got = 1;

    while (n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    *ended = got == 0 || (got < 0 && errno != EAGAIN);
    return text;
}

#define assert_answer(fd, status, end)                                               \
    do {                                                                             \
        bool ended_;                                                                 \
        const char *text_ = heard(fd, &ended_);                                      \
        ck_assert_msg(strncmp(text_, "HTTP/1.1 " status " ", 13) == 0, "%s", text_); \
        ck_assert_msg(ended_ == (end), "%s", text_);                                 \
        ck_assert((strstr(text_, "\r\nConnection: close\r\n") != NULL) == (end));    \
    } while (0)

static bool is_ended(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK);

    return n == 0 || (n < 0 && errno != EAGAIN);
}

START_TEST(connection_answers_one_request_after_the_other)
{
    struct rig r;
    bool ended;

    rig_open(&r);
    int fd = connect_one(&r);
    ask(&r, fd, "/a");
    assert_answer(fd, "200", false);
    say(&r, fd, "GET /b HTTP/1.1\r\nHost: x\r\n\r\nHEAD /c HTTP/1.1\r\nHost: x\r\n\r\n");
    const char *text = heard(fd, &ended);
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\n/bHTTP/1.1 200 OK\r\n"));
    ck_assert_str_eq(text + strlen(text) - 4, "\r\n\r\n");
    ck_assert(!ended);
    say(&r, fd, "GET /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /e HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_answer(fd, "200", true);
    ck_assert_uint_eq(r.answered, 4);
    close(fd);
    rig_close(&r);
}
END_TEST

START_TEST(connection_reads_and_forgets_content)
{
    struct rig r;
    bool ended;

    rig_open(&r);
    int fd = connect_one(&r);
    say(&r, fd, "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    ck_assert_str_eq(heard(fd, &ended), "HTTP/1.1 100 Continue\r\n\r\n");
    say(&r, fd, "a=bGET /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const char *text = heard(fd, &ended);
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\n/aHTTP/1.1 200 OK\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\r\nConnection: keep-alive\r\n"));
    ck_assert(!ended && r.answered == 2);
    close(fd);
    rig_close(&r);
}
END_TEST

START_TEST(connection_ends_behind_a_refusal)
{
    struct rig r;

    rig_open(&r);
    int fd = connect_one(&r);
    say(&r, fd, "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_answer(fd, "400", true);
    ck_assert_uint_eq(r.answered, 0);
    close(fd);
    fd = connect_one(&r);
    ask(&r, fd, "/stranger");
    assert_answer(fd, "200", true);
    close(fd);
    rig_close(&r);
}
END_TEST

START_TEST(connection_without_memory_for_its_answer_says_503)
{
    struct rig r;

    rig_open(&r);
    int fd = connect_one(&r);
    ask(&r, fd, "/short");
    assert_answer(fd, "503", true);
    close(fd);
    rig_close(&r);
}
END_TEST

/* What else the loop has to do is never held up by more than one of them. */
START_TEST(connections_are_answered_one_a_turn)
{
    enum { COUNT = 8 };
    struct rig r;
    int fds[COUNT];

    rig_open(&r);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = connect_one(&r);
        ck_assert_int_gt(send(fds[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, 0), 0);
    }
    for (unsigned turns = 0; r.answered < COUNT; turns++) {
        unsigned before = r.answered;

        ck_assert_uint_lt(turns, 4 * COUNT);
        event_base_loop(r.base, EVLOOP_NONBLOCK);
        ck_assert_uint_le(r.answered - before, 1);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_answer(fds[i], "200", false);
        close(fds[i]);
    }
    rig_close(&r);
}
END_TEST

/* Lets it be seen that a whole large answer comes, in as many turns as it takes. */
START_TEST(connection_sends_as_the_client_takes)
{
    static char taken[65536];
    struct rig r;
    size_t all = 0;

    rig_open(&r);
    int fd = connect_one(&r);
    ask(&r, fd, "/large");
    while (all < LARGE) {
        ssize_t n = recv(fd, taken, sizeof taken, 0);
        ck_assert_int_gt(n, 0);
        all += (size_t)n;
        turn(&r);
    }
    bool ended;
    heard(fd, &ended);
    ask(&r, fd, "/next");
    assert_answer(fd, "200", false);
    close(fd);
    rig_close(&r);
}
END_TEST

START_TEST(connection_has_ten_seconds_for_a_request)
{
    struct rig r;

    rig_open(&r);
    int silent = connect_one(&r), slow = connect_one(&r), kept = connect_one(&r);
    turn_later(&r, 9);
    ask(&r, kept, "/a");
    assert_answer(kept, "200", false);
    say(&r, slow, "GET / HTTP/1.1\r\nHost: x\r\n");
    ck_assert(!is_ended(silent) && !is_ended(slow));
    turn_later(&r, 1);
    ck_assert(is_ended(silent) && is_ended(slow) && !is_ended(kept));
    turn_later(&r, 9);
    ck_assert(is_ended(kept));
    close(silent);
    close(slow);
    close(kept);
    rig_close(&r);
}
END_TEST

static void say_and_sleep(evutil_socket_t fd, short what, void *ctx)
{
    int *client = ctx;

    (void)fd, (void)what;
    ck_assert_int_gt(send(*client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, 0), 0);
    now_s += 60;
}

/* Both timers are due before the loop looks at the socket: what came is read before anybody is judged. */
START_TEST(connection_is_not_judged_by_a_pause_of_the_process)
{
    const struct timeval soon = {.tv_usec = 1000};
    struct rig r;

    rig_open(&r);
    int fd = connect_one(&r);
    ck_assert_int_eq(event_base_once(r.base, -1, EV_TIMEOUT, say_and_sleep, &fd, &soon), 0);
    usleep(300 * 1000);
    turn(&r);
    assert_answer(fd, "200", false);
    close(fd);
    rig_close(&r);
}
END_TEST

START_TEST(connection_that_takes_nothing_is_cut)
{
    char some[1024];
    struct rig r;

    rig_open(&r);
    int none = connect_one(&r), slow = connect_one(&r);
    ask(&r, none, "/large");
    ask(&r, slow, "/large");
    for (int i = 0; i < 3; i++) {
        turn_later(&r, 8);
        while (recv(slow, some, sizeof some, 0) > 0) {
        }
        turn(&r);
        ck_assert(!is_ended(slow));
    }
    while (recv(none, some, sizeof some, 0) > 0) {
    }
    ck_assert(is_ended(none));
    /* A second for each 17 KiB or so, and half a minute: this is no reading. */
    turn_later(&r, 3600);
    while (recv(slow, some, sizeof some, 0) > 0) {
    }
    ck_assert(is_ended(slow));
    close(none);
    close(slow);
    rig_close(&r);
}
END_TEST

START_TEST(connections_are_sixty_four_at_most)
{
    struct rig r;
    int fds[CONNECTIONS_MAX];

    rig_open(&r);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        fds[i] = connect_one(&r);
    int refused = connect_one(&r);
    assert_answer(refused, "503", true);
    /* Those that say nothing for a second give way, longest first; who asked a moment ago stays. */
    turn_later(&r, 2);
    ask(&r, fds[0], "/a");
    assert_answer(fds[0], "200", false);
    int taken = connect_one(&r);
    ask(&r, taken, "/b");
    assert_answer(taken, "200", false);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        ck_assert_int_eq(is_ended(fds[i]), i == 1);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        close(fds[i]);
    close(refused);
    close(taken);
    rig_close(&r);
}
END_TEST

START_TEST(connections_that_are_being_answered_stay)
{
    struct rig r;
    int fds[CONNECTIONS_MAX];

    rig_open(&r);
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        fds[i] = connect_one(&r);
        ask(&r, fds[i], i < 4 ? "/large" : "/a");
    }
    turn_later(&r, 2);
    for (int i = 4; i < CONNECTIONS_MAX; i++) {
        int other = connect_one(&r);
        ask(&r, other, "/a");
        close(fds[i]);
        fds[i] = other;
    }
    for (int i = 0; i < 4; i++)
        ck_assert(!is_ended(fds[i]));
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        close(fds[i]);
    rig_close(&r);
}
END_TEST

START_TEST(connections_hold_a_bounded_amount_of_answers)
{
    enum { FIT = CONNECTIONS_MAX_HELD / LARGE - 1 };
    struct rig r;
    int fds[FIT + 1];

    rig_open(&r);
    for (int i = 0; i <= FIT; i++) {
        fds[i] = connect_one(&r);
        ask(&r, fds[i], "/large");
    }
    int more = connect_one(&r), small = connect_one(&r);
    ask(&r, more, "/large");
    ask(&r, small, "/small");
    assert_answer(more, "503", true);
    assert_answer(small, "200", false);
    for (int i = 0; i <= FIT; i++)
        close(fds[i]);
    turn(&r);
    int again = connect_one(&r);
    ask(&r, again, "/large");
    bool ended;
    ck_assert_ptr_nonnull(strstr(heard(again, &ended), "HTTP/1.1 200 OK"));
    close(again);
    close(more);
    close(small);
    rig_close(&r);
}
END_TEST

static void answer_late(void *ctx, struct admin_answer *out)
{
    out->status = 200;
    out->type = "text/plain";
    text_string(&out->body, ctx);
}

/* As for a reload, which reads files meanwhile. */
START_TEST(connections_wait_for_their_answer)
{
    struct rig r;

    rig_open(&r);
    int fds[3] = {connect_one(&r), connect_one(&r), connect_one(&r)};
    for (int i = 0; i < 3; i++)
        ask(&r, fds[i], "/wait");
    turn_later(&r, 60);
    close(fds[2]); /* does not stay */
    connections_answer_waiting(r.connections, 1, answer_late, (char *)"first");
    turn(&r);
    assert_answer(fds[0], "200", false);
    bool ended;
    ck_assert_str_eq(heard(fds[1], &ended), "");
    ask(&r, fds[0], "/next");
    assert_answer(fds[0], "200", false);
    /* Its listener goes with what it asked for. */
    connections_end(r.connections, &one_listener);
    connections_answer_waiting(r.connections, 3, answer_late, (char *)"second");
    turn(&r);
    assert_answer(fds[1], "200", true);
    close(fds[0]);
    close(fds[1]);
    rig_close(&r);
}
END_TEST

/* As a reload by POST does that takes the listener away. */
START_TEST(connections_end_with_their_listener)
{
    struct rig r;

    rig_open(&r);
    int asks = connect_one(&r), kept = connect_one(&r), half = connect_one(&r), reads = connect_one(&r);
    int other = connect_by(&r, &other_listener);
    ask(&r, kept, "/a");
    assert_answer(kept, "200", false);
    say(&r, half, "POST /a HT");
    ask(&r, reads, "/large");
    ask(&r, asks, "/end");
    assert_answer(asks, "200", true);
    ck_assert(is_ended(kept) && is_ended(half) && !is_ended(reads));
    ask(&r, other, "/b");
    assert_answer(other, "200", false);
    /* Whoever reads still may finish that, and no more. */
    unsigned before = r.answered;
    say(&r, reads, "GET /more HTTP/1.1\r\nHost: x\r\n\r\n");
    bool ended = false;
    while (!ended) {
        heard(reads, &ended);
        turn(&r);
    }
    ck_assert_uint_eq(r.answered, before);
    close(asks);
    close(kept);
    close(half);
    close(reads);
    close(other);
    rig_close(&r);
}
END_TEST

void add_connections_tests(Suite *suite)
{
    unit_group(suite, "connections", connection_answers_one_request_after_the_other,
               connection_reads_and_forgets_content, connection_ends_behind_a_refusal,
               connection_without_memory_for_its_answer_says_503, connection_sends_as_the_client_takes,
               connections_are_answered_one_a_turn, connection_has_ten_seconds_for_a_request,
               connection_is_not_judged_by_a_pause_of_the_process, connection_that_takes_nothing_is_cut,
               connections_are_sixty_four_at_most, connections_that_are_being_answered_stay,
               connections_hold_a_bounded_amount_of_answers, connections_wait_for_their_answer,
               connections_end_with_their_listener);
}
