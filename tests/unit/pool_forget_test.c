/* Which origins are remembered though nobody uses them. */

#include "pool_test.h"

#include <stdio.h>

#include "base/clock.h"
#include "pool/check.h"

static struct origin *ask_for(const char *host, uint16_t port)
{
    struct origin *o = origin_find_or_make(pool_rig_agent(&rig), ORIGIN_HTTP, slice_of(host), false, port);

    ck_assert_ptr_nonnull(o);
    return o;
}

/* As if it had one socket, which has ended. */
static void pretend_reached(struct origin *o)
{
    o->stats.opened = o->stats.opened_for[OPENED_FOR_FIRST] = o->stats.retired[RETIRE_DRAINED] = 1;
    forget_update(o);
}

static bool is_there(const char *host, uint16_t port)
{
    char key[64];
    struct origin *o;
    int n = snprintf(key, sizeof key, "http://%s:%u", host, port);

    HASH_FIND(hh, pool_rig_agent(&rig)->origins, key, (unsigned)n, o);
    return o != NULL;
}

static unsigned count(void)
{
    return HASH_COUNT(pool_rig_agent(&rig)->origins);
}

/* So many hosts of a number each. */
static void ask_for_many(unsigned first, unsigned n, bool reached)
{
    char host[32];

    for (unsigned i = first; i < first + n; i++) {
        snprintf(host, sizeof host, "h%u.test", i);
        struct origin *o = ask_for(host, 80);
        if (reached)
            pretend_reached(o);
    }
}

/* Who was given an error, or holds on to an origin for its counters, keeps it from being forgotten. */
START_TEST(origins_in_use_are_not_forgotten)
{
    struct agent *agent;
    struct origin *o;
    struct asker a = {0};

    pool_rig_open(&rig, "");
    agent = pool_rig_agent(&rig);
    o = ask_for("a.test", 80);
    pool_rig_listen(&rig, false);
    asker_ask(&a, o, ACQUIRE_NEW);
    origin_hold(o);
    while (a.waiter.state != WAITER_SETTLED)
        pool_rig_events(&rig);
    forget_old(agent, 0);
    ck_assert_ptr_eq(ask_for("a.test", 80), o);
    pool_rig_turn(&rig);
    ck_assert_int_eq(a.error, CONNECT_REFUSED);
    forget_old(agent, 0);
    ck_assert(is_there("a.test", 80));
    origin_let_go(o);
    forget_old(agent, 0);
    ck_assert_ptr_null(agent->origins);
    ck_assert_uint_eq(agent->forgotten.requests, 1);
    ck_assert_uint_eq(agent->forgotten.retired[RETIRE_CONNECT_FAILED], 1);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(the_oldest_are_forgotten_first)
{
    pool_rig_open(&rig, "");
    ask_for_many(0, FORGET_EMPTY_MAX, true);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(count(), FORGET_EMPTY_MAX);
    origin_hold(ask_for("h0.test", 80)); /* so it is empty no longer, and then the youngest */
    ask_for_many(FORGET_EMPTY_MAX, 2, true);
    pool_rig_turn(&rig);
    ck_assert(is_there("h0.test", 80));
    ck_assert(!is_there("h1.test", 80));
    ck_assert(is_there("h2.test", 80));
    origin_let_go(ask_for("h0.test", 80));
    pool_rig_turn(&rig);
    ck_assert(is_there("h0.test", 80));
    ck_assert(!is_there("h2.test", 80));
    ck_assert_uint_eq(count(), FORGET_EMPTY_MAX);
    ck_assert_uint_eq(pool_rig_agent(&rig)->forgotten.opened, 2);
    pool_rig_close(&rig);
}
END_TEST

/* However many hosts a client makes up, they do not drive out those that were of use. */
START_TEST(what_never_had_a_socket_is_forgotten_soon)
{
    pool_rig_open(&rig, "");
    pretend_reached(ask_for("a.test", 80));
    ask_for_many(0, 5 * FORGET_UNREACHED_MAX, false);
    pool_rig_turn(&rig);
    ck_assert_uint_eq(count(), FORGET_UNREACHED_MAX + 1);
    pool_rig_run(&rig, FORGET_UNREACHED_MS);
    forget_old(pool_rig_agent(&rig), FORGET_EMPTY_MS);
    ck_assert_uint_eq(count(), 1);
    ck_assert(is_there("a.test", 80));
    pool_rig_close(&rig);
}
END_TEST

/* A cron host sees its one upstream once an hour. */
START_TEST(what_is_named_is_not_forgotten)
{
    pool_rig_open(&rig, "match: [a.test, 'b.test:81', '*.test']");
    pretend_reached(ask_for("a.test", 80));
    pretend_reached(ask_for("a.test", 81));
    ask_for("b.test", 81);
    ask_for("b.test", 80);
    ask_for("c.test", 80);
    pool_check(rig.pool);
    forget_old(pool_rig_agent(&rig), 0);
    ck_assert_uint_eq(count(), 2);
    ck_assert(is_there("a.test", 80) && is_there("b.test", 81));
    pool_rig_configure(&rig, "match: [b.test, '*.test']");
    forget_old(pool_rig_agent(&rig), 0);
    ck_assert_uint_eq(count(), 0);
    pool_rig_close(&rig);
}
END_TEST

/* minFreeSockets for good only where the upstream names one host; what clients ask for beside that is
 * theirs. */
START_TEST(one_host_is_warm)
{
    pool_rig_open(&rig, "match: a.test, minFreeSockets: 1");
    ck_assert(ask_for("a.test", 80)->warm);
    ck_assert(!ask_for("a.test", 81)->warm);
    pool_rig_configure(&rig, "match: ['a.test:81', '*.test'], minFreeSockets: 1");
    ck_assert(!ask_for("a.test", 80)->warm);
    ck_assert(ask_for("a.test", 81)->warm);
    pool_rig_configure(&rig, "match: [a.test, b.test], minFreeSockets: 1");
    ck_assert(!ask_for("a.test", 80)->warm && !ask_for("b.test", 80)->warm);
    pool_rig_configure(&rig, "match: '*.test', minFreeSockets: 1");
    ck_assert(!ask_for("a.test", 80)->warm);
    pool_rig_configure(&rig, "host: a.test, listen: 'unix:/tmp/x', minFreeSockets: 1");
    ck_assert(ask_for("a.test", 80)->warm);
    pool_rig_configure(&rig, "match: a.test, tls: true, minFreeSockets: 1");
    ck_assert(ask_for("a.test", 80)->warm);
    ck_assert_str_eq(ask_for("a.test", 80)->key, "https://a.test:443");
    pool_rig_close(&rig);
}
END_TEST

void pool_forget_tests(Suite *suite)
{
    unit_group(suite, "forget", origins_in_use_are_not_forgotten, the_oldest_are_forgotten_first,
               what_never_had_a_socket_is_forgotten_soon, what_is_named_is_not_forgotten, one_host_is_warm);
}
