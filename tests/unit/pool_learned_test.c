/* After how long an origin closes what is idle: what is learned of it, and what follows. */

#include "pool_test.h"

#include "base/clock.h"
#include "pool/idle.h"
#include "pool/learned.h"

static uint64_t now_ms = 1000000;

/* Closings at these ages (0 ends them), ten seconds from each other. */
static void closings(struct learned *l, const uint64_t *ages_ms)
{
    for (; *ages_ms; ages_ms++)
        learned_closing(l, *ages_ms, now_ms += 10000);
}

#define CLOSINGS(l, ...) closings(l, (const uint64_t[]){__VA_ARGS__, 0})

static uint64_t learned_of(const uint64_t *ages_ms)
{
    struct learned l = {0};

    closings(&l, ages_ms);
    return l.least_ms;
}

#define LEARNED(...) learned_of((const uint64_t[]){__VA_ARGS__, 0})

START_TEST(three_alike_are_enough)
{
    ck_assert_uint_eq(LEARNED(2000, 2010), 0);
    ck_assert_uint_eq(LEARNED(2010, 2000, 2020), 2000);
    ck_assert_uint_eq(LEARNED(2000, 2500, 2200), 2000);
    ck_assert_uint_eq(LEARNED(2000, 2501, 2200), 0);
    ck_assert_uint_eq(LEARNED(60000, 66000, 63000), 60000); /* a tenth */
    ck_assert_uint_eq(LEARNED(60000, 67000, 63000), 0);
    ck_assert_uint_eq(LEARNED(700, 1500, 2400, 700), 0);
    ck_assert_uint_eq(LEARNED(9000, 2000, 2010, 2020), 2000);
    ck_assert_uint_eq(LEARNED(2000, 2010, 9000, 2020), 0);
}
END_TEST

/* By count, or since each response is the last one. */
START_TEST(what_is_closed_at_once_teaches_nothing)
{
    ck_assert_uint_eq(LEARNED(1, 2, 499, 3, 1, 1), 0);
    ck_assert_uint_eq(LEARNED(500, 500, 500), 500);
    ck_assert_uint_eq(LEARNED(2000, 1, 2000, 3, 2000), 2000);
}
END_TEST

START_TEST(a_restart_is_one_closing)
{
    struct learned l = {0};

    for (unsigned i = 0; i < 100; i++)
        learned_closing(&l, 5000, 700000);
    ck_assert_uint_eq(l.least_ms, 0);
    ck_assert_uint_eq(l.count, 1);
}
END_TEST

START_TEST(the_limit_leaves_a_margin)
{
    struct learned l = {0};

    ck_assert_uint_eq(learned_limit(&l, 1000), 0);
    CLOSINGS(&l, 5000, 5000, 5000);
    ck_assert_uint_eq(learned_limit(&l, 1000), 4000);
    ck_assert_uint_eq(learned_limit(&l, 0), 5000);
    ck_assert_uint_eq(learned_limit(&l, 3000), 2500); /* not below half */
    ck_assert_uint_eq(learned_limit(&l, 60000), 2500);
}
END_TEST

START_TEST(origins_may_become_stricter)
{
    struct learned l = {0};

    CLOSINGS(&l, 60000, 60000, 60000, 5000, 5100);
    ck_assert_uint_eq(l.least_ms, 60000);
    CLOSINGS(&l, 5050);
    ck_assert_uint_eq(l.least_ms, 5000);
}
END_TEST

START_TEST(origins_may_become_more_lenient)
{
    struct learned l = {0};
    unsigned trials = 0;

    CLOSINGS(&l, 2000, 2000, 2000);
    for (unsigned i = 0; i < 500; i++)
        trials += learned_is_trial(&l);
    ck_assert_uint_eq(trials, 10);
    ck_assert_uint_eq(learned_trial(&l), 3000);
    ck_assert(!learned_outlived(&l));
    CLOSINGS(&l, 2100); /* it does so still */
    ck_assert(!learned_outlived(&l));
    CLOSINGS(&l, 4000); /* but not always */
    ck_assert(learned_outlived(&l));
    ck_assert_uint_eq(learned_limit(&l, 0), 0);
    CLOSINGS(&l, 4000, 4000, 4000);
    ck_assert_uint_eq(l.least_ms, 4000);
}
END_TEST

/* In the pool */

/* So many free sockets. */
static void have_free(struct origin *o, unsigned count)
{
    struct asker askers[8] = {0};

    for (unsigned i = 0; i < count; i++)
        asker_get(&askers[i], &rig, o);
    for (unsigned i = 0; i < count; i++)
        asker_release(&askers[i]);
    ck_assert_uint_eq(o->free_count, count);
}

/* The origin closes the free one after so long. */
static void close_after(struct origin *o, uint64_t ms)
{
    have_free(o, 1);
    clock_forward(ms);
    pool_rig_hang_up(&rig, rig.count - 1);
    for (unsigned i = 0; i < 1000 && o->free_count > 0; i++)
        pool_rig_turn(&rig);
    ck_assert_uint_eq(o->free_count, 0);
}

static struct origin *learn_twenty_seconds(const char *options)
{
    struct origin *o = open_rig(options);

    for (unsigned i = 0; i < 3; i++)
        close_after(o, 20000);
    ck_assert_uint_ge(o->learned.least_ms, 20000);
    return o;
}

START_TEST(sockets_end_before_the_origin_ends_them)
{
    struct origin *o = learn_twenty_seconds("timeouts: {free: off}, agentKeepAliveTimeoutBuffer: 5s");
    struct asker a = {0};

    have_free(o, 1);
    clock_forward(1000);
    asker_get(&a, &rig, o);
    ck_assert_uint_eq(a.socket->exchanges, 2);
    asker_release(&a);
    clock_forward(15000 + o->learned.least_ms - 20000);
    asker_get(&a, &rig, o); /* though no timer has said so yet */
    ck_assert_uint_eq(a.socket->exchanges, 1);
    ck_assert_uint_eq(o->stats.retired[RETIRE_LEARNED], 1);
    asker_release(&a);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(shorter_limits_go_before)
{
    struct origin *o = learn_twenty_seconds("timeouts: {free: 300ms}, agentKeepAliveTimeoutBuffer: 0");

    have_free(o, 1);
    pool_rig_run(&rig, 350);
    ck_assert_uint_eq(o->stats.retired[RETIRE_FREE_TIMEOUT], 1);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(hints_go_before)
{
    struct origin *o = learn_twenty_seconds("timeouts: {free: off}");
    struct call_end end = pool_rig_good_end();
    struct asker a = {0};

    end.has_hint_timeout = true;
    end.hint_timeout_ms = 60000;
    asker_get(&a, &rig, o);
    socket_release(a.socket, &end);
    clock_forward(30000);
    asker_get(&a, &rig, o);
    ck_assert_uint_eq(a.socket->exchanges, 2);
    asker_release(&a);
    pool_rig_close(&rig);
}
END_TEST

/* Whoever announces a hint teaches nothing. */
START_TEST(closings_with_a_hint_do_not_count)
{
    struct origin *o = open_rig("timeouts: {free: off}");
    struct call_end end = pool_rig_good_end();
    struct asker a = {0};

    end.has_hint_timeout = true;
    end.hint_timeout_ms = 60000;
    for (unsigned i = 0; i < 4; i++) {
        asker_get(&a, &rig, o);
        socket_release(a.socket, &end);
        clock_forward(20000);
        pool_rig_hang_up(&rig, rig.count - 1);
        for (unsigned k = 0; k < 1000 && o->free_count > 0; k++)
            pool_rig_turn(&rig);
    }
    ck_assert_uint_eq(o->learned.least_ms, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_PEER_CLOSED], 4);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(it_can_be_switched_off)
{
    struct origin *o = learn_twenty_seconds("timeouts: {free: off}");
    struct asker a = {0};

    pool_rig_configure(&rig, "timeouts: {free: off}, learnFreeTimeout: false");
    have_free(o, 1);
    clock_forward(60000);
    asker_get(&a, &rig, o);
    ck_assert_uint_eq(a.socket->exchanges, 2);
    asker_release(&a);
    pool_rig_configure(&rig, "timeouts: {free: off}"); /* known still */
    clock_forward(60000);
    asker_get(&a, &rig, o);
    ck_assert_uint_eq(a.socket->exchanges, 1);
    asker_release(&a);
    pool_rig_close(&rig);
}
END_TEST

/* A request met the closing. */
START_TEST(stale_ones_count)
{
    struct origin *o = open_rig("timeouts: {free: off}");
    struct asker a = {0};

    for (unsigned i = 0; i < 3; i++) {
        have_free(o, 1);
        clock_forward(20000);
        asker_get(&a, &rig, o);
        idle_closed_under_request(a.socket, clock_ms());
        socket_retire(a.socket, RETIRE_ERROR);
    }
    ck_assert_uint_ge(o->learned.least_ms, 20000);
    pool_rig_close(&rig);
}
END_TEST

/* Free ones that have carried nothing. */
static void have_spares(const struct origin *o, unsigned count)
{
    for (unsigned i = 0; i < 1000 && o->free_count < count; i++)
        pool_rig_turn(&rig);
    ck_assert_uint_eq(o->free_count, count);
}

/* The origin may keep them for longer: what it allows after a request says nothing of them. */
START_TEST(spares_are_not_cut_by_it)
{
    struct origin *o = learn_twenty_seconds("timeouts: {free: off}");
    struct socket *s, *next;
    struct asker a = {0};

    pool_rig_configure(&rig, "timeouts: {free: off}, minFreeSockets: 2");
    asker_get(&a, &rig, o);
    asker_release(&a);
    have_spares(o, 3); /* that one has been used */
    clock_forward(60000);
    TAILQ_FOREACH_SAFE (s, &o->free, link, next) {
        bool has_carried = s->exchanges > 0;
        ck_assert(idle_retire_overdue(s) == has_carried);
    }
    ck_assert_uint_eq(o->stats.retired[RETIRE_LEARNED], 1);
    ck_assert_uint_eq(o->stats.closed_unused, 0);
    pool_rig_close(&rig);
}
END_TEST

/* Closed while they were free, or as the first request met them. */
START_TEST(spares_teach_nothing)
{
    struct origin *o = open_rig("timeouts: {free: off}, minFreeSockets: 1");
    struct asker a = {0};

    asker_get(&a, &rig, o);
    socket_retire(a.socket, RETIRE_ERROR);
    for (unsigned i = 0; i < 8; i++) {
        have_spares(o, 1);
        clock_forward(20000);
        if (i % 2 == 0) {
            pool_rig_hang_up(&rig, rig.count - 1);
            for (unsigned k = 0; k < 1000 && o->stats.closed_unused <= i / 2; k++)
                pool_rig_turn(&rig);
            continue;
        }
        asker_get(&a, &rig, o);
        idle_closed_under_request(a.socket, clock_ms());
        socket_retire(a.socket, RETIRE_ERROR);
    }
    ck_assert_uint_eq(o->learned.least_ms, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_PEER_CLOSED], 4);
    ck_assert_uint_eq(o->stats.closed_unused, 4);
    pool_rig_close(&rig);
}
END_TEST

/* Every 50th that reaches the limit stays, and carries nothing; two that live half as long again are
 * enough. */
START_TEST(trials_find_out_more)
{
    struct origin *o = learn_twenty_seconds("timeouts: {free: off}, agentKeepAliveTimeoutBuffer: 5s");
    struct asker a = {0};

    for (unsigned trial = 1; trial <= 2; trial++) {
        for (unsigned i = 1; i < 50; i++) {
            have_free(o, 1);
            clock_forward(19000);
            ck_assert(idle_retire_overdue(TAILQ_FIRST(&o->free)));
            ck_assert_uint_eq(o->free_count, 0);
        }
        have_free(o, 1);
        clock_forward(19000);
        asker_get(&a, &rig, o);
        ck_assert_uint_eq(a.socket->exchanges, 1); /* not the one on trial */
        ck_assert_uint_eq(o->aside_count, 1);
        socket_retire(a.socket, RETIRE_ERROR);
        clock_forward(20000);
        ck_assert(idle_retire_overdue(TAILQ_FIRST(&o->free)));
        ck_assert_uint_eq(o->learned.outlived, trial % 2);
    }
    ck_assert_uint_eq(o->learned.least_ms, 0);
    have_free(o, 1);
    clock_forward(60000);
    asker_get(&a, &rig, o);
    ck_assert_uint_eq(a.socket->exchanges, 2);
    asker_release(&a);
    pool_rig_close(&rig);
}
END_TEST

void pool_learned_tests(Suite *suite)
{
    unit_group(suite, "learned", three_alike_are_enough, what_is_closed_at_once_teaches_nothing,
               a_restart_is_one_closing, the_limit_leaves_a_margin, origins_may_become_stricter,
               origins_may_become_more_lenient, sockets_end_before_the_origin_ends_them,
               shorter_limits_go_before, hints_go_before, closings_with_a_hint_do_not_count,
               it_can_be_switched_off, stale_ones_count, spares_are_not_cut_by_it, spares_teach_nothing,
               trials_find_out_more);
}
