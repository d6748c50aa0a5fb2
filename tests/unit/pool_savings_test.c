/* What reuse saved: connections that were not opened, times what one takes. */

#include "pool/savings.h"
#include "pool_test.h"

static const struct origin_stats unused;

START_TEST(a_connect_takes_the_median)
{
    struct connect_times t = {0};

    ck_assert_uint_eq(connect_times_median(&t), 0);
    connect_times_add(&t, &unused, 40);
    ck_assert_uint_eq(connect_times_median(&t), 40);
    connect_times_add(&t, &unused, 10);
    ck_assert_uint_eq(connect_times_median(&t), 25);
    connect_times_add(&t, &unused, 9000);
    ck_assert_uint_eq(connect_times_median(&t), 40);
    connect_times_add(&t, &unused, UINT64_MAX);
    ck_assert_uint_eq(connect_times_median(&t), (40 + 9000) / 2);
}
END_TEST

START_TEST(old_connects_are_forgotten)
{
    struct connect_times t = {0};

    for (unsigned i = 0; i < CONNECT_TIMES; i++)
        connect_times_add(&t, &unused, 1000);
    for (unsigned i = 0; i < CONNECT_TIMES; i++)
        connect_times_add(&t, &unused, 7);
    ck_assert_uint_eq(connect_times_median(&t), 7);
}
END_TEST

START_TEST(what_was_opened_in_vain_is_taken_off)
{
    const struct origin_stats reused = {.requests = 10, .first_uses = 3, .reused = 7, .opened = 3},
                              spare = {.requests = 1, .first_uses = 1, .opened = 2};
    struct connect_times t = {0};
    struct savings saved = {0};

    connect_times_add(&t, &unused, 20);
    savings_add(&saved, &reused, &t);
    ck_assert_uint_eq(saved.connections, 7);
    ck_assert_uint_eq(saved.connect_us, 140);
    savings_add(&saved, &spare, &t);
    ck_assert_int_eq(saved.connections, 6);
    savings_sum(&saved, &(const struct savings){1, 2});
    ck_assert_int_eq(saved.connections, 7);
    ck_assert_int_eq(saved.connect_us, 122);
    ck_assert_int_eq(savings_shown(&saved).connections, 7);
    ck_assert_int_eq(savings_shown(&saved).connect_us, 122);
    saved = (struct savings){0};
    savings_add(&saved, &spare, &t);
    ck_assert_int_eq(saved.connections, -1);
    ck_assert_int_eq(savings_shown(&saved).connections, 0);
    ck_assert_int_eq(savings_shown(&saved).connect_us, 0);
}
END_TEST

START_TEST(only_what_a_connection_carried)
{
    const struct origin_stats refused = {.requests = 10, .first_uses = 1, .reused = 2, .opened = 1},
                              repeated = {.requests = 3,
                                          .first_uses = 2,
                                          .reused = 4,
                                          .opened = 2,
                                          .retries = 2,
                                          .unprocessed = 1},
                              down = {.requests = 5};
    const struct connect_times t = {0};
    struct savings saved = {0};

    savings_add(&saved, &refused, &t);
    ck_assert_uint_eq(saved.connections, 2);
    savings_add(&saved, &repeated, &t);
    ck_assert_uint_eq(saved.connections, 3);
    savings_add(&saved, &down, &t);
    ck_assert_uint_eq(saved.connections, 3);
}
END_TEST

/* Three requests that a connect of 800 us would have cost each; then quick ones replace it. */
START_TEST(a_later_connect_does_not_change_them)
{
    struct origin_stats stats = {.requests = 4, .first_uses = 1, .reused = 3, .opened = 1};
    struct connect_times t = {0};
    struct savings saved = {0};

    connect_times_add(&t, &unused, 800);
    savings_add(&saved, &stats, &t);
    ck_assert_int_eq(saved.connect_us, 2400);
    for (unsigned i = 0; i < CONNECT_TIMES; i++) {
        connect_times_add(&t, &stats, 100);
        stats.requests++, stats.opened++, stats.first_uses++;
        saved = (struct savings){0};
        savings_add(&saved, &stats, &t);
        ck_assert_int_eq(saved.connections, 3);
        ck_assert_int_eq(saved.connect_us, 2400);
    }
    stats.reused++;
    saved = (struct savings){0};
    savings_add(&saved, &stats, &t);
    ck_assert_int_eq(saved.connect_us, 2500);
    stats.opened += 2; /* in vain: each takes off what a reuse saved on average */
    saved = (struct savings){0};
    savings_add(&saved, &stats, &t);
    ck_assert_int_eq(saved.connections, 2);
    ck_assert_int_eq(saved.connect_us, 1250);
}
END_TEST

START_TEST(outlive_their_origin)
{
    struct pool_rig r;
    struct asker a = {0};
    struct origin *o;

    pool_rig_open(&r, "");
    o = pool_rig_origin(&r, "a.test");
    for (unsigned i = 0; i < 4; i++) {
        asker_get(&a, &r, o);
        asker_release(&a);
    }
    ck_assert_uint_eq(o->connect_times.count, 1);
    pool_rig_let_go(&r);
    agent_drain(pool_rig_agent(&r));
    origin_forget(o);
    ck_assert_uint_eq(pool_rig_agent(&r)->forgotten_savings.connections, 3);
    pool_rig_close(&r);
}
END_TEST

void pool_savings_tests(Suite *suite)
{
    unit_group(suite, "savings", a_connect_takes_the_median, old_connects_are_forgotten,
               what_was_opened_in_vain_is_taken_off, only_what_a_connection_carried,
               a_later_connect_does_not_change_them, outlive_their_origin);
}
