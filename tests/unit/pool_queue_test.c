/* Who gets which socket, and when. */

#include "pool_test.h"

#include "base/clock.h"
#include "pool/check.h"

START_TEST(free_sockets_are_taken_newest_first)
{
    struct asker a = {0}, b = {0}, c = {0};
    struct origin *o = open_rig("");

    struct socket *first = asker_get(&a, &rig, o), *second = asker_get(&b, &rig, o);
    asker_release(&a);
    asker_release(&b);
    ck_assert_int_eq(asker_ask(&c, o, ACQUIRE_NEW), ACQUIRED);
    ck_assert_ptr_eq(c.socket, second);
    asker_release(&c);
    pool_rig_configure(&rig, "scheduling: fifo");
    ck_assert_int_eq(asker_ask(&c, o, ACQUIRE_NEW), ACQUIRED);
    ck_assert_ptr_eq(c.socket, first);
    asker_release(&c);
    ck_assert_uint_eq(o->stats.opened, 2);
    ck_assert_uint_eq(o->stats.reused, 2);
    pool_rig_close(&rig);
}
END_TEST

/* A released socket goes to the oldest that waits, at the end of the turn, and is never free between. */
START_TEST(released_sockets_serve_the_oldest)
{
    struct asker a = {0}, waiters[3] = {{.told = 0}};
    struct origin *o = open_rig("maxSockets: 1");

    asker_get(&a, &rig, o);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(asker_ask(&waiters[i], o, ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_uint_eq(o->blocked_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        asker_release(i ? &waiters[i - 1] : &a);
        ck_assert_uint_eq(o->free_count, 0);
        ck_assert_uint_eq(waiters[i].told, 0); /* nobody is told from within */
        pool_rig_turn(&rig);
        ck_assert_uint_eq(waiters[i].told, 1);
        ck_assert_uint_eq(o->blocked_count, 2 - i);
    }
    asker_release(&waiters[2]);
    ck_assert_uint_eq(o->free_count, 1);
    ck_assert_uint_eq(o->stats.opened, 1);
    pool_rig_close(&rig);
}
END_TEST

/* The request that opened a connection is served by another socket when that is ready first; the new
 * connection then is a spare. */
START_TEST(whichever_socket_is_ready_first_serves)
{
    struct asker a = {0}, b = {0};
    struct origin *o = open_rig("maxSockets: 2");

    asker_get(&a, &rig, o);
    ck_assert_int_eq(asker_ask(&b, o, ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_uint_eq(o->connecting_count, 1);
    ck_assert_uint_eq(o->waiting_count, 1);
    struct socket *s = a.socket;
    asker_release(&a);
    pool_end_turn(rig.pool);
    ck_assert_ptr_eq(b.socket, s);
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(o->free_count, 1);
    asker_release(&b);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(full_queues_refuse)
{
    struct asker a = {0}, b = {0}, c = {0};
    struct origin *o = open_rig("maxSockets: 1, maxPendingRequests: 1");

    asker_get(&a, &rig, o);
    ck_assert_int_eq(asker_ask(&b, o, ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_int_eq(asker_ask(&c, o, ACQUIRE_NEW), ACQUIRE_QUEUE_FULL);
    ck_assert_int_eq(c.waiter.state, WAITER_IDLE);
    /* A repeat is let in: it was in before. */
    ck_assert_int_eq(asker_ask(&c, o, ACQUIRE_AGAIN), ACQUIRE_WAITS);
    ck_assert_uint_eq(o->blocked_count, 2);
    ck_assert_uint_eq(o->stats.requests, 3);
    asker_release(&a);
    pool_end_turn(rig.pool);
    ck_assert_uint_eq(c.told, 1); /* at the queue's head */
    asker_release(&c);
    pool_end_turn(rig.pool);
    asker_release(&b);
    pool_rig_close(&rig);
}
END_TEST

/* Each request that found no place is counted once, by what kept it from one. */
START_TEST(what_holds_requests_is_counted)
{
    struct asker a = {0}, b = {0}, c = {0}, d = {0};
    struct origin *o, *p;

    o = open_rig("match: [a.test, b.test], maxSockets: 1, maxTotalSockets: 2, maxPendingRequests: 1");
    p = pool_rig_origin(&rig, "b.test");
    asker_get(&a, &rig, o);
    ck_assert_uint_eq(o->stats.held[HELD_BY_MAX_SOCKETS], 0);
    ck_assert_int_eq(asker_ask(&b, o, ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_uint_eq(o->stats.held[HELD_BY_MAX_SOCKETS], 1);
    ck_assert_int_eq(asker_ask(&c, o, ACQUIRE_NEW), ACQUIRE_QUEUE_FULL); /* refused, for the same */
    ck_assert_uint_eq(o->stats.held[HELD_BY_MAX_SOCKETS], 2);
    pool_rig_configure(&rig, "match: [a.test, b.test], maxSockets: 1, maxTotalSockets: 1");
    ck_assert_int_eq(asker_ask(&c, p, ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_uint_eq(p->stats.held[HELD_BY_MAX_TOTAL], 1);
    agent_pause(pool_rig_agent(&rig));
    ck_assert_int_eq(asker_ask(&d, p, ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_uint_eq(p->stats.held[HELD_BY_PAUSE], 1);
    agent_resume(pool_rig_agent(&rig));
    asker_release(&a);
    for (unsigned i = 0; i < 1000 && b.waits; i++)
        pool_rig_run(&rig, 1);
    asker_release(&b);
    for (unsigned i = 0; i < 1000 && c.waits; i++)
        pool_rig_run(&rig, 1);
    asker_release(&c);
    for (unsigned i = 0; i < 1000 && d.waits; i++)
        pool_rig_run(&rig, 1);
    asker_release(&d);
    ck_assert_uint_eq(o->stats.held[HELD_BY_MAX_SOCKETS], 2);
    ck_assert_uint_eq(p->stats.held[HELD_BY_MAX_TOTAL], 1);
    pool_rig_close(&rig);
}
END_TEST

/* How long a limit held a request enters the histogram once a request, whatever came of it. */
START_TEST(waiting_is_measured)
{
    struct asker a = {0}, served = {0}, leaves = {0}, refused = {0};
    struct origin *o = open_rig("maxSockets: 1, maxPendingRequests: 2");

    asker_get(&a, &rig, o);
    ck_assert_uint_eq(histogram_count(&o->stats.pending), 1);
    ck_assert_uint_eq(o->stats.pending.sum_us, 0); /* to connect is not to wait for a limit */
    asker_ask(&served, o, ACQUIRE_NEW);
    asker_ask(&leaves, o, ACQUIRE_NEW);
    ck_assert_int_eq(asker_ask(&refused, o, ACQUIRE_NEW), ACQUIRE_QUEUE_FULL);
    pool_rig_run(&rig, 10);
    ck_assert_uint_ge(origin_oldest_pending_us(o), 5000);
    waiter_cancel(&leaves.waiter);
    ck_assert_uint_ge(leaves.waiter.pending.us, 5000);
    ck_assert_uint_eq(histogram_count(&o->stats.pending), 2);
    asker_release(&a);
    pool_end_turn(rig.pool);
    ck_assert_uint_eq(histogram_count(&o->stats.pending), 3);
    ck_assert_uint_ge(o->stats.pending.sum_us, 10000);
    ck_assert_uint_eq(origin_oldest_pending_us(o), 0);
    /* A repeat waits on: the same request. */
    uint64_t before = served.waiter.pending.us;
    asker_release(&served);
    asker_get(&a, &rig, o);
    ck_assert_int_eq(asker_ask(&served, o, ACQUIRE_AGAIN), ACQUIRE_WAITS);
    ck_assert_uint_ge(clock_us() - stopwatch_since_us(&served.waiter.waited), before);
    ck_assert_uint_ge(origin_oldest_pending_us(o), before);
    pool_rig_run(&rig, 10);
    waiter_cancel(&served.waiter);
    ck_assert_uint_ge(served.waiter.pending.us, before + 5000);
    ck_assert_uint_eq(histogram_count(&o->stats.pending), 4);
    asker_release(&a);
    pool_rig_close(&rig);
}
END_TEST

/* Those with a connection under way do not count as pending. */
START_TEST(connecting_requests_are_not_pending)
{
    struct asker a = {0}, b = {0}, c = {0};
    struct origin *o = open_rig("maxSockets: 2, maxPendingRequests: 0");

    ck_assert_int_eq(asker_ask(&a, o, ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_int_eq(asker_ask(&b, o, ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_int_eq(asker_ask(&c, o, ACQUIRE_NEW), ACQUIRE_QUEUE_FULL);
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(a.turn, 1);
    ck_assert_uint_eq(b.turn, 2);
    asker_release(&a);
    asker_release(&b);
    pool_rig_close(&rig);
}
END_TEST

/* A connection that fails tells the oldest, and its place goes to the next. */
START_TEST(failed_connects_tell_the_oldest)
{
    struct asker waiters[3] = {{.told = 0}};
    struct origin *o;

    pool_rig_open(&rig, "maxSockets: 2");
    pool_rig_listen(&rig, false);
    o = pool_rig_origin(&rig, "a.test");
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(asker_ask(&waiters[i], o, ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_uint_eq(o->waiting_count, 2);
    ck_assert_uint_eq(o->blocked_count, 1);
    pool_rig_run(&rig, 50);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(waiters[i].told, 1);
        ck_assert_int_eq(waiters[i].error, CONNECT_REFUSED);
        ck_assert(i == 0 || waiters[i].turn > waiters[i - 1].turn);
    }
    ck_assert_uint_eq(o->stats.opened, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_CONNECT_FAILED], 3);
    ck_assert_uint_eq(origin_sockets(o) + o->waiting_count + o->blocked_count, 0);
    pool_rig_close(&rig);
}
END_TEST

/* The last repeat owns its connection: nobody else may take it, though somebody is older. */
START_TEST(owners_get_their_own_connection)
{
    struct asker a = {0}, b = {0};
    struct origin *o = open_rig("maxSockets: 1");

    asker_get(&a, &rig, o);
    ck_assert_int_eq(asker_ask(&b, o, ACQUIRE_NEW), ACQUIRE_WAITS);
    socket_retire(a.socket, RETIRE_ERROR);
    ck_assert_int_eq(asker_ask(&a, o, ACQUIRE_OWN_CONNECTION), ACQUIRE_WAITS);
    ck_assert_uint_eq(o->owned_count, 1);
    ck_assert_uint_eq(origin_sockets(o), 1);
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(a.told, 2);
    ck_assert_ptr_nonnull(a.socket);
    ck_assert_uint_eq(b.told, 0);
    asker_release(&a);
    pool_end_turn(rig.pool);
    ck_assert_uint_eq(b.told, 1);
    asker_release(&b);
    pool_rig_close(&rig);
}
END_TEST

/* When the owner leaves, its connection is anybody's. */
START_TEST(orphaned_connections_serve_others)
{
    struct asker a = {0}, b = {0};
    struct origin *o = open_rig("maxSockets: 1");

    asker_get(&a, &rig, o);
    ck_assert_int_eq(asker_ask(&b, o, ACQUIRE_NEW), ACQUIRE_WAITS);
    socket_retire(a.socket, RETIRE_ERROR);
    asker_ask(&a, o, ACQUIRE_OWN_CONNECTION);
    waiter_cancel(&a.waiter);
    ck_assert_int_eq(b.waiter.state, WAITER_WAITING);
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(b.told, 1);
    ck_assert_uint_eq(o->stats.opened, 2);
    asker_release(&b);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(cancelling_is_allowed_in_any_state)
{
    struct asker a = {0}, b = {0}, c = {0};
    struct origin *o = open_rig("maxSockets: 1");

    waiter_cancel(&a.waiter); /* idle */
    asker_ask(&a, o, ACQUIRE_NEW);
    asker_ask(&b, o, ACQUIRE_NEW);
    asker_ask(&c, o, ACQUIRE_NEW);
    waiter_cancel(&a.waiter); /* waiting: its connection goes to b */
    ck_assert_int_eq(b.waiter.state, WAITER_WAITING);
    waiter_cancel(&c.waiter); /* blocked */
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(b.told, 1);
    asker_ask(&c, o, ACQUIRE_NEW);
    asker_ask(&a, o, ACQUIRE_NEW);
    asker_release(&b);
    ck_assert_int_eq(c.waiter.state, WAITER_SETTLED);
    waiter_cancel(&c.waiter); /* settled: the socket goes on to a */
    ck_assert_int_eq(a.waiter.state, WAITER_SETTLED);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(a.told, 1);
    ck_assert_uint_eq(c.told, 0);
    asker_release(&a);
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_close(&rig);
}
END_TEST

/* Under maxTotalSockets the least recently used free socket of another origin makes room. */
START_TEST(the_least_recently_used_makes_room)
{
    struct asker a = {0}, b = {0}, c = {0};
    struct origin *oa, *ob, *oc;

    pool_rig_open(&rig, "maxTotalSockets: 2");
    oa = pool_rig_origin(&rig, "a.test");
    ob = pool_rig_origin(&rig, "b.test");
    oc = pool_rig_origin(&rig, "c.test");
    asker_get(&a, &rig, oa);
    asker_get(&b, &rig, ob);
    asker_release(&b);
    pool_rig_run(&rig, 3);
    asker_release(&a);
    asker_get(&c, &rig, oc);
    ck_assert_uint_eq(oa->free_count, 1);
    ck_assert_uint_eq(ob->free_count, 0);
    ck_assert_uint_eq(ob->stats.retired[RETIRE_EVICTED], 1);
    asker_release(&c);
    pool_rig_close(&rig);
}
END_TEST

/* A released socket serves its own origin, unless another one's oldest waited 100 ms longer. */
START_TEST(no_origin_starves_under_the_total_cap)
{
    struct asker a = {0}, own = {0}, other = {0};
    struct origin *oa, *ob;

    pool_rig_open(&rig, "maxTotalSockets: 1");
    oa = pool_rig_origin(&rig, "a.test");
    ob = pool_rig_origin(&rig, "b.test");
    asker_get(&a, &rig, oa);
    asker_ask(&other, ob, ACQUIRE_NEW);
    asker_ask(&own, oa, ACQUIRE_NEW);
    other.waiter.waited.us = own.waiter.waited.us - 99 * 1000; /* as if it had waited so much longer */
    asker_release(&a);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(own.told, 1);
    asker_ask(&a, oa, ACQUIRE_NEW);
    other.waiter.waited.us = a.waiter.waited.us - 100 * 1000;
    asker_release(&own);
    ck_assert_uint_eq(oa->stats.retired[RETIRE_EVICTED], 1);
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(other.told, 1);
    asker_release(&other);
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(a.told, 2);
    asker_release(&a);
    pool_rig_close(&rig);
}
END_TEST

/* Of the time in the queue: neither what came before a pause and after it, nor one that was over. */
START_TEST(time_in_a_pause_is_counted)
{
    struct asker a = {0}, b = {0}, c = {0};
    struct origin *o = open_rig("maxSockets: 1");

    asker_get(&a, &rig, o);
    asker_ask(&b, o, ACQUIRE_NEW);
    pool_rig_run(&rig, 10);
    agent_pause(pool_rig_agent(&rig));
    asker_ask(&c, o, ACQUIRE_NEW);
    pool_rig_run(&rig, 10);
    agent_pause(pool_rig_agent(&rig)); /* it is already */
    waiter_cancel(&c.waiter);
    c.waits = false;
    uint64_t pause = o->stats.paused_us;
    ck_assert_uint_gt(pause, 0);
    ck_assert_uint_eq(pause, o->stats.pending.sum_us);
    agent_resume(pool_rig_agent(&rig));
    pool_rig_run(&rig, 10);
    asker_release(&a);
    pool_rig_run(&rig, 10);
    ck_assert_uint_eq(b.told, 1);
    ck_assert_uint_eq(o->stats.paused_us, 2 * pause);
    ck_assert_uint_gt(o->stats.pending.sum_us, 2 * pause);
    asker_ask(&c, o, ACQUIRE_NEW);
    pool_rig_run(&rig, 10);
    asker_release(&b);
    pool_rig_run(&rig, 10);
    ck_assert_uint_eq(c.told, 1);
    ck_assert_uint_eq(o->stats.paused_us, 2 * pause);
    asker_release(&c);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(paused_agents_hold_new_requests)
{
    struct asker a = {0}, b = {0}, c = {0};
    struct origin *o = open_rig("");

    asker_get(&a, &rig, o);
    agent_pause(pool_rig_agent(&rig));
    asker_ask(&b, o, ACQUIRE_NEW);
    asker_ask(&c, o, ACQUIRE_NEW);
    asker_release(&a);
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(o->free_count, 1);
    ck_assert_uint_eq(o->blocked_count, 2);
    agent_resume(pool_rig_agent(&rig));
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(b.told, 1);
    ck_assert_uint_eq(c.told, 1);
    asker_release(&b);
    asker_release(&c);
    pool_rig_close(&rig);
}
END_TEST

/* Whichever repeat it is: nothing more is sent before the agent goes on, and then it comes first. */
START_TEST(paused_agents_hold_repeats)
{
    static const enum acquire_how repeats[] = {ACQUIRE_AGAIN, ACQUIRE_OWN_CONNECTION};

    for (int i = 0; i < 2; i++) {
        struct asker a = {0}, b = {0};
        struct origin *o;

        pool_rig_open(&rig, "maxSockets: 1");
        o = pool_rig_origin(&rig, "a.test");
        asker_get(&a, &rig, o);
        agent_pause(pool_rig_agent(&rig));
        asker_ask(&b, o, ACQUIRE_NEW);
        socket_retire(a.socket, RETIRE_ERROR);
        ck_assert_int_eq(asker_ask(&a, o, repeats[i]), ACQUIRE_WAITS);
        pool_rig_run(&rig, 20);
        ck_assert_uint_eq(a.told, 1); /* its first socket */
        ck_assert_uint_eq(origin_sockets(o), 0);
        ck_assert_uint_eq(o->blocked_count, 2);
        agent_resume(pool_rig_agent(&rig));
        pool_rig_run(&rig, 20);
        ck_assert_uint_eq(a.told, 2);
        ck_assert_uint_eq(b.told, 0);
        asker_release(&a);
        pool_rig_run(&rig, 20);
        ck_assert_uint_eq(b.told, 1);
        asker_release(&b);
        pool_rig_close(&rig);
    }
}
END_TEST

/* A request that moves from those who wait for a connection to those who wait for a place is told so: other
 * limits hold for it now. */
static unsigned blocked_calls;

static void on_blocked(struct waiter *p)
{
    ck_assert_int_eq(p->state, WAITER_BLOCKED);
    blocked_calls++;
}

START_TEST(who_becomes_pending_is_told)
{
    static const struct waiter_owner owner = {.blocked = on_blocked};
    struct asker a = {0};
    struct origin *o = open_rig("");

    asker_ask(&a, o, ACQUIRE_NEW);
    rig.pool->waiter_owner = &owner;
    ck_assert_int_eq(a.waiter.state, WAITER_WAITING);
    agent_pause(pool_rig_agent(&rig));
    agent_drain(pool_rig_agent(&rig)); /* what is being opened is of no use any more */
    pool_rig_run(&rig, 20);
    ck_assert_int_eq(a.waiter.state, WAITER_BLOCKED);
    ck_assert_uint_eq(blocked_calls, 1);
    waiter_cancel(&a.waiter);
    pool_rig_close(&rig);
}
END_TEST

/* Lowered limits leave places over; a free socket of one's own is taken all the same. */
START_TEST(own_free_sockets_serve_above_a_lowered_total)
{
    struct asker a = {0}, b = {0}, c = {0}, blocked = {0};
    struct origin *oa, *ob;

    pool_rig_open(&rig, "maxTotalSockets: 3");
    oa = pool_rig_origin(&rig, "a.test");
    ob = pool_rig_origin(&rig, "b.test");
    asker_get(&a, &rig, oa);
    asker_get(&b, &rig, oa);
    asker_ask(&c, ob, ACQUIRE_NEW);
    waiter_cancel(&c.waiter); /* the connection goes on, for nobody */
    pool_rig_configure(&rig, "maxTotalSockets: 1");
    asker_ask(&blocked, oa, ACQUIRE_NEW);
    pool_rig_run(&rig, 20);
    agent_pause(pool_rig_agent(&rig));
    asker_ask(&c, ob, ACQUIRE_NEW);
    agent_resume(pool_rig_agent(&rig));
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(c.told, 1);
    asker_release(&a);
    asker_release(&b);
    ck_assert_uint_eq(oa->stats.retired[RETIRE_DRAINED], 2);
    asker_release(&c);
    pool_rig_run(&rig, 20);
    ck_assert_uint_eq(blocked.told, 1);
    asker_release(&blocked);
    pool_rig_close(&rig);
}
END_TEST

void pool_queue_tests(Suite *suite)
{
    unit_group(suite, "queue", free_sockets_are_taken_newest_first, released_sockets_serve_the_oldest,
               whichever_socket_is_ready_first_serves, full_queues_refuse, what_holds_requests_is_counted,
               waiting_is_measured, connecting_requests_are_not_pending, failed_connects_tell_the_oldest,
               owners_get_their_own_connection, orphaned_connections_serve_others,
               cancelling_is_allowed_in_any_state, the_least_recently_used_makes_room,
               no_origin_starves_under_the_total_cap, paused_agents_hold_new_requests,
               time_in_a_pause_is_counted, paused_agents_hold_repeats, who_becomes_pending_is_told,
               own_free_sockets_serve_above_a_lowered_total);
}
