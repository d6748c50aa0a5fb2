/* How many connections to the admin API there may be, and what they may hold. */

#include "admin_rig.h"

#include "admin_test.h"

START_TEST(connections_are_sixty_four_at_most)
{
    struct admin_rig r;
    int fds[CONNECTIONS_MAX];

    admin_rig_open(&r);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        fds[i] = admin_rig_connect(&r);
    int refused = admin_rig_connect(&r);
    assert_answer(refused, "503", true);
    /* Those that say nothing for a second give way, longest first; who asked a moment ago stays. */
    admin_rig_turn_later(&r, 2);
    admin_rig_ask(&r, fds[0], "/a");
    assert_answer(fds[0], "200", false);
    int taken = admin_rig_connect(&r);
    admin_rig_ask(&r, taken, "/b");
    assert_answer(taken, "200", false);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        ck_assert_int_eq(admin_rig_is_ended(fds[i]), i == 1);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        close(fds[i]);
    close(refused);
    close(taken);
    admin_rig_close(&r);
}
END_TEST

START_TEST(connections_that_are_being_answered_stay)
{
    struct admin_rig r;
    int fds[CONNECTIONS_MAX];

    admin_rig_open(&r);
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        fds[i] = admin_rig_connect(&r);
        admin_rig_ask(&r, fds[i], i < 4 ? "/large" : "/a");
    }
    admin_rig_turn_later(&r, 2);
    for (int i = 4; i < CONNECTIONS_MAX; i++) {
        int other = admin_rig_connect(&r);
        admin_rig_ask(&r, other, "/a");
        close(fds[i]);
        fds[i] = other;
    }
    for (int i = 0; i < 4; i++)
        ck_assert(!admin_rig_is_ended(fds[i]));
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        close(fds[i]);
    admin_rig_close(&r);
}
END_TEST

START_TEST(connections_hold_a_bounded_amount_of_answers)
{
    enum { FIT = CONNECTIONS_MAX_HELD / ADMIN_LARGE - 1 };
    struct admin_rig r;
    int fds[FIT + 1];

    admin_rig_open(&r);
    for (int i = 0; i <= FIT; i++) {
        fds[i] = admin_rig_connect(&r);
        admin_rig_ask(&r, fds[i], "/large");
    }
    int more = admin_rig_connect(&r), small = admin_rig_connect(&r);
    admin_rig_ask(&r, more, "/large");
    admin_rig_ask(&r, small, "/small");
    assert_answer(more, "503", true);
    assert_answer(small, "200", false);
    for (int i = 0; i <= FIT; i++)
        close(fds[i]);
    admin_rig_turn(&r);
    int again = admin_rig_connect(&r);
    admin_rig_ask(&r, again, "/large");
    bool ended;
    ck_assert_ptr_nonnull(strstr(admin_rig_heard(again, &ended), "HTTP/1.1 200 OK"));
    close(again);
    close(more);
    close(small);
    admin_rig_close(&r);
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
    struct admin_rig r;

    admin_rig_open(&r);
    int fds[3] = {admin_rig_connect(&r), admin_rig_connect(&r), admin_rig_connect(&r)};
    for (int i = 0; i < 3; i++)
        admin_rig_ask(&r, fds[i], "/wait");
    admin_rig_turn_later(&r, 60);
    close(fds[2]); /* does not stay */
    connections_answer_waiting(r.connections, 1, answer_late, (char *)"first");
    admin_rig_turn(&r);
    assert_answer(fds[0], "200", false);
    bool ended;
    ck_assert_str_eq(admin_rig_heard(fds[1], &ended), "");
    admin_rig_ask(&r, fds[0], "/next");
    assert_answer(fds[0], "200", false);
    /* Its listener goes with what it asked for. */
    connections_end(r.connections, &admin_one_listener);
    connections_answer_waiting(r.connections, 3, answer_late, (char *)"second");
    admin_rig_turn(&r);
    assert_answer(fds[1], "200", true);
    close(fds[0]);
    close(fds[1]);
    admin_rig_close(&r);
}
END_TEST

/* As a reload by POST does that takes the listener away. */
START_TEST(connections_end_with_their_listener)
{
    struct admin_rig r;

    admin_rig_open(&r);
    int asks = admin_rig_connect(&r), kept = admin_rig_connect(&r), half = admin_rig_connect(&r),
        reads = admin_rig_connect(&r);
    int other = admin_rig_connect_by(&r, &admin_other_listener);
    admin_rig_ask(&r, kept, "/a");
    assert_answer(kept, "200", false);
    admin_rig_say(&r, half, "POST /a HT");
    admin_rig_ask(&r, reads, "/large");
    admin_rig_ask(&r, asks, "/end");
    assert_answer(asks, "200", true);
    ck_assert(admin_rig_is_ended(kept) && admin_rig_is_ended(half) && !admin_rig_is_ended(reads));
    admin_rig_ask(&r, other, "/b");
    assert_answer(other, "200", false);
    /* Whoever reads still may finish that, and no more. */
    unsigned before = r.answered;
    admin_rig_say(&r, reads, "GET /more HTTP/1.1\r\nHost: x\r\n\r\n");
    bool ended = false;
    while (!ended) {
        admin_rig_heard(reads, &ended);
        admin_rig_turn(&r);
    }
    ck_assert_uint_eq(r.answered, before);
    close(asks);
    close(kept);
    close(half);
    close(reads);
    close(other);
    admin_rig_close(&r);
}
END_TEST

void add_limits_tests(Suite *suite)
{
    unit_group(suite, "many connections", connections_are_sixty_four_at_most,
               connections_that_are_being_answered_stay, connections_hold_a_bounded_amount_of_answers,
               connections_wait_for_their_answer, connections_end_with_their_listener);
}
