/* Sockets that carry several exchanges at a time, as HTTP/2 does. */

#include "pool_places_rig.h"

#include "pool/check.h"

START_TEST(max_sockets_bounds_what_is_in_flight)
{
    struct origin *o = places_open("maxSockets: 3", 100);

    places_ask(o, 5);
    ck_assert_uint_eq(o->waiting_count, 3);
    ck_assert_uint_eq(o->blocked_count, 2);
    places_wait_for(3);
    ck_assert_uint_eq(o->in_flight, 3);
    ck_assert_uint_eq(o->blocked_count, 2);
    asker_release(&places_askers[1]);
    pool_rig_turn(&rig);
    ck_assert_ptr_nonnull(places_askers[3].socket);
    ck_assert_ptr_null(places_askers[4].socket);
    ck_assert_uint_eq(o->stats.opened, 1);
    waiter_cancel(&places_askers[4].waiter);
    places_close();
}
END_TEST

/* Two, of which one carries two and the other `fewer`, and one more that asks. The fuller. */
static struct socket *pack(const char *options, unsigned fewer)
{
    struct origin *o = places_open(options, 2);

    places_ask(o, 4);
    places_wait_for(4);
    ck_assert_uint_eq(o->stats.opened, 2);
    socket_set_capacity(places_askers[0].socket, 4);
    socket_set_capacity(places_askers[3].socket, 4);
    for (unsigned i = fewer; i < 2; i++)
        asker_release(&places_askers[i]);
    struct socket *fuller = places_askers[2].socket;
    asker_ask(&places_askers[5], o, ACQUIRE_NEW);
    return fuller;
}

START_TEST(lifo_packs_and_fifo_spreads)
{
    for (unsigned fewer = 0; fewer < 2; fewer++) {
        struct socket *fuller = pack("scheduling: lifo", fewer);
        ck_assert_ptr_eq(places_askers[5].socket, fuller);
        places_close();
        fuller = pack("scheduling: fifo", fewer);
        ck_assert_ptr_ne(places_askers[5].socket, fuller);
        places_close();
    }
}
END_TEST

START_TEST(room_grows_and_shrinks)
{
    struct origin *o = places_open("maxSockets: 20, maxTotalSockets: 1", 2);

    places_ask(o, 6);
    places_wait_for(2);
    struct socket *s = places_askers[0].socket;
    ck_assert_uint_eq(o->blocked_count, 4);
    socket_set_capacity(s, 4);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(places_count_served(), 4);
    ck_assert_uint_lt(places_askers[2].turn, places_askers[3].turn);
    /* Two were given a place and not told of it when it shrinks again: the older one keeps his. */
    socket_set_capacity(s, 6);
    ck_assert_uint_eq(s->in_use, 6);
    socket_set_capacity(s, 5);
    ck_assert_int_eq(places_askers[4].waiter.state, WAITER_SETTLED);
    ck_assert_int_eq(places_askers[5].waiter.state, WAITER_BLOCKED);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(places_count_served(), 5);
    socket_set_capacity(s, 0);
    for (unsigned i = 0; i < 5; i++)
        asker_release(&places_askers[i]);
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(places_count_served(), 0);
    socket_set_capacity(s, 1);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(places_count_served(), 1);
    places_close();
}
END_TEST

START_TEST(one_that_drains_ends_with_its_last)
{
    struct origin *o = places_open("maxSockets: 3", 10);

    places_ask(o, 2);
    places_wait_for(2);
    struct socket *s = places_askers[0].socket;
    socket_drain(s, RETIRE_DRAINED);
    ck_assert_int_eq(s->state, SOCKET_DRAINING);
    ck_assert_uint_eq(origin_sockets(o), 1);
    ck_assert_int_eq(asker_ask(&places_askers[2], o, ACQUIRE_NEW), ACQUIRE_WAITS);
    places_wait_for(3);
    ck_assert_ptr_ne(places_askers[2].socket, s);
    asker_release(&places_askers[0]);
    ck_assert_int_eq(s->state, SOCKET_DRAINING);
    asker_release(&places_askers[1]);
    ck_assert_int_eq(s->state, SOCKET_DEAD);
    ck_assert_uint_eq(o->stats.retired[RETIRE_DRAINED], 1);
    places_close();
}
END_TEST

START_TEST(one_that_is_sent_away_gives_up_its_place)
{
    struct origin *o = places_open("maxSockets: 1, maxTotalSockets: 1", 10);

    places_ask(o, 2);
    places_wait_for(1);
    socket_send_away(places_askers[0].socket, RETIRE_SHUTDOWN);
    ck_assert_uint_eq(origin_sockets(o) + o->in_flight, 0);
    places_wait_for(2);
    ck_assert_ptr_ne(places_askers[0].socket, places_askers[1].socket);
    /* As many more as maxSockets, and no more. */
    asker_ask(&places_askers[2], o, ACQUIRE_NEW);
    socket_send_away(places_askers[1].socket, RETIRE_SHUTDOWN);
    pool_rig_run(&rig, 5);
    ck_assert_uint_eq(o->draining_count, 1);
    ck_assert_ptr_null(places_askers[2].socket);
    asker_release(&places_askers[1]);
    places_wait_for(2);
    places_close();
}
END_TEST

START_TEST(who_was_not_told_yet_waits_again_in_order)
{
    struct origin *o = places_open("maxSockets: 3", 10);

    places_ask(o, 5);
    while (o->stats.opened == 0)
        pool_rig_events(&rig);
    struct socket *s = places_askers[0].waiter.socket;
    ck_assert_int_eq(places_askers[2].waiter.state, WAITER_SETTLED);
    socket_retire(s, RETIRE_ERROR);
    pool_check(rig.pool);
    ck_assert_uint_eq(o->waiting_count + o->blocked_count, 5);
    ck_assert_ptr_eq(TAILQ_FIRST(o->waiting_count ? &o->waiting : &o->blocked), &places_askers[0].waiter);
    places_wait_for(3);
    ck_assert_uint_lt(places_askers[0].turn, places_askers[1].turn);
    ck_assert_uint_lt(places_askers[1].turn, places_askers[2].turn);
    ck_assert_uint_eq(histogram_count(&o->stats.pending), 3);
    for (unsigned i = 3; i < 5; i++)
        waiter_cancel(&places_askers[i].waiter);
    places_close();
}
END_TEST

/* Those who shared a socket come back in any order, and stand in the order in which they asked. */
static struct waiter *held_last;

static void on_blocked(struct waiter *p)
{
    held_last = p;
}

/* Other limits hold for it now, also where an older repeat waits for a place already. */
START_TEST(who_loses_a_place_behind_a_repeat_is_told)
{
    struct origin *o = places_open("maxSockets: 20, maxTotalSockets: 1", 2);
    struct waiter_owner owner;

    places_ask(o, 4);
    places_wait_for(2);
    struct socket *s = places_askers[1].socket;
    asker_release(&places_askers[0]);
    pool_rig_turn(&rig);
    socket_set_capacity(s, 3);
    ck_assert_int_eq(places_askers[3].waiter.state, WAITER_SETTLED);
    ck_assert_int_eq(asker_ask(&places_askers[0], o, ACQUIRE_AGAIN), ACQUIRE_WAITS);
    ck_assert_int_eq(places_askers[0].waiter.state, WAITER_BLOCKED);
    owner = *rig.pool->waiter_owner;
    owner.blocked = on_blocked;
    rig.pool->waiter_owner = &owner;
    socket_set_capacity(s, 2);
    ck_assert_int_eq(places_askers[3].waiter.state, WAITER_BLOCKED);
    ck_assert_ptr_eq(held_last, &places_askers[3].waiter);
    pool_check(rig.pool);
    for (unsigned i = 0; i < 4; i += 3)
        waiter_cancel(&places_askers[i].waiter);
    places_close();
}
END_TEST

START_TEST(repeats_stand_in_their_old_order)
{
    struct origin *o = places_open("maxSockets: 3", 10);

    places_ask(o, 4);
    places_wait_for(3);
    socket_retire(places_askers[0].socket, RETIRE_ERROR);
    agent_pause(pool_rig_agent(&rig));
    asker_ask(&places_askers[2], o, ACQUIRE_AGAIN);
    asker_ask(&places_askers[0], o, ACQUIRE_AGAIN);
    asker_ask(&places_askers[1], o, ACQUIRE_OWN_CONNECTION); /* it shared one, and shares the next */
    struct waiter *p = TAILQ_FIRST(&o->blocked);
    for (unsigned i = 0; i < 4; i++, p = TAILQ_NEXT(p, link))
        ck_assert_ptr_eq(p, &places_askers[i].waiter);
    agent_resume(pool_rig_agent(&rig));
    places_wait_for(3);
    ck_assert_uint_eq(o->stats.opened, 2);
    waiter_cancel(&places_askers[3].waiter);
    places_close();
}
END_TEST

START_TEST(max_requests_counts_what_has_begun)
{
    struct origin *o = places_open("maxSockets: 10, maxRequestsPerSocket: 3", 10);

    places_ask(o, 5);
    places_wait_for(5);
    ck_assert_uint_eq(o->stats.opened, 2);
    struct socket *first = places_askers[0].socket;
    ck_assert_ptr_eq(places_askers[2].socket, first);
    ck_assert_ptr_ne(places_askers[3].socket, first);
    asker_release(&places_askers[0]);
    ck_assert_int_eq(first->state, SOCKET_DRAINING);
    asker_release(&places_askers[1]);
    asker_release(&places_askers[2]);
    ck_assert_uint_eq(o->stats.retired[RETIRE_MAX_REQUESTS], 1);
    places_close();
}
END_TEST

/* What runs goes on, and a limit of age holds for new ones. */
START_TEST(old_sockets_take_no_more)
{
    struct origin *o = places_open("maxSockets: 10, maxSocketAge: 1h", 10);

    places_ask(o, 2);
    places_wait_for(2);
    struct socket *old = places_askers[0].socket;
    ck_assert_uint_eq(socket_room(old), 8);
    old->opened_ms -= 3600 * 1000;
    ck_assert_uint_eq(socket_room(old), 0);
    ck_assert_int_eq(asker_ask(&places_askers[2], o, ACQUIRE_NEW), ACQUIRE_WAITS);
    places_wait_for(3);
    ck_assert_ptr_ne(places_askers[2].socket, old);
    asker_release(&places_askers[0]);
    ck_assert_int_eq(old->state, SOCKET_DRAINING);
    asker_release(&places_askers[1]);
    ck_assert_uint_eq(o->stats.retired[RETIRE_MAX_AGE], 1);
    places_close();
}
END_TEST

/* The next connection would say the same; one more is tried after a second. */
START_TEST(where_none_may_begin_one_more_is_opened)
{
    struct origin *o = places_open("maxSockets: 10", 1);

    places_ask(o, 1);
    places_wait_for(1);
    struct socket *s = places_askers[0].socket;
    asker_release(&places_askers[0]);
    socket_set_capacity(s, 0);
    ck_assert_int_eq(asker_ask(&places_askers[1], o, ACQUIRE_NEW), ACQUIRE_WAITS);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(origin_sockets(o), 1);
    ck_assert_int_eq(places_askers[1].waiter.state, WAITER_BLOCKED);
    ck_assert_uint_eq(o->stats.held[HELD_BY_STREAMS], 1);
    ck_assert(timer_is_set(&o->second_probe));
    places_capacity = 2;
    o->second_probe.fire(o); /* as a second later */
    ck_assert_uint_eq(o->connecting_count, 1);
    ck_assert_int_eq(places_askers[1].waiter.state, WAITER_WAITING);
    places_wait_for(1);
    ck_assert_ptr_ne(places_askers[1].socket, s);
    places_close();
}
END_TEST

/* Two that let none begin say enough. */
START_TEST(where_none_may_begin_no_third_one_is_opened)
{
    struct origin *o = places_open("maxSockets: 10", 1);

    places_ask(o, 2);
    places_wait_for(2);
    for (unsigned i = 0; i < 2; i++) {
        socket_set_capacity(places_askers[i].socket, 0);
        asker_release(&places_askers[i]);
    }
    ck_assert_uint_eq(o->free_count, 2);
    ck_assert_int_eq(asker_ask(&places_askers[2], o, ACQUIRE_NEW), ACQUIRE_WAITS);
    o->second_probe.fire(o);
    ck_assert_uint_eq(o->connecting_count, 0);
    ck_assert(timer_is_set(&o->second_probe)); /* one of them may end meanwhile */
    socket_set_capacity(TAILQ_FIRST(&o->free), 1);
    places_wait_for(1);
    places_close();
}
END_TEST

START_TEST(what_a_peer_allows_is_remembered)
{
    struct origin *o = places_open("maxSockets: 20", 8);

    places_ask(o, 1);
    places_wait_for(1);
    socket_set_capacity(places_askers[0].socket, 2);
    socket_set_capacity(places_askers[0].socket, 0); /* no limit to go by */
    asker_release(&places_askers[0]);
    agent_drain(pool_rig_agent(&rig));
    places_ask(o, 4);
    ck_assert_uint_eq(o->connecting_count, 2);
    places_wait_for(4);
    places_close();
}
END_TEST

/* Nobody's exchange is cut, but a busy socket would never come free by itself. */
START_TEST(a_busy_socket_yields_to_another_origin)
{
    struct origin *o = places_open("maxSockets: 10, maxTotalSockets: 1", 10);
    struct origin *other = pool_rig_origin(&rig, "b.test");
    struct asker b = {0};

    places_ask(o, 3);
    places_wait_for(3);
    asker_ask(&b, other, ACQUIRE_NEW);
    asker_release(&places_askers[0]);
    ck_assert_uint_eq(o->draining_count, 1);
    asker_ask(&places_askers[0], o, ACQUIRE_NEW);
    places_release_all();
    for (unsigned i = 0; i < 1000 && !b.socket; i++)
        pool_rig_run(&rig, 1);
    ck_assert_ptr_nonnull(b.socket);
    ck_assert_uint_eq(o->stats.retired[RETIRE_EVICTED], 1);
    asker_release(&b);
    places_wait_for(1);
    places_close();
}
END_TEST

/* Not in favour of whoever asked later. */
START_TEST(a_place_that_was_given_is_not_taken_for_another_origin)
{
    struct origin *o = places_open("maxSockets: 2, maxTotalSockets: 1", 10);
    struct asker b = {0};

    places_ask(o, 3);
    places_wait_for(2);
    asker_ask(&b, pool_rig_origin(&rig, "b.test"), ACQUIRE_NEW);
    asker_release(&places_askers[0]);
    ck_assert_int_eq(places_askers[2].waiter.state, WAITER_SETTLED);
    ck_assert_uint_eq(o->draining_count, 0);
    pool_rig_turn(&rig);
    asker_release(&places_askers[1]);
    ck_assert_uint_eq(o->draining_count, 1);
    waiter_cancel(&b.waiter);
    places_close();
}
END_TEST

START_TEST(spares_are_room)
{
    struct origin *o = places_open("minFreeSockets: 5", 8);

    places_ask(o, 2);
    places_wait_for(2);
    pool_rig_run(&rig, 5);
    ck_assert_uint_eq(o->stats.opened, 1);
    for (unsigned i = 2; i < 6; i++)
        asker_ask(&places_askers[i], o, ACQUIRE_NEW);
    for (unsigned i = 0; i < 1000 && o->stats.opened < 2; i++)
        pool_rig_run(&rig, 1);
    ck_assert_uint_eq(origin_sockets(o), 2);
    places_close();
}
END_TEST

/* Free or not, HTTP/2 reads its connection. */
START_TEST(a_session_keeps_its_connection)
{
    struct origin *o = places_open("maxSockets: 3", 10);

    places_ask(o, 1);
    places_wait_for(1);
    asker_release(&places_askers[0]);
    ck_assert_uint_eq(o->free_count, 1);
    places_ready_told = 0;
    ck_assert_int_eq(send(rig.connections[0], "x", 1, MSG_NOSIGNAL), 1);
    for (unsigned i = 0; i < 1000 && !places_ready_told; i++)
        pool_rig_run(&rig, 1);
    ck_assert_uint_gt(places_ready_told, 0);
    ck_assert_uint_eq(o->free_count, 1);
    places_close();
}
END_TEST

void pool_places_tests(Suite *suite)
{
    unit_group(suite, "places", max_sockets_bounds_what_is_in_flight, lifo_packs_and_fifo_spreads,
               room_grows_and_shrinks, one_that_drains_ends_with_its_last,
               one_that_is_sent_away_gives_up_its_place, who_was_not_told_yet_waits_again_in_order,
               who_loses_a_place_behind_a_repeat_is_told, repeats_stand_in_their_old_order,
               max_requests_counts_what_has_begun, old_sockets_take_no_more,
               where_none_may_begin_one_more_is_opened, where_none_may_begin_no_third_one_is_opened,
               what_a_peer_allows_is_remembered, a_busy_socket_yields_to_another_origin,
               a_place_that_was_given_is_not_taken_for_another_origin, spares_are_room,
               a_session_keeps_its_connection);
}
