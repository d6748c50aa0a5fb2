/* Connections before it is known whether they speak HTTP/2, and who waits then. */

#include "pool_places_rig.h"

#include "pool/check.h"

START_TEST(a_burst_shares_one_connection)
{
    struct origin *o = places_open("maxSockets: 20", 100);

    places_ask(o, PLACES_MOST);
    ck_assert_uint_eq(o->connecting_count, 1);
    ck_assert_uint_eq(o->waiting_count, PLACES_MOST);
    places_wait_for(PLACES_MOST);
    ck_assert_uint_eq(o->stats.opened, 1);
    ck_assert_uint_eq(o->stats.first_uses, 1);
    ck_assert_uint_eq(o->stats.reused, PLACES_MOST - 1);
    ck_assert_uint_eq(o->roomy_count, 1);
    places_release_all();
    ck_assert_uint_eq(o->free_count, 1);
    ck_assert_int_eq(asker_ask(&places_askers[0], o, ACQUIRE_NEW), ACQUIRED);
    places_close();
}
END_TEST

/* At that instant, and nobody is held by a limit meanwhile. */
START_TEST(where_it_is_http_1_the_others_connect_at_once)
{
    struct origin *o = places_open("maxSockets: 20", 0);

    places_ask(o, 5);
    ck_assert_uint_eq(o->connecting_count, 1);
    while (o->stats.opened == 0)
        pool_rig_events(&rig);
    ck_assert_uint_eq(o->connecting_count + o->active_count, 5);
    ck_assert_uint_eq(o->blocked_count, 0);
    places_wait_for(5);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(places_askers[i].waiter.pending.us, 0);
    /* That is remembered. */

    for (unsigned i = 5; i < 8; i++)
        asker_ask(&places_askers[i], o, ACQUIRE_NEW);
    ck_assert_uint_eq(o->connecting_count, 3);
    places_wait_for(8);
    places_close();
}
END_TEST

START_TEST(a_probe_that_fails_fails_all_it_stood_for)
{
    struct origin *o = places_open("maxSockets: 20", 100);

    pool_rig_listen(&rig, false);
    places_ask(o, 5);
    for (unsigned i = 0; i < 1000 && places_askers[0].told == 0; i++)
        pool_rig_run(&rig, 1);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_uint_eq(places_askers[i].told, 1);
        ck_assert_int_eq(places_askers[i].error, CONNECT_REFUSED);
    }
    ck_assert_uint_eq(o->stats.retired[RETIRE_CONNECT_FAILED], 1);
    places_close();
}
END_TEST

/* Its first request's leaving does not end it. */
START_TEST(a_probe_belongs_to_nobody)
{
    struct origin *o = places_open("maxSockets: 20", 100);

    places_ask(o, 3);
    waiter_cancel(&places_askers[0].waiter);
    places_wait_for(2);
    ck_assert_uint_eq(o->stats.opened, 1);
    places_close();
}
END_TEST

START_TEST(a_second_probe_follows_a_slow_one)
{
    struct origin *o = places_open("maxSockets: 20, maxTotalSockets: 20", 100);

    places_ask(o, 3);
    ck_assert(timer_is_set(&o->second_probe));
    o->second_probe.fire(o); /* as 300 ms later */
    ck_assert_uint_eq(o->connecting_count, 2);
    o->second_probe.fire(o);
    ck_assert_uint_eq(o->connecting_count, 2);
    places_wait_for(3);
    places_close();
}
END_TEST

START_TEST(as_many_connections_as_are_needed)
{
    struct origin *o = places_open("maxSockets: 20", 4);

    places_ask(o, 10);
    places_wait_for(10);
    ck_assert_uint_eq(o->stats.opened, 3);
    places_release_all();
    pool_rig_turn(&rig);
    pool_check(rig.pool);
    /* What it was is remembered: two are there, and one more. */
    agent_drain(pool_rig_agent(&rig));
    places_ask(o, 10);
    ck_assert_uint_eq(o->connecting_count, 3);
    places_wait_for(10);
    places_close();
}
END_TEST

void pool_probes_tests(Suite *suite)
{
    unit_group(suite, "probes", a_burst_shares_one_connection, where_it_is_http_1_the_others_connect_at_once,
               a_probe_that_fails_fails_all_it_stood_for, a_probe_belongs_to_nobody,
               a_second_probe_follows_a_slow_one, as_many_connections_as_are_needed);
}
