/* Every rule of the diagnosis: when it speaks, what it says, and when it is silent. */

#include <stdio.h>

#include "admin_test.h"
#include "base/clock.h"
#include "unit.h"

/* What the rule says; "" when it is silent. */
static const char *said(const char *rule, struct diagnosis_input in)
{
    static char sentence[512];
    struct text t = {0};
    bool says;

    in.who = "payments";
    in.agent = "payments";
    says = diagnosis_rule_named(rule)->says(&in, &t);
    ck_assert(says == (t.n > 0));
    snprintf(sentence, sizeof sentence, "%.*s", (int)t.n, t.p ? t.p : "");
    text_free(&t);
    return sentence;
}

#define SAID(rule, ...) said(rule, (struct diagnosis_input){__VA_ARGS__})

START_TEST(paused)
{
    ck_assert_str_eq(SAID("paused", .paused = true, .pending = 3),
                     "payments: paused: 3 waiting; to go on: carpoolctl resume payments");
    ck_assert_str_eq(SAID("paused", .paused = true, .pending = 3, .refused = 2),
                     "payments: paused: 3 waiting, 2 refused; to go on: carpoolctl resume payments");
    ck_assert_str_eq(SAID("paused", .pending = 3), "");
}
END_TEST

START_TEST(certificate)
{
    const int64_t now = 1796083200; /* 2026-12-01 */

    ck_assert_str_eq(SAID("certificate", .now_s = now), "");
    ck_assert_str_eq(SAID("certificate", .certificate_file = "client.pem", .now_s = now,
                          .certificate_ends_s = now + 15 * 86400),
                     "");
    ck_assert_str_eq(SAID("certificate", .certificate_file = "client.pem", .now_s = now,
                          .certificate_ends_s = now + 3 * 86400 + 5),
                     "payments: client.pem expires 2026-12-04 (3 days): renew it, then reload");
    ck_assert_str_eq(SAID("certificate", .certificate_file = "client.pem", .now_s = now,
                          .certificate_ends_s = now + 2 * 86400 - 60),
                     "payments: client.pem expires 2026-12-02 (47 h 59 min): renew it, then reload");
    ck_assert_str_eq(
        SAID("certificate", .certificate_file = "client.pem", .now_s = now, .certificate_ends_s = now - 5),
        "payments: client.pem expired 2026-11-30: renew it, then reload");
}
END_TEST

START_TEST(connect_tls)
{
    struct text ca = {.p = (char *)"http://a/ca.pem", .n = 15};
    const int64_t now = 1796083200; /* 2026-12-01 */

    ck_assert_str_eq(SAID("ca-ends", .now_s = now), "");
    ck_assert_str_eq(SAID("ca-ends", .ca_file = "ca.pem", .now_s = now, .ca_ends_s = now + 31 * 86400), "");
    ck_assert_str_eq(SAID("ca-ends", .ca_file = "ca.pem", .now_s = now, .ca_ends_s = now + 3 * 86400 + 5),
                     "payments: the CA ca.pem expires 2026-12-04 (3 days): make a new one with carpoolctl ca "
                     "create, make the clients trust it, then reload");
    ck_assert_str_eq(
        SAID("ca-ends", .ca_file = "ca.pem", .now_s = now, .ca_ends_s = now - 5),
        "payments: the CA ca.pem expired 2026-11-30: make a new one with carpoolctl ca create, make "
        "the clients trust it, then reload");
    ck_assert_str_eq(SAID("distrusted", .now_s = now), "");
    ck_assert_str_eq(
        SAID("distrusted", .distrusts = 12, .ca_path = &ca, .distrusting = "cron"),
        "payments: 12 clients do not trust Carpool's CA: make them trust http://a/ca.pem (carpoolctl run "
        "does), or set connect: tunnel where apps pin certificates; the caller of one of them is cron");
    ck_assert_ptr_nonnull(
        strstr(SAID("distrusted", .distrusts = 1, .ca_path = &ca), "1 client does not trust"));
    ck_assert_str_eq(SAID("distrusted", .distrusts = 1, .ca_path = &ca, .distrusting = "cron"),
                     "payments: 1 client (caller: cron) does not trust Carpool's CA: make it trust "
                     "http://a/ca.pem (carpoolctl run does), or set connect: tunnel where apps pin "
                     "certificates");
}
END_TEST

START_TEST(refused)
{
    ck_assert_str_eq(
        SAID("refused", .requests = 20, .refused = 12, .queue_full = 12, .max_pending = 3, .sockets = 2,
             .max_sockets = 2, .agent_sockets = 2, .max_total = 1000),
        "payments: in the last 1 to 2 minutes, 12 of 20 requests refused while both connections were busy (maxSockets), because 3 "
        "were waiting already (maxPendingRequests): raise maxSockets, or find out why the service is slow");
    ck_assert_str_eq(
        SAID("refused", .requests = 20, .refused = 1, .queue_full = 1, .max_sockets = 1, .max_total = 1000),
        "payments: in the last 1 to 2 minutes, 1 of 20 requests refused while the only connection was busy (maxSockets), because there is no queue "
        "(maxPendingRequests is 0): raise maxSockets, or find out why the service is slow");
    ck_assert_str_eq(
        SAID("refused", .requests = 20, .refused = 12, .queue_full = 2, .max_pending = 1,
             .pending_limit_ms = 30000, .sockets = 2, .max_sockets = COUNT_INFINITE, .agent_sockets = 50,
             .max_total = 50),
        "payments: in the last 1 to 2 minutes, 12 of 20 requests refused while all 50 connections were busy (maxTotalSockets), 2 because "
        "1 was waiting already (maxPendingRequests), 10 after waiting 30s (timeouts.pending): raise "
        "maxTotalSockets, or find out why the service is slow");
    /* A host that cannot be reached: no connection was busy, and more of them would wait as long. */
    ck_assert_str_eq(
        SAID("refused", .requests = 16, .refused = 10, .queue_full = 10, .max_pending = 2, .sockets = 1,
             .connecting = 1, .agent_sockets = 1, .max_sockets = 1, .max_total = 1000,
             .retired = {[RETIRE_CONNECT_TIMEOUT] = 2}),
        "payments: in the last 1 to 2 minutes, 10 of 16 requests refused while the only connection was being opened "
        "(maxSockets), because 2 were waiting already (maxPendingRequests): find out why connecting fails or takes so "
        "long");
    ck_assert_ptr_nonnull(
        strstr(SAID("refused", .requests = 16, .refused = 10, .queue_full = 10, .max_sockets = 2,
                    .max_total = 1000, .retired = {[RETIRE_CONNECT_TIMEOUT] = 2}),
               "while both connections were being opened (maxSockets)"));
    ck_assert_ptr_nonnull(
        strstr(SAID("refused", .requests = 16, .refused = 10, .queue_full = 10, .max_sockets = 1,
                    .max_total = 1000, .opened = 1, .retired = {[RETIRE_CONNECT_TIMEOUT] = 2}),
               "while the only connection was busy (maxSockets)"));
    ck_assert_ptr_nonnull(strstr(SAID("refused", .requests = 16, .refused = 10, .queue_full = 10,
                                      .max_sockets = 1, .max_total = 1000, .sockets = 1, .agent_sockets = 1,
                                      .retired = {[RETIRE_CONNECT_TIMEOUT] = 2}),
                                 "while the only connection was busy (maxSockets)"));
    ck_assert_str_eq(SAID("refused", .requests = 20), "");
    ck_assert_str_eq(SAID("refused", .paused = true, .requests = 20, .refused = 12), "");
}
END_TEST

#define FULL .sockets = 20, .max_sockets = 20, .max_total = 100

/* maxTotalSockets is the smaller one, or full, too: to raise maxSockets alone would change nothing. */
START_TEST(both_limits)
{
    ck_assert_ptr_nonnull(strstr(SAID("waiting", .pending = 6, .saturated_ms = 2000, .sockets = 4,
                                      .max_sockets = 4, .agent_sockets = 4, .max_total = 4),
                                 "all 4 connections busy (maxSockets and maxTotalSockets) for 2.0 s: raise "
                                 "maxSockets and maxTotalSockets, or"));
    ck_assert_ptr_nonnull(strstr(SAID("waiting", .pending = 6, .saturated_ms = 2000, .sockets = 4,
                                      .max_sockets = 4, .agent_sockets = 8, .max_total = 8),
                                 ": raise maxSockets and maxTotalSockets, or"));
    ck_assert_ptr_nonnull(strstr(
        SAID("refused", .requests = 20, .refused = 12, .queue_full = 12, .max_sockets = 5, .max_total = 4),
        "all 4 connections were busy (maxTotalSockets), because"));
}
END_TEST

START_TEST(waiting)
{
    ck_assert_str_eq(SAID("waiting", .pending = 12, .saturated_ms = 30500, FULL),
                     "payments: 12 requests waiting, all 20 connections busy (maxSockets) for 30 s: raise "
                     "maxSockets, or find out why the service is slow");
    ck_assert_str_eq(
        SAID("waiting", .pending = 1, .saturated_ms = 2000, .sockets = 1, .connecting = 1, .agent_sockets = 1,
             .max_sockets = 1, .max_total = 100),
        "payments: 1 request waiting, the only connection being opened (maxSockets) for 2.0 s: find out "
        "why connecting fails or takes so long");
    ck_assert_str_eq(
        SAID("waiting", .pending = 1, .sockets = 1, .max_sockets = 20, .agent_sockets = 50, .max_total = 50,
             .saturated_ms = 2000),
        "payments: 1 request waiting, all 50 connections busy (maxTotalSockets) for 2.0 s: raise "
        "maxTotalSockets, or find out why the service is slow");
    /* Over HTTP/2 */
    ck_assert_str_eq(
        SAID("waiting", .pending = 3, .saturated_ms = 2000, .sockets = 1, .in_flight = 20,
             .streams_each = 100, .max_sockets = 20, .max_total = COUNT_INFINITE),
        "payments: 3 requests waiting, 20 in flight over HTTP/2 (maxSockets limits these, too) for 2.0 s: "
        "raise maxSockets, or find out why the service is slow");
    ck_assert_str_eq(
        SAID("waiting", .pending = 3, .saturated_ms = 2000, .sockets = 2, .agent_sockets = 2, .in_flight = 8,
             .streams_each = 4, .max_sockets = 20, .max_total = 2, .held_by = HELD_BY_MAX_TOTAL),
        "payments: 3 requests waiting, both connections busy (maxTotalSockets; over HTTP/2 each takes 4 at a "
        "time) for 2.0 s: raise maxTotalSockets, or find out why the service is slow");
    ck_assert_str_eq(
        SAID("waiting", .pending = 3, .saturated_ms = 2000, .sockets = 1, .max_sockets = 20,
             .max_total = COUNT_INFINITE, .held_by = HELD_BY_STREAMS),
        "payments: 3 requests waiting, the origin takes 0 at a time on each of its HTTP/2 connections "
        "(SETTINGS_MAX_CONCURRENT_STREAMS) for 2.0 s: raise that limit, or find out why the service is slow");
    ck_assert_str_eq(SAID("waiting", .pending = 12, .saturated_ms = 900, FULL), "");
    ck_assert_str_eq(SAID("waiting", .pending = 0, .saturated_ms = 9000, FULL), "");
    ck_assert_str_eq(SAID("waiting", .pending = 1, .saturated_ms = 9000, .paused = true, FULL), "");
    ck_assert_str_eq(SAID("waiting", .pending = 1, .saturated_ms = 9000, .refused = 1, FULL), "");
}
END_TEST

#define CLOSE "the origin answers with Connection: close (or with HTTP/1.0): switch keep-alive on there"

START_TEST(no_reuse)
{
    ck_assert_str_eq(SAID("no-reuse", .requests = 10, .retired = {[RETIRE_CONNECTION_CLOSE] = 9}),
                     "payments: no connection is used again, because " CLOSE);
    ck_assert_str_eq(
        SAID("no-reuse", .requests = 10, .retired = {[RETIRE_KEEPALIVE_OFF] = 10}),
        "payments: no connection is used again, because keepAlive is false: set it to true if the service can "
        "keep connections");
    ck_assert_str_eq(
        SAID("no-reuse", .requests = 10, .reused = 1, .retired = {[RETIRE_CONNECTION_CLOSE] = 9}), "");
    ck_assert_str_eq(SAID("no-reuse", .requests = 2, .retired = {[RETIRE_CONNECTION_CLOSE] = 2}), "");
    ck_assert_str_eq(SAID("no-reuse", .requests = 100, .retired = {[RETIRE_CONNECTION_CLOSE] = 9}), "");
}
END_TEST

/* Counter-examples: the same figures where the option is not the cause. */
START_TEST(no_reuse_does_not_guess)
{
    ck_assert_str_eq(SAID("no-reuse", .requests = 10, .retired = {[RETIRE_FREE_FULL] = 9}),
                     "payments: no connection is used again, because maxFreeSockets is 0: raise it");
    ck_assert_str_eq(SAID("no-reuse", .requests = 10, .max_free = 1, .retired = {[RETIRE_FREE_FULL] = 9}),
                     ""); /* ten at once */
    ck_assert_str_eq(SAID("no-reuse", .requests = 10, .max_requests_per_socket = 1,
                          .retired = {[RETIRE_MAX_REQUESTS] = 9}),
                     "payments: no connection is used again, because maxRequestsPerSocket is 1: raise it");
    ck_assert_str_eq(SAID("no-reuse", .requests = 10, .max_requests_per_socket = 9,
                          .retired = {[RETIRE_MAX_REQUESTS] = 9}),
                     ""); /* raised meanwhile */
    ck_assert_str_eq(
        SAID("no-reuse", .requests = 10, .keep_alive = true, .retired = {[RETIRE_KEEPALIVE_OFF] = 9}), "");
}
END_TEST

#define PEER_CLOSED(part, idle)                   \
    "payments: in the last 1 to 2 minutes, " part \
    " closed connections were closed by the origin after " idle " idle on average: "

START_TEST(peer_closed)
{
    ck_assert_str_eq(
        SAID("peer-closed", .requests = 500,
             .retired = {[RETIRE_PEER_CLOSED] = 41, [RETIRE_FREE_TIMEOUT] = 59}, .peer_closed_idle_ms = 5012),
        PEER_CLOSED("41 of 100",
                    "5.0 s") "raise its keep-alive time, or have it announce that (Keep-Alive: timeout=N)");
    ck_assert_str_eq(
        SAID("peer-closed", .requests = 500, .retired = {[RETIRE_PEER_CLOSED] = 41},
             .peer_closed_idle_ms = 1),
        PEER_CLOSED("41 of 41", "1.0 ms") "switch keep-alive on there, or have it say Connection: close");
    ck_assert_str_eq(SAID("peer-closed", .requests = 500,
                          .retired = {[RETIRE_PEER_CLOSED] = 19, [RETIRE_FREE_TIMEOUT] = 81}),
                     "");
    /* A connect that failed made no connection that could be closed. */
    ck_assert_str_eq(
        SAID("peer-closed", .requests = 500, .opened = 50,
             .retired = {[RETIRE_PEER_CLOSED] = 4, [RETIRE_CONNECT_FAILED] = 5, [RETIRE_CONNECT_TIMEOUT] = 6},
             .peer_closed_idle_ms = 558),
        PEER_CLOSED("4 of 4", "558 ms") "raise its keep-alive time, or have it announce that "
                                        "(Keep-Alive: timeout=N)");
    /* The service is gone: its keep-alive time is not what is wrong. */
    ck_assert_str_eq(SAID("peer-closed", .requests = 18, .opened = 4, .peer_closed_idle_ms = 558,
                          .retired = {[RETIRE_PEER_CLOSED] = 4, [RETIRE_CONNECT_FAILED] = 6}),
                     "");
    /* HTTP/2's way, of which HTTP/2 has nothing to announce. */
    ck_assert_str_eq(SAID("peer-closed", .requests = 20, .idle_goaways = 4, .retired = {[RETIRE_GOAWAY] = 5},
                          .peer_closed_idle_ms = 3012),
                     PEER_CLOSED("4 of 5", "3.0 s") "raise its keep-alive time");
    /* It is learned now, and will not go on. */
    ck_assert_str_eq(SAID("peer-closed", .requests = 500, .retired = {[RETIRE_PEER_CLOSED] = 41},
                          .peer_closed_idle_ms = 5012, .learned_ms = 4000, .origin_idle_ms = 5000),
                     "");
}
END_TEST

START_TEST(learned)
{
    ck_assert_str_eq(
        SAID("learned", .requests = 500, .retired = {[RETIRE_LEARNED] = 30, [RETIRE_FREE_TIMEOUT] = 70},
             .learned_ms = 4000, .origin_idle_ms = 5000),
        "payments: in the last 1 to 2 minutes, 30 of 100 closed connections were closed by Carpool after 4.0 s idle, because the origin "
        "closes them after 5.0 s: raise the origin's keep-alive time");
    ck_assert_str_eq(SAID("learned", .requests = 500, .retired = {[RETIRE_LEARNED] = 30}),
                     ""); /* forgotten */
    ck_assert_str_eq(SAID("learned", .requests = 500, .retired = {[RETIRE_FREE_TIMEOUT] = 30},
                          .learned_ms = 4000, .origin_idle_ms = 5000),
                     "");
}
END_TEST

#define DEAD(n)                                                                                   \
    "payments: in the last 1 to 2 minutes, the origin's host acknowledged nothing any more on " n \
    " connections: it is gone, or a "                                                             \
    "firewall, NAT or load balancer forgets connections that are idle; then set timeouts.free below its limit"

START_TEST(dead_paths)
{
    ck_assert_str_eq(SAID("dead-path", .reused = 10000, .reused_errors = 9, .dead_errors = 3), DEAD("3"));
    ck_assert_str_eq(SAID("dead-path", .retired = {[RETIRE_DEAD] = 4}), DEAD("4"));
    ck_assert_str_eq(SAID("dead-path", .reused_errors = 9, .dead_errors = 2), "");
    /* Not what the origin closed. */
    ck_assert_str_eq(SAID("stale", .reused = 100, .reused_errors = 5, .dead_errors = 5), "");
}
END_TEST

START_TEST(http2)
{
    ck_assert_str_eq(
        SAID("goaway", .requests = 52, .retired = {[RETIRE_GOAWAY] = 10}),
        "payments: the origin ends connections of HTTP/2 after few requests (GOAWAY); none is lost by that, "
        "but each new connection costs a handshake: raise its limit (nginx: keepalive_requests)");
    ck_assert_str_eq(SAID("goaway", .requests = 1000, .retired = {[RETIRE_GOAWAY] = 10}), "");
    ck_assert_str_eq(SAID("goaway", .requests = 4, .retired = {[RETIRE_GOAWAY] = 2}), "");
    ck_assert_ptr_nonnull(
        strstr(SAID("goaway", .requests = 52, .idle_goaways = 7, .retired = {[RETIRE_GOAWAY] = 10}),
               "after few requests (GOAWAY);"));
    ck_assert_str_eq(SAID("goaway", .requests = 52, .idle_goaways = 8, .retired = {[RETIRE_GOAWAY] = 10}),
                     "");
    ck_assert_str_eq(
        SAID("ping-timeout", .requests = 52, .retired = {[RETIRE_PING_TIMEOUT] = 1, [RETIRE_MAX_AGE] = 7}),
        "payments: in the last 1 to 2 minutes, PINGs went unanswered on 1 HTTP/2 connection (ping-timeout): the origin, or a firewall, NAT or load "
        "balancer on the way, stopped answering");
    ck_assert_str_eq(
        SAID("ping-timeout", .requests = 52, .retired = {[RETIRE_PING_TIMEOUT] = 1, [RETIRE_MAX_AGE] = 70}),
        "");
}
END_TEST

START_TEST(shares)
{
    ck_assert_str_eq(
        SAID("free-full", .requests = 10, .max_free = 1, .retired = {[RETIRE_FREE_FULL] = 3}),
        "payments: in the last 1 to 2 minutes, 3 of 3 closed connections were closed as free-full: raise maxFreeSockets");
    ck_assert_str_eq(SAID("free-full", .requests = 10, .retired = {[RETIRE_FREE_FULL] = 3}), "");
    ck_assert_str_eq(
        SAID("evicted", .requests = 10, .max_total = 2, .agent_sockets = 2,
             .retired = {[RETIRE_EVICTED] = 3, [RETIRE_MAX_AGE] = 3}),
        "payments: in the last 1 to 2 minutes, 3 of 6 closed connections made room for others, as maxTotalSockets is 2: raise it");
    ck_assert_str_eq(
        SAID("evicted", .requests = 10, .max_total = 1000, .retired = {[RETIRE_EVICTED] = 3}),
        "payments: in the last 1 to 2 minutes, 3 of 3 closed connections made room for others: raise maxTotalSockets (it is 1000), "
        "or the limit of open files if the log says that descriptors ran out");
    ck_assert_str_eq(
        SAID("evicted", .requests = 10, .max_total = COUNT_INFINITE, .retired = {[RETIRE_EVICTED] = 3}),
        "payments: in the last 1 to 2 minutes, 3 of 3 closed connections made room for others when descriptors ran short: raise "
        "the limit of open files (LimitNOFILE)");
    ck_assert_str_eq(
        SAID("max-requests", .requests = 10, .reused = 5, .retired = {[RETIRE_MAX_REQUESTS] = 5}),
        "payments: in the last 1 to 2 minutes, 5 of 5 closed connections were closed as max-requests: raise maxRequestsPerSocket");
    ck_assert_str_eq(
        SAID("max-requests", .requests = 1000, .reused = 990, .retired = {[RETIRE_MAX_REQUESTS] = 10}), "");
    ck_assert_str_eq(
        SAID("uncompressed", .requests = 30, .texts = 20, .texts_plain = 20),
        "payments: in the last 1 to 2 minutes, none of 20 text responses was compressed though clients accept gzip: stock nginx and IIS "
        "do not compress where there is a Via; set gzip_proxied any there, or via: false here");
    ck_assert_str_eq(
        SAID("repaired", .requests = 3, .repaired = 2, .repairs = {[REPAIR_BARE_LF] = 2, [REPAIR_FOLD] = 1}),
        "payments: in the last 1 to 2 minutes, insecureHTTPParser repaired 2 malformed responses, each at the price of a connection (lines that end "
        "with LF alone, fields that go on in the next line): have the service fixed");
    ck_assert_str_eq(SAID("repaired", .requests = 3), "");
    ck_assert_str_eq(SAID("uncompressed", .requests = 30, .texts = 19, .texts_plain = 19), "");
    ck_assert_str_eq(SAID("uncompressed", .requests = 30, .texts = 30, .texts_plain = 29), "");
}
END_TEST

START_TEST(failures)
{
    ck_assert_str_eq(
        SAID("connect-fails", .opened = 3, .retired = {[RETIRE_CONNECT_FAILED] = 5},
             .connect_failure = "cannot connect to 127.0.0.1:18080: connection refused"),
        "payments: cannot connect to 127.0.0.1:18080: connection refused (at 00:00:00 UTC, the latest of 5 failures in 8 "
        "attempts of the last 1 to 2 minutes); is the service running and listening there?");
    ck_assert_str_eq(
        SAID("connect-fails", .opened = 8, .retired = {[RETIRE_CONNECT_FAILED] = 530}, .connects_again = true,
             .connect_failed_wall_ms = 36072900,
             .connect_failure = "cannot connect to 127.0.0.1:18080: connection refused"),
        "payments: connections can be opened again, but 530 of 538 attempts failed in the last 1 to 2 minutes, the last one "
        "at 10:01:12 UTC: cannot connect to 127.0.0.1:18080: connection refused; details: carpoolctl errors payments");
    ck_assert_str_eq(
        SAID("connect-fails", .opened = 6000,
             .retired = {[RETIRE_CONNECT_FAILED] = 3000, [RETIRE_CONNECT_TIMEOUT] = 1}),
        "payments: cannot connect (the latest of 3,001 failures in 9,001 attempts of the last 1 to 2 minutes); details: carpoolctl "
        "errors payments");
    ck_assert_ptr_nonnull(strstr(
        SAID("connect-fails", .by_parent = true, .retired = {[RETIRE_CONNECT_FAILED] = 5},
             .connect_failure = "cannot connect to the parent proxy 127.0.0.1:3999: connection refused"),
        "; is that proxy running and listening there?"));
    ck_assert_str_eq(SAID("connect-fails", .opened = 100, .retired = {[RETIRE_CONNECT_FAILED] = 4}), "");
    ck_assert_str_eq(
        SAID("stale", .reused = 100, .reused_errors = 5),
        "payments: in the last 1 to 2 minutes, 5 times a connection that a request used again was closed by the origin before it answered. "
        "Requests that are safe to repeat were sent again, others failed. If these connections had been idle for long "
        "(idleMs in the log), set timeouts.free below the time after which the origin closes idle ones; if not, see the service's log");
    ck_assert_str_eq(SAID("stale", .reused = 10000, .reused_errors = 5), "");
    ck_assert_str_eq(
        SAID("failing", .requests = 9, .errors = {[PROXY_ERROR_TERMINATED] = 4, [PROXY_ERROR_PROTOCOL] = 1}),
        "payments: in the last 1 to 2 minutes, 5 of 9 requests failed: 4 because the origin closed or reset the connection before its response was "
        "complete, 1 because the origin's response was malformed; details: carpoolctl errors payments");
    ck_assert_str_eq(
        SAID("failing", .requests = 9, .errors = {[PROXY_ERROR_PROTOCOL] = 3, [PROXY_ERROR_LIMIT] = 6}),
        "payments: in the last 1 to 2 minutes, 3 of 9 requests failed because the origin's response was malformed; details: carpoolctl errors "
        "payments");
    ck_assert_str_eq(SAID("failing", .requests = 9, .errors = {[PROXY_ERROR_REFUSED] = 9},
                          .retired = {[RETIRE_CONNECT_FAILED] = 9}),
                     "");
    ck_assert_str_eq(SAID("failing", .requests = 99, .errors = {[PROXY_ERROR_PROTOCOL] = 4}), "");
    ck_assert_str_eq(
        SAID("failing-elsewhere", .requests = 9,
             .errors = {[PROXY_ERROR_DNS] = 4, [PROXY_ERROR_REFUSED] = 1, [PROXY_ERROR_LOOP] = 4}),
        "payments: in the last 1 to 2 minutes, 9 of 9 requests to origins since forgotten (*) failed: 4 proxy_loop_detected, 4 dns_error, "
        "1 connection_refused; details: carpoolctl errors payments");
    ck_assert_str_eq(SAID("failing-elsewhere", .requests = 99, .errors = {[PROXY_ERROR_DNS] = 19}), "");
    ck_assert_str_eq(SAID("failing-elsewhere", .requests = 9, .errors = {[PROXY_ERROR_DENIED] = 9}), "");
    ck_assert_ptr_nonnull(
        strstr(SAID("failing-elsewhere", .requests = 9, .errors = {[PROXY_ERROR_LOOP] = 9}),
               "9 of 9 requests to origins since forgotten (*) failed: 9 proxy_loop_detected;"));
    /* Refusals are told by themselves, from the first. */
    ck_assert_str_eq(SAID("failing-elsewhere", .requests = 9, .errors = {[PROXY_ERROR_LIMIT] = 9}), "");
    ck_assert_str_eq(
        SAID("refused-elsewhere", .requests = 6000, .refused = 1),
        "payments: in the last 1 to 2 minutes, 1 of 6,000 requests to origins since forgotten (*) was refused by a limit: raise maxSockets or "
        "maxTotalSockets, or find out why the service is slow or cannot be reached; details: carpoolctl errors payments");
    ck_assert_str_eq(SAID("refused-elsewhere", .requests = 60, .refused = 15, .paused = true), "");
    ck_assert_str_eq(SAID("refused-elsewhere", .requests = 60), "");
}
END_TEST

/* "No problems" where each request failed: two of them so, and two otherwise. */
START_TEST(failures_of_several_kinds)
{
    ck_assert_str_eq(
        SAID("failing", .requests = 4,
             .errors = {[PROXY_ERROR_TERMINATED] = 2, [PROXY_ERROR_RESPONSE_TIMEOUT] = 2}),
        "payments: in the last 1 to 2 minutes, 4 of 4 requests failed: 2 because the origin closed or reset the "
        "connection before its response was complete, 2 because timeouts.request ran out; details: carpoolctl errors "
        "payments");
    ck_assert_ptr_nonnull(strstr(SAID("failing", .requests = 4,
                                      .errors = {[PROXY_ERROR_PROTOCOL] = 2, [PROXY_ERROR_READ_TIMEOUT] = 2}),
                                 "4 of 4 requests failed"));
    ck_assert_ptr_nonnull(
        strstr(SAID("failing", .requests = 4, .retired = {[RETIRE_CONNECT_FAILED] = 2}, .opened = 2,
                    .errors = {[PROXY_ERROR_REFUSED] = 2, [PROXY_ERROR_WRITE_TIMEOUT] = 1}),
               "3 of 4 requests failed: 2 because the connection was refused, 1 because"));
    /* Each kind once: what another rule tells is not told again. */
    ck_assert_str_eq(SAID("failing", .requests = 5,
                          .errors = {[PROXY_ERROR_TERMINATED] = 2, [PROXY_ERROR_READ_TIMEOUT] = 3}),
                     "");
    ck_assert_str_eq(SAID("failing", .requests = 6, .retired = {[RETIRE_PING_TIMEOUT] = 1},
                          .errors = {[PROXY_ERROR_TERMINATED] = 2, [PROXY_ERROR_READ_TIMEOUT] = 4}),
                     "");
    ck_assert_str_eq(SAID("failing", .requests = 6, .paused = true, .timed_out_waiting = 4,
                          .errors = {[PROXY_ERROR_TERMINATED] = 2, [PROXY_ERROR_RESPONSE_TIMEOUT] = 4}),
                     "");
    /* Nor what clients have done, or a limit refused. */
    ck_assert_str_eq(
        SAID("failing", .requests = 9,
             .errors = {[PROXY_ERROR_TERMINATED] = 2, [PROXY_ERROR_REQUEST] = 3, [PROXY_ERROR_LIMIT] = 4}),
        "");
}
END_TEST

/* What kept connections from being opened is told once: by the failed connects, where there were any. */
START_TEST(failures_without_a_connection)
{
    ck_assert_str_eq(SAID("failing", .requests = 3, .errors = {[PROXY_ERROR_PROHIBITED] = 3},
                          .retired = {[RETIRE_CONNECT_FAILED] = 3}),
                     "");
    ck_assert_str_eq(
        SAID("failing", .requests = 3, .errors = {[PROXY_ERROR_PROHIBITED] = 3}),
        "payments: in the last 1 to 2 minutes, 3 of 3 requests failed because the host's address is in "
        "access.denyAddresses; details: carpoolctl errors payments");
    ck_assert_str_eq(SAID("failing", .requests = 3, .errors = {[PROXY_ERROR_LOOP] = 3},
                          .retired = {[RETIRE_CONNECT_FAILED] = 3}),
                     "");
    ck_assert_str_eq(SAID("failing", .requests = 3, .errors = {[PROXY_ERROR_LOOP] = 3}),
                     "payments: in the last 1 to 2 minutes, 3 of 3 requests failed because of a loop back to "
                     "Carpool itself; details: carpoolctl errors payments");
    /* The handshake was cut, the parent proxy refused: an open connection may meet that, too. */
    ck_assert_str_eq(SAID("failing", .requests = 7,
                          .errors = {[PROXY_ERROR_TERMINATED] = 4, [PROXY_ERROR_INTERNAL] = 3},
                          .retired = {[RETIRE_CONNECT_FAILED] = 7}),
                     "");
    ck_assert_ptr_nonnull(strstr(SAID("failing", .requests = 7, .errors = {[PROXY_ERROR_TERMINATED] = 4},
                                      .retired = {[RETIRE_CONNECT_FAILED] = 4}, .opened = 1),
                                 "4 of 7 requests failed because the origin closed or reset"));
}
END_TEST

/* Those whose time ran out in the queue failed as much as those of a slow service. */
START_TEST(timeouts)
{
    ck_assert_str_eq(
        SAID("timeouts", .requests = 20,
             .errors = {[PROXY_ERROR_READ_TIMEOUT] = 2,
                        [PROXY_ERROR_WRITE_TIMEOUT] = 1,
                        [PROXY_ERROR_RESPONSE_TIMEOUT] = 2}),
        "payments: in the last 1 to 2 minutes, 5 of 20 requests ran into timeouts.socket or timeouts.request: find out why the service is "
        "slow, or raise them");
    ck_assert_str_eq(
        SAID("timeouts", .requests = 20, .errors = {[PROXY_ERROR_RESPONSE_TIMEOUT] = 20}),
        "payments: in the last 1 to 2 minutes, 20 of 20 requests ran into timeouts.request: find out why the service is slow, "
        "or raise it");
    ck_assert_str_eq(
        SAID("timeouts", .requests = 12, .errors = {[PROXY_ERROR_RESPONSE_TIMEOUT] = 10},
             .timed_out_waiting = 7, .sockets = 2, .max_sockets = 2, .max_total = 1000),
        "payments: in the last 1 to 2 minutes, 10 of 12 requests ran into timeouts.request, 7 of them after waiting for most of that time while "
        "both connections were busy (maxSockets): raise maxSockets, or find out why the service is slow");
    ck_assert_ptr_nonnull(
        strstr(SAID("timeouts", .requests = 12, .errors = {[PROXY_ERROR_RESPONSE_TIMEOUT] = 10},
                    .timed_out_waiting = 4, .max_sockets = 2, .max_total = 1000),
               "busy (maxSockets): find out why the service is slow, or raise it"));
    ck_assert_str_eq(SAID("timeouts", .paused = true, .requests = 12, .timed_out_waiting = 8,
                          .errors = {[PROXY_ERROR_RESPONSE_TIMEOUT] = 10}),
                     "");
    ck_assert_str_eq(SAID("timeouts", .requests = 1000, .errors = {[PROXY_ERROR_READ_TIMEOUT] = 3}), "");
    /* Of unanswered PINGs another row tells. */
    ck_assert_str_eq(SAID("timeouts", .requests = 9, .errors = {[PROXY_ERROR_READ_TIMEOUT] = 3},
                          .retired = {[RETIRE_PING_TIMEOUT] = 1}),
                     "");
}
END_TEST

START_TEST(all_rows_have_a_name)
{
    for (unsigned i = 0; i < diagnosis_rule_count; i++)
        ck_assert_ptr_eq(diagnosis_rule_named(diagnosis_rules[i].name), &diagnosis_rules[i]);
}
END_TEST

/* The whole way */

static const char *written(struct fixture *f)
{
    static char out[4096];
    struct text t = {0};

    diagnosis_write(f->diagnosis, &f->agent, &t);
    snprintf(out, sizeof out, "%.*s", (int)t.n, t.p);
    text_free(&t);
    return out;
}

START_TEST(silent_when_all_is_well)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){.requests = 1000, .reused = 990, .first_uses = 10, .opened = 10};
    diagnosis_sample(f.diagnosis);
    ck_assert_str_eq(written(&f), "[]");
    fixture_free(&f);
}
END_TEST

START_TEST(sees_a_small_pool)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.active_count = 20;
    f.origin.blocked_count = 1;
    f.waiting.pending.us = clock_us() - 12100 * 1000;
    TAILQ_INSERT_TAIL(&f.origin.blocked, &f.waiting, link);
    ck_assert_str_eq(
        written(&f),
        "[\"payments: 1 request waiting, all 20 connections busy (maxSockets) for 12 s: raise maxSockets, or find "
        "out why the service is slow\"]");
    f.origin.active_count = 19;
    ck_assert_str_eq(written(&f), "[]");
    fixture_free(&f);
}
END_TEST

START_TEST(counts_refusals_of_a_pause)
{
    struct fixture f;

    fixture_make(&f);
    f.agent.paused = true;
    f.origin.stats = (struct origin_stats){.requests = 5, .errors = {[PROXY_ERROR_LIMIT] = 4}};
    ck_assert_str_eq(written(&f), "[\"payments: paused: 0 waiting, 4 refused; to go on: carpoolctl resume "
                                  "payments\"]");
    fixture_free(&f);
}
END_TEST

/* "10 of 14 requests refused while all 3 connections were busy": there were 2. */
START_TEST(refusals_of_other_limits_do_not_count)
{
    struct fixture f;

    fixture_make(&f);
    f.policy.maxSockets = 2;
    f.origin.stats = (struct origin_stats){.requests = 14, .errors = {[PROXY_ERROR_LIMIT] = 10}};
    diagnosis_sample(f.diagnosis);
    ck_assert_ptr_nonnull(
        strstr(written(&f),
               "payments: in the last 1 to 2 minutes, 10 of 14 requests refused while both connections"));
    f.policy.maxSockets = 3;
    ck_assert_str_eq(written(&f), "[]");
    diagnosis_sample(f.diagnosis);
    ck_assert_str_eq(written(&f), "[]");
    f.origin.stats.requests += 4;
    f.origin.stats.errors[PROXY_ERROR_LIMIT]++;
    ck_assert_ptr_nonnull(
        strstr(written(&f),
               "payments: in the last 1 to 2 minutes, 1 of 4 requests refused while all 3 connections"));
    fixture_free(&f);
}
END_TEST

/* Of two that were refused at once, one has its answer: none was refused after a wait. */
START_TEST(refusals_that_are_not_answered_yet)
{
    struct fixture f;

    fixture_make(&f);
    f.policy.maxSockets = 2;
    f.policy.maxPendingRequests = 0;
    f.origin.stats =
        (struct origin_stats){.requests = 4, .queue_full = 2, .errors = {[PROXY_ERROR_LIMIT] = 1}};
    ck_assert_str_eq(
        written(&f),
        "[\"payments: in the last 1 to 2 minutes, 1 of 4 requests refused while both connections were busy "
        "(maxSockets), because there is no queue (maxPendingRequests is 0): raise "
        "maxSockets, or find out why the service is slow\"]");
    fixture_free(&f);
}
END_TEST

/* They had waited, but for no time limit. */
START_TEST(refusals_of_those_that_lost_their_place)
{
    struct fixture f;

    fixture_make(&f);
    f.policy.maxSockets = 2;
    f.policy.maxPendingRequests = 3;
    f.origin.stats = (struct origin_stats){
        .requests = 9, .queue_full = 1, .displaced = 2, .errors = {[PROXY_ERROR_LIMIT] = 3}};
    ck_assert_str_eq(
        written(&f),
        "[\"payments: in the last 1 to 2 minutes, 3 of 9 requests refused while both connections were busy "
        "(maxSockets), because 3 were waiting already (maxPendingRequests): raise "
        "maxSockets, or find out why the service is slow\"]");
    fixture_free(&f);
}
END_TEST

/* Those that fail in this window began before it: "4 of 0 requests". */
START_TEST(failures_are_compared_with_what_ended)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){.requests = 6};
    diagnosis_sample(f.diagnosis);
    diagnosis_end_window(f.diagnosis);
    f.origin.stats.errors[PROXY_ERROR_LIMIT] = 4;
    f.origin.stats.client_aborts = 1;
    histogram_add(&f.origin.stats.request, 1000);
    diagnosis_end_window(f.diagnosis);
    ck_assert_ptr_nonnull(
        strstr(written(&f), "payments: in the last 1 to 2 minutes, 4 of 6 requests refused"));
    f.policy.maxSockets = 3;
    diagnosis_sample(f.diagnosis);
    f.origin.stats.errors[PROXY_ERROR_LIMIT]++;
    ck_assert_ptr_nonnull(
        strstr(written(&f), "payments: in the last 1 to 2 minutes, 1 of 1 request refused"));
    fixture_free(&f);
}
END_TEST

START_TEST(failures_of_forgotten_origins_count)
{
    struct fixture f;

    fixture_make(&f);
    f.agent.forgotten = (struct origin_stats){.requests = 4, .errors = {[PROXY_ERROR_DNS] = 4}};
    diagnosis_sample(f.diagnosis);
    ck_assert_str_eq(
        written(&f),
        "[\"payments: in the last 1 to 2 minutes, 4 of 4 requests to origins since forgotten (*) failed: 4 dns_error; details: carpoolctl errors "
        "payments\"]");
    diagnosis_end_window(f.diagnosis);
    diagnosis_end_window(f.diagnosis);
    ck_assert_str_eq(written(&f), "[]");
    fixture_free(&f);
}
END_TEST

START_TEST(who_has_forgotten_origins_names_the_one)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){.requests = 3, .errors = {[PROXY_ERROR_TERMINATED] = 3}};
    ck_assert_int_eq(strncmp(written(&f), "[\"payments: in the last", 23), 0);
    f.agent.forgotten = (struct origin_stats){.requests = 9};
    ck_assert_ptr_nonnull(strstr(written(&f), "[\"payments http"));
    fixture_free(&f);
}
END_TEST

/* A few of each origin: too few to prove anything, but for all together. */
START_TEST(failures_of_several_origins_count_together)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){.requests = 2, .errors = {[PROXY_ERROR_TERMINATED] = 2}};
    f.agent.forgotten =
        (struct origin_stats){.requests = 3, .errors = {[PROXY_ERROR_DNS] = 1, [PROXY_ERROR_DENIED] = 1}};
    ck_assert_str_eq(
        written(&f),
        "[\"payments: in the last 1 to 2 minutes, 3 of 5 requests to different origins failed: 2 because the origin "
        "closed or reset the connection before its response was complete, 1 because the name does not resolve; "
        "details: carpoolctl errors payments\"]");
    f.agent.forgotten.requests = 30;
    ck_assert_str_eq(written(&f), "[]");
    f.agent.forgotten = (struct origin_stats){.requests = 3, .errors = {[PROXY_ERROR_DNS] = 3}};
    ck_assert_ptr_nonnull(strstr(written(&f), "3 of 3 requests to origins since forgotten (*) failed"));
    ck_assert_ptr_null(strstr(written(&f), "different origins"));
    fixture_free(&f);
}
END_TEST

/* "3 of 65 requests to different origins": 60 were to one whose failures have a sentence of their own. */
START_TEST(reported_origins_do_not_count_together)
{
    struct fixture f;
    struct origin other;

    fixture_make(&f);
    other = f.origin;
    other.key = (char *)"http://q.test:80";
    TAILQ_INIT(&other.blocked);
    TAILQ_INIT(&other.free);
    HASH_ADD_KEYPTR(hh, f.agent.origins, other.key, strlen(other.key), &other);
    other.stats = (struct origin_stats){.requests = 60, .errors = {[PROXY_ERROR_PROTOCOL] = 9}};
    f.origin.stats = (struct origin_stats){.requests = 2, .errors = {[PROXY_ERROR_LOOP] = 2}};
    f.agent.forgotten = (struct origin_stats){.requests = 3, .errors = {[PROXY_ERROR_LOOP] = 1}};
    ck_assert_ptr_nonnull(strstr(written(&f), "9 of 60 requests failed because the origin's response"));
    ck_assert_ptr_nonnull(
        strstr(written(&f), "3 of 5 requests to different origins failed because of a loop"));
    /* Its connects are told, and what else failed there is part of that. */
    other.stats = (struct origin_stats){.requests = 60,
                                        .opened = 4,
                                        .retired = {[RETIRE_CONNECT_FAILED] = 3},
                                        .errors = {[PROXY_ERROR_REFUSED] = 3, [PROXY_ERROR_TERMINATED] = 2}};
    ck_assert_ptr_nonnull(strstr(written(&f), "the latest of 3 failures in 7 attempts"));
    ck_assert_ptr_nonnull(
        strstr(written(&f), "3 of 5 requests to different origins failed because of a loop"));
    HASH_DEL(f.agent.origins, &other);
    fixture_free(&f);
}
END_TEST

/* "13 of 13 of the last 1 to 2 minutes": the first one was a minute older, alone. */
START_TEST(a_single_failure_is_over_in_time)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){.requests = 1, .errors = {[PROXY_ERROR_PROTOCOL] = 1}};
    diagnosis_sample(f.diagnosis);
    diagnosis_end_window(f.diagnosis);
    ck_assert_uint_eq(diagnosis_failed(f.diagnosis, &f.agent), 1);
    f.origin.stats.requests += 12;
    f.origin.stats.errors[PROXY_ERROR_PROTOCOL] += 12;
    ck_assert_uint_eq(diagnosis_failed(f.diagnosis, &f.agent), 13);
    diagnosis_end_window(f.diagnosis);
    ck_assert_uint_eq(diagnosis_failed(f.diagnosis, &f.agent), 12);
    ck_assert_ptr_nonnull(strstr(written(&f), "12 of 12 requests failed"));
    fixture_free(&f);
}
END_TEST

/* What an origin counted long before it was forgotten did not happen just now. */
START_TEST(old_failures_of_a_forgotten_origin_do_not_count)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats =
        (struct origin_stats){.requests = 60, .errors = {[PROXY_ERROR_LIMIT] = 15, [PROXY_ERROR_DNS] = 40}};
    diagnosis_sample(f.diagnosis);
    diagnosis_end_window(f.diagnosis);
    diagnosis_end_window(f.diagnosis);
    f.origin.stats.requests += 10;
    f.origin.stats.errors[PROXY_ERROR_LIMIT] += 2;
    diagnosis_sample(f.diagnosis);
    fixture_forget(&f);
    diagnosis_look(f.diagnosis);
    ck_assert_ptr_nonnull(strstr(
        written(&f),
        "payments: in the last 1 to 2 minutes, 2 of 10 requests to origins since forgotten (*) were refused"));
    ck_assert_ptr_null(strstr(written(&f), "dns_error"));
    diagnosis_begin_anew(f.diagnosis, &f.agent);
    ck_assert_str_eq(written(&f), "[]");
    fixture_free(&f);
}
END_TEST

/* The oldest has waited for 20 s, most of them in a pause. */
START_TEST(a_limit_does_not_hold_while_the_agent_is_paused)
{
    struct fixture f;

    fixture_make(&f);
    f.policy.maxSockets = f.origin.active_count = 1;
    f.policy.timeouts.pending = 0;
    f.origin.blocked_count = 1;
    TAILQ_INSERT_TAIL(&f.origin.blocked, &f.waiting, link);
    f.waiting.pending.us = clock_us() - 20 * 1000 * 1000;
    ck_assert_ptr_nonnull(strstr(written(&f), "the only connection busy (maxSockets) for 20 s"));
    f.agent.resumed_us = clock_us() - 12 * 1000 * 1000;
    ck_assert_ptr_nonnull(strstr(written(&f), "the only connection busy (maxSockets) for 12 s"));
    f.agent.resumed_us = clock_us();
    ck_assert_str_eq(written(&f), "[]");
    fixture_free(&f);
}
END_TEST

/* Between two looks, and with as many requests as the one before it. */
START_TEST(another_origin_of_the_same_name_begins_anew)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){.requests = 50, .errors = {[PROXY_ERROR_TERMINATED] = 50}};
    diagnosis_end_window(f.diagnosis);
    diagnosis_end_window(f.diagnosis);
    ck_assert_str_eq(written(&f), "[]");
    f.origin.created_ms++;
    f.origin.stats = (struct origin_stats){.requests = 60, .errors = {[PROXY_ERROR_TERMINATED] = 45}};
    diagnosis_look(f.diagnosis);
    ck_assert_str_eq(
        written(&f),
        "[\"payments: in the last 1 to 2 minutes, 45 of 60 requests failed because the origin closed or reset the "
        "connection before its response was complete; details: carpoolctl errors "
        "payments\"]");
    fixture_free(&f);
}
END_TEST

START_TEST(forgets_what_is_over)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){
        .requests = 10, .first_uses = 10, .opened = 10, .retired = {[RETIRE_CONNECTION_CLOSE] = 10}};
    diagnosis_sample(f.diagnosis);
    ck_assert_str_eq(written(&f), "[\"payments: no connection is used again, because " CLOSE "\"]");
    diagnosis_end_window(f.diagnosis);
    ck_assert_str_eq(written(&f), "[\"payments: no connection is used again, because " CLOSE "\"]");
    diagnosis_end_window(f.diagnosis);
    ck_assert_str_eq(written(&f), "[]");
    /* A new one of the same name begins at zero. */
    f.origin.created_ms++;
    f.origin.stats = (struct origin_stats){
        .requests = 3, .first_uses = 3, .opened = 3, .retired = {[RETIRE_CONNECTION_CLOSE] = 3}};
    diagnosis_sample(f.diagnosis);
    ck_assert_str_eq(written(&f), "[\"payments: no connection is used again, because " CLOSE "\"]");
    fixture_free(&f);
}
END_TEST

void add_diagnosis_tests(Suite *suite)
{
    unit_group(suite, "rules", paused, certificate, connect_tls, refused, both_limits, waiting, no_reuse,
               no_reuse_does_not_guess, peer_closed, learned, dead_paths, http2, shares, failures,
               failures_of_several_kinds, failures_without_a_connection, timeouts, all_rows_have_a_name);
    unit_group(suite, "diagnosis", silent_when_all_is_well, sees_a_small_pool, counts_refusals_of_a_pause,
               refusals_of_other_limits_do_not_count, refusals_that_are_not_answered_yet,
               refusals_of_those_that_lost_their_place, failures_are_compared_with_what_ended,
               failures_of_forgotten_origins_count, who_has_forgotten_origins_names_the_one,
               failures_of_several_origins_count_together, reported_origins_do_not_count_together,
               a_single_failure_is_over_in_time, old_failures_of_a_forgotten_origin_do_not_count,
               forgets_what_is_over, a_limit_does_not_hold_while_the_agent_is_paused,
               another_origin_of_the_same_name_begins_anew);
}
