/* What a reload changes for sockets that are open, and for agents. */

#include "pool_test.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/check.h"
#include "pool/configure.h"

/* Lowered limits apply in place: free ones go now, active ones when they finish. */
START_TEST(lowered_limits_apply)
{
    struct origin *o = open_rig("");
    struct asker a[4] = {{.told = 0}};

    for (unsigned i = 0; i < 4; i++)
        asker_get(&a[i], &rig, o);
    asker_release(&a[3]);
    pool_rig_configure(&rig, "maxSockets: 2");
    ck_assert_uint_eq(origin_sockets(o), 3);
    asker_release(&a[0]);
    ck_assert_uint_eq(origin_sockets(o), 2);
    asker_release(&a[1]);
    asker_release(&a[2]);
    ck_assert_uint_eq(o->free_count, 2);
    pool_rig_configure(&rig, "maxTotalSockets: 1");
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_configure(&rig, "maxFreeSockets: 0");
    ck_assert_uint_eq(o->free_count, 0);
    pool_rig_close(&rig);
}
END_TEST

/* The place that its socket leaves to the last repeat is one too many then. */
START_TEST(lowered_limits_hold_the_last_repeat)
{
    static const char *const limits[] = {"maxSockets: 1", "maxTotalSockets: 1"};

    for (int i = 0; i < 2; i++) {
        struct asker a = {.told = 0}, b = {.told = 0};
        struct origin *o = open_rig("maxSockets: 2");

        asker_get(&a, &rig, o);
        asker_get(&b, &rig, o);
        pool_rig_configure(&rig, limits[i]);
        socket_retire(a.socket, RETIRE_ERROR);
        ck_assert_int_eq(asker_ask(&a, o, ACQUIRE_OWN_CONNECTION), ACQUIRE_WAITS);
        ck_assert_uint_eq(origin_sockets(o), 1);
        ck_assert_int_eq(a.waiter.state, WAITER_BLOCKED);
        asker_release(&b);
        pool_rig_run(&rig, 20);
        ck_assert_uint_eq(a.told, 2);
        ck_assert_uint_eq(origin_sockets(o), 1);
        asker_release(&a);
        pool_rig_close(&rig);
    }
}
END_TEST

/* Who has carried as many exchanges as are allowed now carries no other. */
START_TEST(lowered_counts_of_exchanges_apply)
{
    struct origin *o = open_rig("");

    free_one(o);
    free_one(o);
    pool_rig_configure(&rig, "maxRequestsPerSocket: 3");
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_configure(&rig, "maxRequestsPerSocket: 2");
    ck_assert_uint_eq(o->free_count, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_MAX_REQUESTS], 1);
    pool_rig_configure(&rig, "maxRequestsPerSocket: 0");
    free_one(o);
    pool_rig_configure(&rig, "keepAlive: false");
    ck_assert_uint_eq(o->free_count, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_KEEPALIVE_OFF], 1);
    pool_rig_close(&rig);
}
END_TEST

/* Those of time, too, counted from when what they limit began. */
START_TEST(lowered_time_limits_apply)
{
    struct origin *o = open_rig("timeouts: {free: off}");
    struct asker a = {0};

    free_one(o);
    pool_rig_run(&rig, 30);
    pool_rig_configure(&rig, "timeouts: {free: 1h}");
    pool_rig_run(&rig, 0);
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_configure(&rig, "timeouts: {free: 20ms}");
    pool_rig_run(&rig, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_FREE_TIMEOUT], 1);
    pool_rig_configure(&rig, "maxSocketAge: off");
    asker_get(&a, &rig, o);
    pool_rig_run(&rig, 30);
    pool_rig_configure(&rig, "maxSocketAge: 20ms");
    asker_release(&a);
    ck_assert_uint_eq(o->stats.retired[RETIRE_MAX_AGE], 1);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(hints_go_by_the_present_buffer)
{
    struct origin *o = open_rig("timeouts: {free: off}, agentKeepAliveTimeoutBuffer: 0");
    struct call_end end = pool_rig_good_end();
    struct asker a = {0};

    asker_get(&a, &rig, o);
    end.has_hint_timeout = true;
    end.hint_timeout_ms = 3600 * 1000;
    socket_release(a.socket, &end);
    pool_rig_run(&rig, 1);
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_configure(&rig, "timeouts: {free: off}, agentKeepAliveTimeoutBuffer: 2h");
    pool_rig_run(&rig, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_KEEPALIVE_HINT], 1);
    pool_rig_close(&rig);
}
END_TEST

static int probes_after(const struct socket *s)
{
    int on = 0, seconds = 0;
    socklen_t size = sizeof on;

    getsockopt(s->wire.conn.fd, SOL_SOCKET, SO_KEEPALIVE, &on, &size);
    getsockopt(s->wire.conn.fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, &size);
    return on ? seconds : 0;
}

START_TEST(probes_go_by_the_present_delay)
{
    struct origin *o = open_rig("keepAliveMsecs: off");
    struct asker a = {0}, b = {0};

    asker_get(&a, &rig, o);
    asker_get(&b, &rig, o);
    asker_release(&b);
    ck_assert_int_eq(probes_after(a.socket), 0);
    pool_rig_configure(&rig, "keepAliveMsecs: 7s");
    ck_assert_int_eq(probes_after(a.socket), 7);
    ck_assert_int_eq(probes_after(TAILQ_FIRST(&o->free)), 7);
    pool_rig_configure(&rig, "keepAliveMsecs: off");
    ck_assert_int_eq(probes_after(a.socket), 0);
    asker_release(&a);
    pool_rig_close(&rig);
}
END_TEST

/* Sockets go where what decides about them changed, and not else. */
START_TEST(reloads_keep_sockets)
{
    struct origin *o = open_rig("timeouts: {connect: 1s}");

    free_one(o);
    pool_rig_configure(&rig, "timeouts: {connect: 2s}");
    ck_assert_uint_eq(o->free_count, 1);
    pool_rig_configure(&rig, "family: 4");
    ck_assert_uint_eq(o->free_count, 0);
    pool_rig_close(&rig);
}
END_TEST

static struct config *default_config(void)
{
    static const struct text_list none = {0};

    return config_parse(SLICE("log: {level: info}\n"), "test.yaml", &none, stderr);
}

/* An upstream that is gone serves those that wait, then ends; its counters stay in the sum. */
START_TEST(removed_agents_serve_who_waits)
{
    struct origin *o = open_rig("maxSockets: 2");
    struct asker a = {0}, b = {0}, c = {0}, gone = {0};
    struct config *without = default_config();
    char error[256];

    asker_get(&a, &rig, o);
    asker_ask(&gone, o, ACQUIRE_NEW);
    agent_pause(pool_rig_agent(&rig));
    asker_ask(&b, o, ACQUIRE_NEW);
    asker_ask(&c, o, ACQUIRE_NEW);
    waiter_cancel(&gone.waiter); /* its connection is anybody's, but for the pause */
    ck_assert(pool_configure(rig.pool, without, error, sizeof error));
    config_unref(without);
    pool_check(rig.pool);
    ck_assert_ptr_null(pool_rig_agent(&rig));
    asker_release(&a);
    pool_rig_run(&rig, 20);
    asker_release(&b);
    pool_rig_run(&rig, 20);
    asker_release(&c);
    ck_assert_uint_eq(o->free_count, 0);
    ck_assert_uint_eq(o->active_count, 0);
    pool_rig_let_go(&rig);
    pool_rig_run(&rig, 1100);
    ck_assert(TAILQ_EMPTY(&rig.pool->removed));
    ck_assert_uint_gt(rig.pool->removed_stats.opened, 0);
    pool_rig_close(&rig);
}
END_TEST

/* As where something else of a reload fails. */
START_TEST(a_plan_that_is_discarded_changes_nothing)
{
    static const struct text_list none = {0};
    struct origin *o = open_rig("");
    struct asker a = {0};
    struct config *c =
        config_parse(SLICE("upstreams:\n  fresh: {match: a.test}\n  u: {match: \"*.test\", tls: true}\n"),
                     "test.yaml", &none, stderr);

    asker_get(&a, &rig, o);
    asker_release(&a);
    struct pools_plan *plan = pools_prepare(&rig.pool, 1, c);
    ck_assert_ptr_nonnull(plan);
    config_unref(c);
    pool_check(rig.pool);
    pool_rig_turn(&rig);
    pools_discard(plan);
    pool_check(rig.pool);
    ck_assert_ptr_null(pool_find_agent(rig.pool, SLICE("fresh")));
    ck_assert_uint_eq(o->free_count, 1);
    asker_get(&a, &rig, o);
    ck_assert_uint_eq(o->stats.opened, 1);
    asker_release(&a);
    pool_rig_close(&rig);
}
END_TEST

void pool_reload_tests(Suite *suite)
{
    unit_group(suite, "reload", lowered_limits_apply, lowered_limits_hold_the_last_repeat,
               lowered_counts_of_exchanges_apply, lowered_time_limits_apply, hints_go_by_the_present_buffer,
               probes_go_by_the_present_delay, reloads_keep_sockets, removed_agents_serve_who_waits,
               a_plan_that_is_discarded_changes_nothing);
}
