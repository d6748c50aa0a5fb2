/* How sockets come to their ends, and origins. */

#include "pool_test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "pool/check.h"

START_TEST(free_sockets_age)
{
    struct origin *o = open_rig("timeouts: {free: 400ms}");

    free_one(o);
    pool_rig_run(&rig, 10);
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_run(&rig, 450);
    ck_assert_uint_eq(o->free_count, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_FREE_TIMEOUT], 1);
    pool_rig_close(&rig);
}
END_TEST

/* The origin's clock went on: it has closed what was idle for long. */
START_TEST(free_sockets_age_while_the_system_is_suspended)
{
    struct origin *o = open_rig("timeouts: {free: 30s}");
    struct asker a = {0};
    uint64_t before = clock_ms();

    free_one(o);
    clock_suspend(10000);
    asker_get(&a, &rig, o);
    ck_assert_uint_eq(a.socket->exchanges, 2);
    asker_release(&a);
    clock_suspend(31000); /* the two clocks are compared to a millisecond */
    asker_get(&a, &rig, o);
    ck_assert_uint_eq(a.socket->exchanges, 1);
    ck_assert_uint_eq(o->stats.retired[RETIRE_FREE_TIMEOUT], 1);
    asker_release(&a);
    ck_assert_uint_lt(clock_ms() - before, 10000); /* nothing else has aged */
    pool_rig_close(&rig);
}
END_TEST

/* The hint counts from the response on, less the buffer, and whatever timeouts.free says. */
START_TEST(hints_shorten_the_stay)
{
    struct origin *o = open_rig("timeouts: {free: off}, agentKeepAliveTimeoutBuffer: 970ms");
    struct call_end end = pool_rig_good_end();
    struct asker a = {0};

    asker_get(&a, &rig, o);
    end.has_hint_timeout = true;
    end.hint_timeout_ms = 1000;
    socket_release(a.socket, &end);
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_run(&rig, 70);
    ck_assert_uint_eq(o->stats.retired[RETIRE_KEEPALIVE_HINT], 1);
    asker_get(&a, &rig, o);
    end.hint_timeout_ms = 970;
    socket_release(a.socket, &end);
    ck_assert_uint_eq(o->stats.retired[RETIRE_KEEPALIVE_HINT], 2);
    pool_rig_close(&rig);
}
END_TEST

/* max=2: two more exchanges, though later responses say nothing. */
START_TEST(hinted_counts_are_counted_down)
{
    struct origin *o = open_rig("");
    struct call_end end = pool_rig_good_end();
    struct asker a = {0};

    asker_get(&a, &rig, o);
    end.has_hint_max = true;
    end.hint_max = 2;
    socket_release(a.socket, &end);
    ck_assert_int_eq(asker_ask(&a, o, ACQUIRE_NEW), ACQUIRED);
    asker_release(&a);
    ck_assert_uint_eq(o->free_count, 1);
    ck_assert_int_eq(asker_ask(&a, o, ACQUIRE_NEW), ACQUIRED);
    asker_release(&a);
    ck_assert_uint_eq(o->free_count, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_KEEPALIVE_HINT], 1);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(counts_are_kept)
{
    struct origin *o = open_rig("maxRequestsPerSocket: 2");
    struct asker a = {0};

    asker_get(&a, &rig, o);
    ck_assert(!socket_is_on_its_last_exchange(a.socket));
    asker_release(&a);
    struct socket *s = asker_get(&a, &rig, o);
    ck_assert(s->exchanges > 1);
    asker_release(&a);
    ck_assert_uint_eq(o->stats.retired[RETIRE_MAX_REQUESTS], 1);
    ck_assert_uint_eq(o->stats.opened + o->stats.reused, o->stats.requests);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(too_many_free_are_not_kept)
{
    struct origin *o = open_rig("maxFreeSockets: 1");
    struct asker a = {0}, b = {0};

    asker_get(&a, &rig, o);
    asker_get(&b, &rig, o);
    asker_release(&a);
    asker_release(&b);
    ck_assert_uint_eq(o->stats.retired[RETIRE_FREE_FULL], 1);
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(free_sockets_are_watched)
{
    struct origin *o = open_rig("");

    free_one(o);
    pool_rig_hang_up(&rig, 0);
    pool_rig_run(&rig, 5);
    ck_assert_uint_eq(o->free_count, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_PEER_CLOSED], 1);
    free_one(o);
    ck_assert_int_eq(write(rig.connections[1], "!", 1), 1);
    pool_rig_run(&rig, 5);
    ck_assert_uint_eq(o->free_count, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_UNEXPECTED_DATA], 1);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(probing_sees_what_came)
{
    struct origin *o = open_rig("");
    struct asker a = {0}, b = {0};

    asker_get(&a, &rig, o);
    asker_get(&b, &rig, o);
    ck_assert_int_eq(wire_probe(&a.socket->wire), RETIRE_NONE);
    pool_rig_hang_up(&rig, 0);
    ck_assert_int_eq(write(rig.connections[1], "!", 1), 1);
    ck_assert_int_eq(wire_probe(&a.socket->wire), RETIRE_PEER_CLOSED);
    ck_assert_int_eq(wire_probe(&b.socket->wire), RETIRE_UNEXPECTED_DATA);
    socket_retire(a.socket, RETIRE_PEER_CLOSED);
    socket_retire(b.socket, RETIRE_UNEXPECTED_DATA);
    pool_rig_close(&rig);
}
END_TEST

/* Between the moment a socket is given to a request and the end of the turn, when that is told, events of the
 * socket may still come: nobody may close it under the request, and what was seen must not be forgotten. */
START_TEST(sockets_given_and_not_yet_told_are_safe)
{
    struct origin *o = open_rig("maxSockets: 1");
    struct asker a = {0}, b = {0};
    struct socket *s = asker_get(&a, &rig, o);

    asker_ask(&b, o, ACQUIRE_NEW);
    asker_release(&a);
    ck_assert_int_eq(b.waiter.state, WAITER_SETTLED);
    ck_assert(!s->wire.conn.may_read);
    pool_rig_hang_up(&rig, 0);
    conn_report(&s->wire.conn, CONN_READABLE | CONN_PEER_FIN);
    pool_check(rig.pool);
    ck_assert_int_eq(s->state, SOCKET_ACTIVE);
    ck_assert(s->wire.conn.may_read);
    pool_rig_turn(&rig);
    ck_assert_ptr_eq(b.socket, s);
    socket_retire(b.socket, RETIRE_PEER_CLOSED);
    pool_rig_close(&rig);
}
END_TEST

/* Nor is it when that request leaves before it was told. */
START_TEST(sockets_that_come_back_unused_are_looked_at)
{
    struct origin *o = open_rig("maxSockets: 1");
    struct asker a = {0}, b = {0};
    struct socket *s = asker_get(&a, &rig, o);

    asker_ask(&b, o, ACQUIRE_NEW);
    asker_release(&a);
    ck_assert_int_eq(b.waiter.state, WAITER_SETTLED);
    pool_rig_hang_up(&rig, 0);
    conn_report(&s->wire.conn, CONN_READABLE | CONN_PEER_FIN);
    waiter_cancel(&b.waiter);
    ck_assert_uint_eq(o->free_count, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_PEER_CLOSED], 1);
    pool_check(rig.pool);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(sockets_that_come_back_unused_pass_the_checklist)
{
    struct origin *o = open_rig("maxSockets: 1");
    struct asker a = {0}, b = {0};

    asker_get(&a, &rig, o);
    asker_ask(&b, o, ACQUIRE_NEW);
    asker_release(&a);
    ck_assert_int_eq(b.waiter.state, WAITER_SETTLED);
    pool_rig_configure(&rig, "maxSockets: 1, keepAlive: false");
    waiter_cancel(&b.waiter);
    ck_assert_uint_eq(o->stats.retired[RETIRE_KEEPALIVE_OFF], 1);
    pool_rig_close(&rig);
}
END_TEST

/* The same of a connection that is new. */
START_TEST(new_sockets_not_yet_told_are_safe)
{
    struct origin *o = open_rig("");
    struct asker a = {0};

    asker_ask(&a, o, ACQUIRE_NEW);
    for (unsigned i = 0; i < 1000 && a.waiter.state != WAITER_SETTLED; i++)
        pool_rig_events(&rig);
    struct socket *s = a.waiter.socket;
    ck_assert_ptr_nonnull(s);
    while (rig.count == 0)
        pool_rig_events(&rig);
    pool_rig_hang_up(&rig, 0);
    for (unsigned i = 0; i < 3; i++)
        pool_rig_events(&rig); /* the FIN comes before the request is told */
    ck_assert_int_eq(s->state, SOCKET_ACTIVE);
    ck_assert(s->wire.conn.may_read);
    pool_rig_turn(&rig);
    ck_assert_ptr_eq(a.socket, s);
    socket_retire(a.socket, RETIRE_ERROR);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(drained_sockets_end_when_they_are_free)
{
    struct origin *o = open_rig("");
    struct asker a = {0}, b = {0};

    asker_get(&a, &rig, o);
    asker_get(&b, &rig, o);
    asker_release(&b);
    agent_drain(pool_rig_agent(&rig));
    ck_assert_uint_eq(o->free_count, 0);
    ck_assert_uint_eq(o->active_count, 1);
    asker_release(&a);
    ck_assert_uint_eq(o->stats.retired[RETIRE_DRAINED], 2);
    free_one(o);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(warm_sockets_are_kept)
{
    struct origin *o = open_rig("minFreeSockets: 2");
    struct asker a = {0};

    asker_get(&a, &rig, o);
    pool_rig_run(&rig, 30);
    ck_assert_uint_eq(o->free_count, 2);
    asker_release(&a);
    pool_rig_hang_up(&rig, 0);
    pool_rig_hang_up(&rig, 1);
    pool_rig_run(&rig, 30);
    ck_assert_uint_ge(o->free_count, 2);
    ck_assert_uint_eq(o->stats.requests, 1);
    pool_rig_close(&rig);
}
END_TEST

/* It is asked once; then its connections end, and it takes no further ones. */
static void lose_origin(struct origin *o)
{
    struct asker a = {0};

    asker_get(&a, &rig, o);
    asker_release(&a);
    pool_rig_run(&rig, 20);
    pool_rig_listen(&rig, false);
    for (unsigned i = 0; i < rig.count; i++)
        pool_rig_hang_up(&rig, i);
    pool_rig_run(&rig, 100);
}

/* Where spares fail, the next ones are tried after a second, not at once. */
START_TEST(failed_spares_are_not_tried_at_once)
{
    struct origin *o = open_rig("minFreeSockets: 1");

    lose_origin(o);
    ck_assert_uint_eq(o->stats.retired[RETIRE_CONNECT_FAILED], 1);
    pool_rig_listen(&rig, true);
    pool_rig_run(&rig, 2500);
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_close(&rig);
}
END_TEST

/* Nor many of them at a time, where the last one failed. */
START_TEST(failed_spares_are_tried_one_at_a_time)
{
    struct origin *o = open_rig("minFreeSockets: 5");

    lose_origin(o);
    uint64_t at_first = o->stats.retired[RETIRE_CONNECT_FAILED];
    ck_assert_uint_ge(at_first, 5);
    pool_rig_run(&rig, 2300);
    ck_assert_uint_ge(o->stats.retired[RETIRE_CONNECT_FAILED], at_first + 1);
    ck_assert_uint_le(o->stats.retired[RETIRE_CONNECT_FAILED], at_first + 3);
    pool_rig_listen(&rig, true);
    pool_rig_run(&rig, 3500);
    ck_assert_uint_ge(o->free_count, 5);
    pool_rig_close(&rig);
}
END_TEST

/* Nor sooner because one that was there before is used. */
START_TEST(an_older_connection_does_not_end_the_back_off)
{
    struct origin *o = open_rig("minFreeSockets: 2");
    struct asker a = {0};

    asker_get(&a, &rig, o);
    asker_release(&a);
    pool_rig_run(&rig, 400);
    pool_rig_listen(&rig, false);
    uint64_t began = clock_ms();
    for (unsigned i = 1; i < rig.count; i++)
        pool_rig_hang_up(&rig, i);
    for (unsigned i = 0; i < 10; i++) {
        pool_rig_run(&rig, 350);
        asker_get(&a, &rig, o);
        asker_release(&a);
    }
    uint64_t failed = o->stats.retired[RETIRE_CONNECT_FAILED];
    ck_assert_uint_ge(failed, 2);
    ck_assert_uint_le((1u << (failed - 1)) - 1, (clock_ms() - began) / 1000); /* after 1, 3, 7 s ... */
    pool_rig_close(&rig);
}
END_TEST

/* Nor where they are established and end at once, by a server at its limit or one that speaks first. */
static void are_not_hammered(void (*end)(unsigned nth), enum retire_reason reason)
{
    struct origin *o = open_rig("minFreeSockets: 2");
    struct asker a = {0};

    asker_get(&a, &rig, o);
    asker_release(&a);
    for (unsigned i = 0, ended = 0; i < 200; i++) {
        pool_rig_run(&rig, 1);
        while (ended < rig.count)
            end(ended++);
    }
    ck_assert_uint_ge(o->stats.retired[reason], 3);
    ck_assert_uint_le(rig.count, 8);
    pool_rig_close(&rig);
}

static void hang_up(unsigned nth)
{
    pool_rig_hang_up(&rig, nth);
}

static void speak(unsigned nth)
{
    ck_assert_int_eq(send(rig.connections[nth], "220 ready\r\n", 11, MSG_NOSIGNAL), 11);
}

START_TEST(spares_that_end_at_once_are_not_hammered)
{
    are_not_hammered(hang_up, RETIRE_PEER_CLOSED);
    are_not_hammered(speak, RETIRE_UNEXPECTED_DATA);
}
END_TEST

START_TEST(stopping_keeps_nothing)
{
    struct origin *o = open_rig("");
    struct asker a = {0}, b = {0};

    asker_get(&a, &rig, o);
    asker_get(&b, &rig, o);
    asker_release(&a);
    pool_stop(rig.pool);
    ck_assert_uint_eq(o->stats.retired[RETIRE_SHUTDOWN], 1);
    ck_assert(socket_is_on_its_last_exchange(b.socket));
    asker_release(&b);
    ck_assert_uint_eq(o->stats.retired[RETIRE_SHUTDOWN], 2);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(recent_errors_are_twenty)
{
    struct origin *o = open_rig("");
    struct agent *a = o->agent;
    char text[400];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (unsigned i = 0; i < 45; i++)
        agent_record_error(a, o->key, "dns_error", text);
    ck_assert_uint_eq(a->error_count, 45);
    ck_assert_uint_eq(strlen(a->errors[4].text), sizeof a->errors[4].text - 1);
    pool_rig_close(&rig);
}
END_TEST

void pool_life_tests(Suite *suite)
{
    unit_group(suite, "life", free_sockets_age, free_sockets_age_while_the_system_is_suspended,
               hints_shorten_the_stay, hinted_counts_are_counted_down, counts_are_kept,
               too_many_free_are_not_kept, free_sockets_are_watched, probing_sees_what_came,
               sockets_given_and_not_yet_told_are_safe, sockets_that_come_back_unused_are_looked_at,
               sockets_that_come_back_unused_pass_the_checklist, new_sockets_not_yet_told_are_safe,
               drained_sockets_end_when_they_are_free, warm_sockets_are_kept,
               failed_spares_are_not_tried_at_once, failed_spares_are_tried_one_at_a_time,
               an_older_connection_does_not_end_the_back_off, spares_that_end_at_once_are_not_hammered,
               stopping_keeps_nothing, recent_errors_are_twenty);
}
