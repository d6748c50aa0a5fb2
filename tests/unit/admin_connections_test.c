/* Connections to the admin API over socket pairs, turn by turn, with a clock that can be moved: what
 * each may do, and for how long. */

#include "admin_rig.h"

#include "admin_test.h"

START_TEST(connection_answers_one_request_after_the_other)
{
    struct admin_rig r;
    bool ended;

    admin_rig_open(&r);
    int fd = admin_rig_connect(&r);
    admin_rig_ask(&r, fd, "/a");
    assert_answer(fd, "200", false);
    admin_rig_say(&r, fd, "GET /b HTTP/1.1\r\nHost: x\r\n\r\nHEAD /c HTTP/1.1\r\nHost: x\r\n\r\n");
    const char *text = admin_rig_heard(fd, &ended);
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\n/bHTTP/1.1 200 OK\r\n"));
    ck_assert_str_eq(text + strlen(text) - 4, "\r\n\r\n");
    ck_assert(!ended);
    admin_rig_say(
        &r, fd, "GET /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /e HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_answer(fd, "200", true);
    ck_assert_uint_eq(r.answered, 4);
    close(fd);
    admin_rig_close(&r);
}
END_TEST

START_TEST(connection_reads_and_forgets_content)
{
    struct admin_rig r;
    bool ended;

    admin_rig_open(&r);
    int fd = admin_rig_connect(&r);
    admin_rig_say(&r, fd, "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    ck_assert_str_eq(admin_rig_heard(fd, &ended), "HTTP/1.1 100 Continue\r\n\r\n");
    admin_rig_say(&r, fd, "a=bGET /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const char *text = admin_rig_heard(fd, &ended);
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\n/aHTTP/1.1 200 OK\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\r\nConnection: keep-alive\r\n"));
    ck_assert(!ended && r.answered == 2);
    close(fd);
    admin_rig_close(&r);
}
END_TEST

START_TEST(connection_ends_behind_a_refusal)
{
    struct admin_rig r;

    admin_rig_open(&r);
    int fd = admin_rig_connect(&r);
    admin_rig_say(&r, fd, "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_answer(fd, "400", true);
    ck_assert_uint_eq(r.answered, 0);
    close(fd);
    fd = admin_rig_connect(&r);
    admin_rig_ask(&r, fd, "/stranger");
    assert_answer(fd, "200", true);
    close(fd);
    admin_rig_close(&r);
}
END_TEST

START_TEST(connection_without_memory_for_its_answer_says_503)
{
    struct admin_rig r;

    admin_rig_open(&r);
    int fd = admin_rig_connect(&r);
    admin_rig_ask(&r, fd, "/short");
    assert_answer(fd, "503", true);
    close(fd);
    admin_rig_close(&r);
}
END_TEST

/* What else the loop has to do is never held up by more than one of them. */
START_TEST(connections_are_answered_one_a_turn)
{
    enum { COUNT = 8 };
    struct admin_rig r;
    int fds[COUNT];

    admin_rig_open(&r);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = admin_rig_connect(&r);
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
    admin_rig_close(&r);
}
END_TEST

/* Lets it be seen that a whole large answer comes, in as many turns as it takes. */
START_TEST(connection_sends_as_the_client_takes)
{
    static char taken[65536];
    struct admin_rig r;
    size_t all = 0;

    admin_rig_open(&r);
    int fd = admin_rig_connect(&r);
    admin_rig_ask(&r, fd, "/large");
    while (all < ADMIN_LARGE) {
        ssize_t n = recv(fd, taken, sizeof taken, 0);
        ck_assert_int_gt(n, 0);
        all += (size_t)n;
        admin_rig_turn(&r);
    }
    bool ended;
    admin_rig_heard(fd, &ended);
    admin_rig_ask(&r, fd, "/next");
    assert_answer(fd, "200", false);
    close(fd);
    admin_rig_close(&r);
}
END_TEST

START_TEST(connection_has_ten_seconds_for_a_request)
{
    struct admin_rig r;

    admin_rig_open(&r);
    int silent = admin_rig_connect(&r), slow = admin_rig_connect(&r), kept = admin_rig_connect(&r);
    admin_rig_turn_later(&r, 9);
    admin_rig_ask(&r, kept, "/a");
    assert_answer(kept, "200", false);
    admin_rig_say(&r, slow, "GET / HTTP/1.1\r\nHost: x\r\n");
    ck_assert(!admin_rig_is_ended(silent) && !admin_rig_is_ended(slow));
    admin_rig_turn_later(&r, 1);
    ck_assert(admin_rig_is_ended(silent) && admin_rig_is_ended(slow) && !admin_rig_is_ended(kept));
    admin_rig_turn_later(&r, 9);
    ck_assert(admin_rig_is_ended(kept));
    close(silent);
    close(slow);
    close(kept);
    admin_rig_close(&r);
}
END_TEST

static void say_and_sleep(evutil_socket_t fd, short what, void *ctx)
{
    int *client = ctx;

    (void)fd, (void)what;
    ck_assert_int_gt(send(*client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, 0), 0);
    admin_now_s += 60;
}

/* Both timers are due before the loop looks at the socket: what came is read before anybody is judged. */
START_TEST(connection_is_not_judged_by_a_pause_of_the_process)
{
    const struct timeval soon = {.tv_usec = 1000};
    struct admin_rig r;

    admin_rig_open(&r);
    int fd = admin_rig_connect(&r);
    ck_assert_int_eq(event_base_once(r.base, -1, EV_TIMEOUT, say_and_sleep, &fd, &soon), 0);
    usleep(300 * 1000);
    admin_rig_turn(&r);
    assert_answer(fd, "200", false);
    close(fd);
    admin_rig_close(&r);
}
END_TEST

START_TEST(connection_that_takes_nothing_is_cut)
{
    char some[1024];
    struct admin_rig r;

    admin_rig_open(&r);
    int none = admin_rig_connect(&r), slow = admin_rig_connect(&r);
    admin_rig_ask(&r, none, "/large");
    admin_rig_ask(&r, slow, "/large");
    for (int i = 0; i < 3; i++) {
        admin_rig_turn_later(&r, 8);
        while (recv(slow, some, sizeof some, 0) > 0) {
        }
        admin_rig_turn(&r);
        ck_assert(!admin_rig_is_ended(slow));
    }
    while (recv(none, some, sizeof some, 0) > 0) {
    }
    ck_assert(admin_rig_is_ended(none));
    /* A second for each 17 KiB or so, and half a minute: this is no reading. */
    admin_rig_turn_later(&r, 3600);
    while (recv(slow, some, sizeof some, 0) > 0) {
    }
    ck_assert(admin_rig_is_ended(slow));
    close(none);
    close(slow);
    admin_rig_close(&r);
}
END_TEST

void add_connections_tests(Suite *suite)
{
    unit_group(suite, "connections", connection_answers_one_request_after_the_other,
               connection_reads_and_forgets_content, connection_ends_behind_a_refusal,
               connection_without_memory_for_its_answer_says_503, connection_sends_as_the_client_takes,
               connections_are_answered_one_a_turn, connection_has_ten_seconds_for_a_request,
               connection_is_not_judged_by_a_pause_of_the_process, connection_that_takes_nothing_is_cut);
}
