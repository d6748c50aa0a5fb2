/* carpoolctl advise: every row, when it speaks, what it suggests, and when it is silent. */

#include <stdio.h>

#include "admin/advice.h"
#include "admin_account.h"
#include "admin_test.h"
#include "base/units.h"
#include "unit.h"

/* "now -> suggested: why"; "" when the row is silent. */
static const char *advised(const char *rule)
{
    static char out[1024];
    struct advice a = {0};

    out[0] = '\0';
    if (advice_rule(rule)->advises(&account, &a))
        snprintf(out, sizeof out, "%.*s -> %.*s: %.*s", (int)a.now.n, a.now.p, (int)a.suggested.n,
                 a.suggested.p, (int)a.why.n, a.why.p);
    advice_free(&a);
    return out;
}

static void requested(uint32_t n)
{
    account.hour.requests = account.hour.carried = n;
    account.stats.requests = n + 1; /* there was more before that hour */
}

START_TEST(max_sockets)
{
    account_begin();
    requested(1000);
    account.hour.load.needed = 30;
    ck_assert_str_eq(advised("maxSockets"), ""); /* nothing waited */
    account.hour.held[HELD_BY_MAX_SOCKETS] = 120;
    account.hour.waited = 100;
    account.hour.waited_ms = 3500;
    ck_assert_str_eq(
        advised("maxSockets"),
        "20 -> 38: 120 of 1,000 requests found all connections busy (maxSockets is 20) and waited 35 ms on average. In "
        "the busiest minute, requests per second times seconds per request came to 30.0 connections");
    account.hour.load.needed = 15; /* a load near the limit is held down by it */
    ck_assert_ptr_nonnull(strstr(advised("maxSockets"), "20 -> 25: "));
    ck_assert_ptr_nonnull(
        strstr(advised("maxSockets"),
               ". All 20 connections were in use, so the need is at least 20, and cannot be measured"));
    account.hour.held_before[HELD_BY_MAX_SOCKETS] = 120; /* by an earlier limit, all of them */
    ck_assert_str_eq(advised("maxSockets"), "");
    account.hour.held_before[HELD_BY_MAX_SOCKETS] = 0;
    account.hour.load.needed = 2;    /* bursts, */
    account.hour.load.occupied = 20; /* or a service that was slow */
    ck_assert_str_eq(advised("maxSockets"), "");
}
END_TEST

/* What one limit is raised to, the other one must allow. */
START_TEST(both_limits)
{
    account_begin();
    requested(1000);
    account.hour.held[HELD_BY_MAX_SOCKETS] = 120;
    account.hour.load.needed = 30;
    ck_assert_str_eq(advised("total-for-origin"), "");
    policy.maxTotalSockets = 20;
    ck_assert_ptr_nonnull(strstr(advised("maxSockets"), "20 -> 38: 120 of"));
    ck_assert_ptr_nonnull(strstr(advised("total-for-origin"), "20 -> 38: 120 of"));
    policy.maxTotalSockets = 4; /* so that it is what holds now */
    policy.maxSockets = 5;
    account.hour.load.needed = 3.6F;
    ck_assert_str_eq(advised("maxSockets"), "");
    ck_assert_ptr_nonnull(strstr(advised("total-for-origin"), "4 -> 5: 120 of"));
    account.hour.held[HELD_BY_MAX_SOCKETS] = 0;
    account.hour.held[HELD_BY_MAX_TOTAL] = 9;
    ck_assert_str_eq(advised("total-for-origin"), ""); /* it is the agent's */
    account.hour.load.needed = 10;                     /* and with more, maxSockets would */
    ck_assert_ptr_nonnull(strstr(advised("maxSockets"), "5 -> 13: 9 of"));
    account.hour.held[HELD_BY_MAX_TOTAL] = 0;
    policy.maxTotalSockets = COUNT_INFINITE;
    ck_assert_str_eq(advised("total-for-origin"), "");
}
END_TEST

START_TEST(max_total_sockets)
{
    account_begin();
    policy.maxTotalSockets = 5;
    account.most_sockets = 12;
    requested(36);
    ck_assert_str_eq(advised("maxTotalSockets"), "");
    account_open(OPENED_FOR_FIRST, 12);
    account_open(replaced(RETIRE_EVICTED), 24);
    ck_assert_str_eq(
        advised("maxTotalSockets"),
        "5 -> 12: 24 of 36 connections (evicted) replaced idle ones that had been closed to make room for other "
        "origins; with 12, each origin keeps as many as it ever had at a time");
    account.hour.held[HELD_BY_MAX_TOTAL] = 4;
    account.hour.load.needed = 20;
    ck_assert_ptr_nonnull(
        strstr(advised("maxTotalSockets"), "5 -> 25: 4 of 36 requests found all connections busy"));
    account_open(OPENED_FOR_CONCURRENCY, 100); /* as good as none was evicted: nothing needs to be kept */
    account.hour.load.needed = 6;
    ck_assert_ptr_nonnull(strstr(advised("maxTotalSockets"), "5 -> 8: 4 of 36 requests"));
    ck_assert_ptr_null(strstr(advised("maxTotalSockets"), "each origin"));
    policy.maxTotalSockets = COUNT_INFINITE; /* descriptors ran short */
    ck_assert_str_eq(advised("maxTotalSockets"), "");
}
END_TEST

START_TEST(max_free_sockets)
{
    account_begin();
    requested(100);
    account_open(OPENED_FOR_CONCURRENCY, 9);
    account_open(replaced(RETIRE_FREE_FULL), 2);
    account.most_sockets = 9;
    ck_assert_str_eq(advised("maxFreeSockets"), "");
    account_open(replaced(RETIRE_FREE_FULL), 1);
    ck_assert_str_eq(
        advised("maxFreeSockets"),
        "5 -> 9: 3 of 12 connections (free-full) replaced ones that had been closed because too many were "
        "idle; 9 were open at a time");
    account_open(OPENED_FOR_CONCURRENCY, 4); /* less than a fifth */
    ck_assert_str_eq(advised("maxFreeSockets"), "");
}
END_TEST

START_TEST(max_requests)
{
    account_begin();
    policy.maxRequestsPerSocket = 5;
    requested(20);
    account_open(OPENED_FOR_FIRST, 1);
    account_open(replaced(RETIRE_MAX_REQUESTS), 3);
    ck_assert_str_eq(
        advised("maxRequestsPerSocket"),
        "5 -> 50: 3 of 4 connections (max-requests) replaced ones that had carried as many requests as "
        "they may");
    policy.maxRequestsPerSocket = COUNT_INFINITE;
    ck_assert_str_eq(advised("maxRequestsPerSocket"), "");
}
END_TEST

START_TEST(longer_free)
{
    account_begin();
    requested(100);
    ck_assert_str_eq(advised("longer-free"), "");
    account_open(replaced(RETIRE_FREE_TIMEOUT), 60); /* one a minute */
    ck_assert_str_eq(
        advised("longer-free"),
        "\"30s\" -> \"90s\": 60 of 60 connections (free-timeout) replaced ones that had been idle for timeouts.free. "
        "A longer time helps only if the service, too, keeps idle connections for that long");
    account_open(replaced(RETIRE_FREE_TIMEOUT), 3600); /* twice at least */
    ck_assert_ptr_nonnull(strstr(advised("longer-free"), "\"30s\" -> \"1m\""));
    account_begin();
    requested(3);
    account_open(replaced(RETIRE_FREE_TIMEOUT), 3); /* not longer than connections live */
    ck_assert_ptr_nonnull(strstr(advised("longer-free"), "\"30s\" -> \"10m\""));
    policy.timeouts.free = 600000;
    ck_assert_str_eq(advised("longer-free"), "");
    policy.timeouts.free = 0;
    ck_assert_str_eq(advised("longer-free"), "");
}
END_TEST

START_TEST(shorter_free)
{
    account_begin();
    requested(24);
    account_open(OPENED_FOR_FIRST, 1);
    account_open(replaced(RETIRE_PEER_CLOSED), 5);
    ck_assert_str_eq(advised("shorter-free"), ""); /* it closes behind each response */
    account.hour.peer_closed = 5;
    account.hour.peer_closed_idle_ms = 5 * 5010;
    ck_assert_str_eq(
        advised("shorter-free"),
        "\"30s\" -> \"4s\": 5 of 6 connections (peer-closed) replaced ones that the service had closed after 5.0 s of "
        "idle time. Best: let the service keep them for longer than the pauses between requests (nginx: "
        "keepalive_timeout). Otherwise close them earlier here");
    account_open(replaced(RETIRE_GOAWAY), 5);
    account.hour.idle_goaways = 2; /* the others were for the number of requests */
    ck_assert_ptr_nonnull(strstr(advised("shorter-free"), ": 5 of 11 connections (peer-closed) replaced"));
    account.hour.idle_goaways = 5;
    ck_assert_ptr_nonnull(
        strstr(advised("shorter-free"), ": 5 of 11 connections (goaway) replaced ones that the "));
    account.hour.peer_closed_idle_ms = 5 * 1210; /* not below half of it */
    ck_assert_ptr_nonnull(strstr(advised("shorter-free"), "\"30s\" -> \"600ms\""));
    policy.timeouts.free = 500;
    ck_assert_str_eq(advised("shorter-free"), "");
    account.learned_ms = 70;
    account.hour.peer_closed_idle_ms = 5 * 150; /* never 0, which would be no limit */
    ck_assert_ptr_nonnull(strstr(advised("shorter-free"), "\"500ms\" -> \"70ms\""));
    ck_assert_ptr_nonnull(
        strstr(advised("shorter-free"), "; Carpool has learned to, but forgets it at a restart"));
}
END_TEST

START_TEST(connect_pool)
{
    account_begin();
    requested(12);
    ck_assert_str_eq(advised("connect-pool"), "");
    account.is_tunnel = true;
    ck_assert_ptr_nonnull(strstr(advised("connect-pool"), "\"tunnel\" -> \"pool\": 12 tunnels, each with"));
    policy.connect = CONNECT_IS_POOL; /* what its CA may not sign for */
    ck_assert_str_eq(advised("connect-pool"), "");
    policy.connect = CONNECT_IS_TUNNEL;
    account.hour.carried = 9; /* the others were refused */
    ck_assert_str_eq(advised("connect-pool"), "");
}
END_TEST

START_TEST(keep_alive_at_the_service)
{
    account_begin();
    requested(10);
    account_open(OPENED_FOR_FIRST, 1);
    account_open(replaced(RETIRE_CONNECTION_CLOSE), 9);
    ck_assert_str_eq(
        advised("keep-alive"),
        "\"close\" -> \"keep-alive\": it closes the connection each time, so that 10 requests opened 10 "
        "connections (nginx: keepalive_timeout; Apache: KeepAlive On)");
    account.hour.requests = 50; /* the others were refused */
    ck_assert_ptr_nonnull(strstr(advised("keep-alive"), "keep-alive"));
    requested(50); /* after five requests each */
    ck_assert_str_eq(advised("keep-alive"), "");
    account_begin();
    requested(10);
    account_open(replaced(RETIRE_PEER_CLOSED), 10); /* without saying so */
    ck_assert_ptr_nonnull(strstr(advised("keep-alive"), "keep-alive"));
    account.hour.peer_closed = 10;
    account.hour.peer_closed_idle_ms = 10 * 2000; /* while it was idle: that is another thing */
    ck_assert_str_eq(advised("keep-alive"), "");
    account_begin();
    requested(10);
    account_open(replaced(RETIRE_KEEPALIVE_OFF), 10); /* our own doing */
    ck_assert_str_eq(advised("keep-alive"), "");
}
END_TEST

START_TEST(is_written_as_json)
{
    struct fixture f;
    struct text t = {0};

    fixture_make(&f);
    advice_write(diagnosis_history(f.diagnosis), &f.daemon, 1000, &t);
    ck_assert_uint_eq(t.n, 3);
    ck_assert_int_eq(memcmp(t.p, "[]\n", 3), 0);
    f.origin.stats = (struct origin_stats){.requests = 10, .opened = 10};
    f.origin.stats.opened_for[OPENED_FOR_FIRST] = 1;
    f.origin.stats.opened_for[replaced(RETIRE_CONNECTION_CLOSE)] = 9;
    t.n = 0;
    advice_write(diagnosis_history(f.diagnosis), &f.daemon, 1000, &t);
    text_put(&t, (struct slice){"", 1});
    ck_assert_ptr_nonnull(
        strstr(t.p, "[{\"agent\":\"payments\",\"origin\":\"http://p.test:80\",\"option\":\"keepAlive at the "
                    "service\",\"now\":\"close\",\"suggested\":\"keep-alive\",\"why\":\"it closes"));
    text_free(&t);
    fixture_free(&f);
}
END_TEST

void add_advice_tests(Suite *suite)
{
    unit_group(suite, "advice", max_sockets, both_limits, max_total_sockets, max_free_sockets, max_requests,
               longer_free, shorter_free, connect_pool, keep_alive_at_the_service, is_written_as_json);
}
