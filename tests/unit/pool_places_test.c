/* Sockets that carry several exchanges at a time, as HTTP/2 does; before one does, and who waits then. */

#include "pool_test.h"

#include "base/clock.h"
#include "pool/check.h"

#define MOST 12

static struct asker askers[MOST];
static uint32_t capacity;   /* of connections that are established; 0: they speak HTTP/1.1 */
static unsigned ready_told; /* how often a connection was ready while HTTP/2 had it */

static void on_session_ready(void *ctx, unsigned ready)
{
    (void)ctx;
    (void)ready;
    ready_told++;
}

static enum protocol identify(void *ctx, struct socket *s, uint32_t *places)
{
    (void)ctx;
    if (capacity == 0)
        return PROTOCOL_HTTP1;
    *places = capacity;
    conn_set_owner(&s->wire.conn, on_session_ready, s);
    return PROTOCOL_HTTP2;
}

/* Of origins that may speak either. */
static struct origin *open_places(const char *options, uint32_t places)
{
    capacity = places;
    memset(askers, 0, sizeof askers);
    pool_rig_open(&rig, options);
    rig.pool->identify = identify;
    struct origin *o = pool_rig_origin(&rig, "a.test");
    protocol_offer(o, OFFER_BOTH);
    return o;
}

static void ask(struct origin *o, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_ne(asker_ask(&askers[i], o, ACQUIRE_NEW), ACQUIRE_QUEUE_FULL);
}

static unsigned count_served(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MOST; i++)
        n += askers[i].socket != NULL;
    return n;
}

static void wait_for(unsigned served)
{
    for (unsigned i = 0; i < 2000 && count_served() < served; i++)
        pool_rig_run(&rig, 1);
    ck_assert_uint_eq(count_served(), served);
}

static void release_all(void)
{
    for (unsigned i = 0; i < MOST; i++)
        if (askers[i].socket)
            asker_release(&askers[i]);
}

static void close_rig(void)
{
    release_all();
    pool_rig_turn(&rig);
    pool_rig_close(&rig);
}

START_TEST(a_burst_shares_one_connection)
{
    struct origin *o = open_places("maxSockets: 20", 100);

    ask(o, MOST);
    ck_assert_uint_eq(o->connecting_count, 1);
    ck_assert_uint_eq(o->waiting_count, MOST);
    wait_for(MOST);
    ck_assert_uint_eq(o->stats.opened, 1);
    ck_assert_uint_eq(o->stats.first_uses, 1);
    ck_assert_uint_eq(o->stats.reused, MOST - 1);
    ck_assert_uint_eq(o->roomy_count, 1);
    release_all();
    ck_assert_uint_eq(o->free_count, 1);
    ck_assert_int_eq(asker_ask(&askers[0], o, ACQUIRE_NEW), ACQUIRED);
    close_rig();
}
END_TEST

/* At that instant, and nobody is held by a limit meanwhile. */
START_TEST(where_it_is_http_1_the_others_connect_at_once)
{
    struct origin *o = open_places("maxSockets: 20", 0);

    ask(o, 5);
    ck_assert_uint_eq(o->connecting_count, 1);
    while (o->stats.opened == 0)
        pool_rig_events(&rig);
    ck_assert_uint_eq(o->connecting_count + o->active_count, 5);
    ck_assert_uint_eq(o->blocked_count, 0);
    wait_for(5);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(askers[i].waiter.pending_us, 0);
    /* That is remembered. */

    for (unsigned i = 5; i < 8; i++)
        asker_ask(&askers[i], o, ACQUIRE_NEW);
    ck_assert_uint_eq(o->connecting_count, 3);
    wait_for(8);
    close_rig();
}
END_TEST

START_TEST(a_probe_that_fails_fails_all_it_stood_for)
{
    struct origin *o = open_places("maxSockets: 20", 100);

    pool_rig_listen(&rig, false);
    ask(o, 5);
    for (unsigned i = 0; i < 1000 && askers[0].told == 0; i++)
        pool_rig_run(&rig, 1);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_uint_eq(askers[i].told, 1);
        ck_assert_int_eq(askers[i].error, CONNECT_REFUSED);
    }
    ck_assert_uint_eq(o->stats.retired[RETIRE_CONNECT_FAILED], 1);
    close_rig();
}
END_TEST

/* Its first request's leaving does not end it. */
START_TEST(a_probe_belongs_to_nobody)
{
    struct origin *o = open_places("maxSockets: 20", 100);

    ask(o, 3);
    waiter_cancel(&askers[0].waiter);
    wait_for(2);
    ck_assert_uint_eq(o->stats.opened, 1);
    close_rig();
}
END_TEST

START_TEST(a_second_probe_follows_a_slow_one)
{
    struct origin *o = open_places("maxSockets: 20, maxTotalSockets: 20", 100);

    ask(o, 3);
    ck_assert(timer_is_set(&o->second_probe));
    o->second_probe.fire(o); /* as 300 ms later */
    ck_assert_uint_eq(o->connecting_count, 2);
    o->second_probe.fire(o);
    ck_assert_uint_eq(o->connecting_count, 2);
    wait_for(3);
    close_rig();
}
END_TEST

START_TEST(as_many_connections_as_are_needed)
{
    struct origin *o = open_places("maxSockets: 20", 4);

    ask(o, 10);
    wait_for(10);
    ck_assert_uint_eq(o->stats.opened, 3);
    release_all();
    pool_rig_turn(&rig);
    pool_check(rig.pool);
    /* What it was is remembered: two are there, and one more. */
    agent_drain(pool_rig_agent(&rig));
    ask(o, 10);
    ck_assert_uint_eq(o->connecting_count, 3);
    wait_for(10);
    close_rig();
}
END_TEST

START_TEST(max_sockets_bounds_what_is_in_flight)
{
    struct origin *o = open_places("maxSockets: 3", 100);

    ask(o, 5);
    ck_assert_uint_eq(o->waiting_count, 3);
    ck_assert_uint_eq(o->blocked_count, 2);
    wait_for(3);
    ck_assert_uint_eq(o->in_flight, 3);
    ck_assert_uint_eq(o->blocked_count, 2);
    asker_release(&askers[1]);
    pool_rig_turn(&rig);
    ck_assert_ptr_nonnull(askers[3].socket);
    ck_assert_ptr_null(askers[4].socket);
    ck_assert_uint_eq(o->stats.opened, 1);
    waiter_cancel(&askers[4].waiter);
    close_rig();
}
END_TEST

/* Two with room, of which one carries more. */
static struct socket *pack(const char *options)
{
    struct origin *o = open_places(options, 2);

    ask(o, 4);
    wait_for(4);
    ck_assert_uint_eq(o->stats.opened, 2);
    socket_set_capacity(askers[0].socket, 4);
    socket_set_capacity(askers[3].socket, 4);
    asker_release(&askers[0]);
    struct socket *fuller = askers[2].socket;
    asker_ask(&askers[5], o, ACQUIRE_NEW);
    return fuller;
}

START_TEST(lifo_packs_and_fifo_spreads)
{
    struct socket *fuller = pack("scheduling: lifo");
    ck_assert_ptr_eq(askers[5].socket, fuller);
    close_rig();
    fuller = pack("scheduling: fifo");
    ck_assert_ptr_ne(askers[5].socket, fuller);
    close_rig();
}
END_TEST

START_TEST(room_grows_and_shrinks)
{
    struct origin *o = open_places("maxSockets: 20, maxTotalSockets: 1", 2);

    ask(o, 6);
    wait_for(2);
    struct socket *s = askers[0].socket;
    ck_assert_uint_eq(o->blocked_count, 4);
    socket_set_capacity(s, 4);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(count_served(), 4);
    ck_assert_uint_lt(askers[2].turn, askers[3].turn);
    /* Two were given a place and not told of it when it shrinks again: the older one keeps his. */
    socket_set_capacity(s, 6);
    ck_assert_uint_eq(s->in_use, 6);
    socket_set_capacity(s, 5);
    ck_assert_int_eq(askers[4].waiter.state, WAITER_SETTLED);
    ck_assert_int_eq(askers[5].waiter.state, WAITER_BLOCKED);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(count_served(), 5);
    socket_set_capacity(s, 0);
    for (unsigned i = 0; i < 5; i++)
        asker_release(&askers[i]);
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(count_served(), 0);
    socket_set_capacity(s, 1);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(count_served(), 1);
    close_rig();
}
END_TEST

START_TEST(one_that_drains_ends_with_its_last)
{
    struct origin *o = open_places("maxSockets: 3", 10);

    ask(o, 2);
    wait_for(2);
    struct socket *s = askers[0].socket;
    socket_drain(s, RETIRE_DRAINED);
    ck_assert_int_eq(s->state, SOCKET_DRAINING);
    ck_assert_uint_eq(origin_sockets(o), 1);
    ck_assert_int_eq(asker_ask(&askers[2], o, ACQUIRE_NEW), ACQUIRE_WAITS);
    wait_for(3);
    ck_assert_ptr_ne(askers[2].socket, s);
    asker_release(&askers[0]);
    ck_assert_int_eq(s->state, SOCKET_DRAINING);
    asker_release(&askers[1]);
    ck_assert_int_eq(s->state, SOCKET_DEAD);
    ck_assert_uint_eq(o->stats.retired[RETIRE_DRAINED], 1);
    close_rig();
}
END_TEST

START_TEST(one_that_is_sent_away_gives_up_its_place)
{
    struct origin *o = open_places("maxSockets: 1, maxTotalSockets: 1", 10);

    ask(o, 2);
    wait_for(1);
    socket_send_away(askers[0].socket, RETIRE_SHUTDOWN);
    ck_assert_uint_eq(origin_sockets(o) + o->in_flight, 0);
    wait_for(2);
    ck_assert_ptr_ne(askers[0].socket, askers[1].socket);
    /* As many more as maxSockets, and no more. */
    asker_ask(&askers[2], o, ACQUIRE_NEW);
    socket_send_away(askers[1].socket, RETIRE_SHUTDOWN);
    pool_rig_run(&rig, 5);
    ck_assert_uint_eq(o->draining_count, 1);
    ck_assert_ptr_null(askers[2].socket);
    asker_release(&askers[1]);
    wait_for(2);
    close_rig();
}
END_TEST

START_TEST(who_was_not_told_yet_waits_again_in_order)
{
    struct origin *o = open_places("maxSockets: 3", 10);

    ask(o, 5);
    while (o->stats.opened == 0)
        pool_rig_events(&rig);
    struct socket *s = askers[0].waiter.socket;
    ck_assert_int_eq(askers[2].waiter.state, WAITER_SETTLED);
    socket_retire(s, RETIRE_ERROR);
    pool_check(rig.pool);
    ck_assert_uint_eq(o->waiting_count + o->blocked_count, 5);
    ck_assert_ptr_eq(TAILQ_FIRST(o->waiting_count ? &o->waiting : &o->blocked), &askers[0].waiter);
    wait_for(3);
    ck_assert_uint_lt(askers[0].turn, askers[1].turn);
    ck_assert_uint_lt(askers[1].turn, askers[2].turn);
    ck_assert_uint_eq(histogram_count(&o->stats.pending), 3);
    for (unsigned i = 3; i < 5; i++)
        waiter_cancel(&askers[i].waiter);
    close_rig();
}
END_TEST

/* Those who shared a socket come back in any order, and stand in the order in which they asked. */
START_TEST(repeats_stand_in_their_old_order)
{
    struct origin *o = open_places("maxSockets: 3", 10);

    ask(o, 4);
    wait_for(3);
    socket_retire(askers[0].socket, RETIRE_ERROR);
    agent_pause(pool_rig_agent(&rig));
    asker_ask(&askers[2], o, ACQUIRE_AGAIN);
    asker_ask(&askers[0], o, ACQUIRE_AGAIN);
    asker_ask(&askers[1], o, ACQUIRE_OWN_CONNECTION); /* it shared one, and shares the next */
    struct waiter *p = TAILQ_FIRST(&o->blocked);
    for (unsigned i = 0; i < 4; i++, p = TAILQ_NEXT(p, link))
        ck_assert_ptr_eq(p, &askers[i].waiter);
    agent_resume(pool_rig_agent(&rig));
    wait_for(3);
    ck_assert_uint_eq(o->stats.opened, 2);
    waiter_cancel(&askers[3].waiter);
    close_rig();
}
END_TEST

START_TEST(max_requests_counts_what_has_begun)
{
    struct origin *o = open_places("maxSockets: 10, maxRequestsPerSocket: 3", 10);

    ask(o, 5);
    wait_for(5);
    ck_assert_uint_eq(o->stats.opened, 2);
    struct socket *first = askers[0].socket;
    ck_assert_ptr_eq(askers[2].socket, first);
    ck_assert_ptr_ne(askers[3].socket, first);
    asker_release(&askers[0]);
    ck_assert_int_eq(first->state, SOCKET_DRAINING);
    asker_release(&askers[1]);
    asker_release(&askers[2]);
    ck_assert_uint_eq(o->stats.retired[RETIRE_MAX_REQUESTS], 1);
    close_rig();
}
END_TEST

/* What runs goes on, and a limit of age holds for new ones. */
START_TEST(old_sockets_take_no_more)
{
    struct origin *o = open_places("maxSockets: 10, maxSocketAge: 1h", 10);

    ask(o, 2);
    wait_for(2);
    struct socket *old = askers[0].socket;
    ck_assert_uint_eq(socket_room(old), 8);
    old->opened_ms -= 3600 * 1000;
    ck_assert_uint_eq(socket_room(old), 0);
    ck_assert_int_eq(asker_ask(&askers[2], o, ACQUIRE_NEW), ACQUIRE_WAITS);
    wait_for(3);
    ck_assert_ptr_ne(askers[2].socket, old);
    asker_release(&askers[0]);
    ck_assert_int_eq(old->state, SOCKET_DRAINING);
    asker_release(&askers[1]);
    ck_assert_uint_eq(o->stats.retired[RETIRE_MAX_AGE], 1);
    close_rig();
}
END_TEST

/* The next connection would say the same; one more is tried after a second. */
START_TEST(where_none_may_begin_one_more_is_opened)
{
    struct origin *o = open_places("maxSockets: 10", 1);

    ask(o, 1);
    wait_for(1);
    struct socket *s = askers[0].socket;
    asker_release(&askers[0]);
    socket_set_capacity(s, 0);
    ck_assert_int_eq(asker_ask(&askers[1], o, ACQUIRE_NEW), ACQUIRE_WAITS);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(origin_sockets(o), 1);
    ck_assert_int_eq(askers[1].waiter.state, WAITER_BLOCKED);
    ck_assert_uint_eq(o->stats.held[HELD_BY_STREAMS], 1);
    ck_assert(timer_is_set(&o->second_probe));
    capacity = 2;
    o->second_probe.fire(o); /* as a second later */
    ck_assert_uint_eq(o->connecting_count, 1);
    ck_assert_int_eq(askers[1].waiter.state, WAITER_WAITING);
    wait_for(1);
    ck_assert_ptr_ne(askers[1].socket, s);
    close_rig();
}
END_TEST

/* Two that let none begin say enough. */
START_TEST(where_none_may_begin_no_third_one_is_opened)
{
    struct origin *o = open_places("maxSockets: 10", 1);

    ask(o, 2);
    wait_for(2);
    for (unsigned i = 0; i < 2; i++) {
        socket_set_capacity(askers[i].socket, 0);
        asker_release(&askers[i]);
    }
    ck_assert_uint_eq(o->free_count, 2);
    ck_assert_int_eq(asker_ask(&askers[2], o, ACQUIRE_NEW), ACQUIRE_WAITS);
    o->second_probe.fire(o);
    ck_assert_uint_eq(o->connecting_count, 0);
    ck_assert(timer_is_set(&o->second_probe)); /* one of them may end meanwhile */
    socket_set_capacity(TAILQ_FIRST(&o->free), 1);
    wait_for(1);
    close_rig();
}
END_TEST

START_TEST(what_a_peer_allows_is_remembered)
{
    struct origin *o = open_places("maxSockets: 20", 8);

    ask(o, 1);
    wait_for(1);
    socket_set_capacity(askers[0].socket, 2);
    socket_set_capacity(askers[0].socket, 0); /* no limit to go by */
    asker_release(&askers[0]);
    agent_drain(pool_rig_agent(&rig));
    ask(o, 4);
    ck_assert_uint_eq(o->connecting_count, 2);
    wait_for(4);
    close_rig();
}
END_TEST

/* Nobody's exchange is cut, but a busy socket would never come free by itself. */
START_TEST(a_busy_socket_yields_to_another_origin)
{
    struct origin *o = open_places("maxSockets: 10, maxTotalSockets: 1", 10);
    struct origin *other = pool_rig_origin(&rig, "b.test");
    struct asker b = {0};

    ask(o, 3);
    wait_for(3);
    asker_ask(&b, other, ACQUIRE_NEW);
    asker_release(&askers[0]);
    ck_assert_uint_eq(o->draining_count, 1);
    asker_ask(&askers[0], o, ACQUIRE_NEW);
    release_all();
    for (unsigned i = 0; i < 1000 && !b.socket; i++)
        pool_rig_run(&rig, 1);
    ck_assert_ptr_nonnull(b.socket);
    ck_assert_uint_eq(o->stats.retired[RETIRE_EVICTED], 1);
    asker_release(&b);
    wait_for(1);
    close_rig();
}
END_TEST

/* Not in favour of whoever asked later. */
START_TEST(a_place_that_was_given_is_not_taken_for_another_origin)
{
    struct origin *o = open_places("maxSockets: 2, maxTotalSockets: 1", 10);
    struct asker b = {0};

    ask(o, 3);
    wait_for(2);
    asker_ask(&b, pool_rig_origin(&rig, "b.test"), ACQUIRE_NEW);
    asker_release(&askers[0]);
    ck_assert_int_eq(askers[2].waiter.state, WAITER_SETTLED);
    ck_assert_uint_eq(o->draining_count, 0);
    pool_rig_turn(&rig);
    asker_release(&askers[1]);
    ck_assert_uint_eq(o->draining_count, 1);
    waiter_cancel(&b.waiter);
    close_rig();
}
END_TEST

START_TEST(spares_are_room)
{
    struct origin *o = open_places("minFreeSockets: 5", 8);

    ask(o, 2);
    wait_for(2);
    pool_rig_run(&rig, 5);
    ck_assert_uint_eq(o->stats.opened, 1);
    for (unsigned i = 2; i < 6; i++)
        asker_ask(&askers[i], o, ACQUIRE_NEW);
    for (unsigned i = 0; i < 1000 && o->stats.opened < 2; i++)
        pool_rig_run(&rig, 1);
    ck_assert_uint_eq(origin_sockets(o), 2);
    close_rig();
}
END_TEST

/* Free or not, HTTP/2 reads its connection. */
START_TEST(a_session_keeps_its_connection)
{
    struct origin *o = open_places("maxSockets: 3", 10);

    ask(o, 1);
    wait_for(1);
    asker_release(&askers[0]);
    ck_assert_uint_eq(o->free_count, 1);
    ready_told = 0;
    ck_assert_int_eq(send(rig.connections[0], "x", 1, MSG_NOSIGNAL), 1);
    for (unsigned i = 0; i < 1000 && !ready_told; i++)
        pool_rig_run(&rig, 1);
    ck_assert_uint_gt(ready_told, 0);
    ck_assert_uint_eq(o->free_count, 1);
    close_rig();
}
END_TEST

void pool_places_tests(Suite *suite)
{
    unit_group(suite, "places", a_burst_shares_one_connection, where_it_is_http_1_the_others_connect_at_once,
               a_probe_that_fails_fails_all_it_stood_for, a_probe_belongs_to_nobody,
               a_second_probe_follows_a_slow_one, as_many_connections_as_are_needed,
               max_sockets_bounds_what_is_in_flight, lifo_packs_and_fifo_spreads, room_grows_and_shrinks,
               one_that_drains_ends_with_its_last, one_that_is_sent_away_gives_up_its_place,
               who_was_not_told_yet_waits_again_in_order, repeats_stand_in_their_old_order,
               max_requests_counts_what_has_begun, old_sockets_take_no_more,
               where_none_may_begin_one_more_is_opened, where_none_may_begin_no_third_one_is_opened,
               what_a_peer_allows_is_remembered, a_busy_socket_yields_to_another_origin,
               a_place_that_was_given_is_not_taken_for_another_origin, spares_are_room,
               a_session_keeps_its_connection);
}
