/* carpoolctl explain: every paragraph and every reason, when it speaks, what it says, and when it is
 * silent. */

#include <stdio.h>

#include "admin/explanation.h"
#include "admin/words.h"
#include "admin_account.h"
#include "admin_test.h"
#include "base/clock.h"
#include "base/units.h"
#include "unit.h"

static const char *text_of(struct text *t)
{
    static char out[2048];

    snprintf(out, sizeof out, "%.*s", (int)t->n, t->p ? t->p : "");
    text_free(t);
    return out;
}

/* What the rule says; "" when it is silent. */
static const char *said(const char *rule)
{
    struct text t = {0};
    bool says = explanation_rule(rule)->says(&account, &t);

    ck_assert(says == (t.n > 0));
    return text_of(&t);
}

static void requested(uint32_t n)
{
    account.hour.requests = account.hour.carried = n;
    account.stats.requests = account.stats.first_uses = n;
}

static const char *reason(enum opened_for why)
{
    struct text t = {0};

    explanation_put_reason(&t, &account, why);
    return text_of(&t);
}

START_TEST(words_are_short)
{
    static const struct {
        double ms;
        const char *words;
    } cases[] = {{0, "0.00 ms"},   {0.04, "0.04 ms"},        {4.94, "4.9 ms"},     {35.2, "35 ms"},
                 {2100, "2.1 s"},  {31999, "31 s"},          {60000, "1 min"},     {751000, "12 min 31 s"},
                 {3600000, "1 h"}, {11520000, "3 h 12 min"}, {432000000, "5 days"}};
    struct text t = {0};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        words_time(&t, cases[i].ms);
        ck_assert_str_eq(text_of(&t), cases[i].words);
    }
    words_counted(&t, 1, "request");
    ck_assert_str_eq(text_of(&t), "1 request");
    words_counted(&t, 1234567, "request");
    ck_assert_str_eq(text_of(&t), "1,234,567 requests");
    words_percent(&t, 2, 3);
    ck_assert_str_eq(text_of(&t), "67 %");
    words_percent(&t, 4, 1000);
    ck_assert_str_eq(text_of(&t), "0.4 %");
    words_percent(&t, 1, 10000);
    ck_assert_str_eq(text_of(&t), "under 0.1 %");
    words_percent(&t, 2544, 2547);
    ck_assert_str_eq(text_of(&t), "99.9 %");
    words_percent(&t, 5, 5);
    ck_assert_str_eq(text_of(&t), "100 %");
    words_percent(&t, 0, 0);
    ck_assert_str_eq(text_of(&t), "0 %");
}
END_TEST

START_TEST(traffic)
{
    account_begin();
    ck_assert_str_eq(said("traffic"), "No request since the start, 3 h ago.");
    requested(37);
    account_open(OPENED_FOR_FIRST, 1);
    ck_assert_str_eq(said("traffic"),
                     "Since the start, 3 h ago, 37 requests opened 1 connection, 37 requests each. "
                     "Direct clients would have opened 37.");
    account.stats.requests = account.stats.first_uses = 30412;
    account.stats.opened = 122;
    ck_assert_str_eq(
        said("traffic"),
        "In the last hour 37 requests opened 1 connection, 37 requests each. Since the start, 3 h ago, "
        "30,412 requests opened 122 connections, 249 requests each. Direct clients would have opened "
        "30,412.");
    account.stats.first_uses = 30000; /* the others were refused */
    ck_assert_ptr_nonnull(strstr(said("traffic"), " Direct clients would have opened 30,000."));
    account.stats.first_uses = 0;
    ck_assert_ptr_null(strstr(said("traffic"), "Direct"));
    account.stats.errors[PROXY_ERROR_LIMIT] = 30290;
    ck_assert_ptr_nonnull(
        strstr(said("traffic"), "30,412 requests (30,290 refused, 122 not sent) opened 122 connections."));
    account.stats.errors[PROXY_ERROR_LIMIT] = 30412 - 244;
    account.stats.first_uses = 244;
    ck_assert_ptr_nonnull(strstr(
        said("traffic"), "30,412 requests (30,168 refused) opened 122 connections, 2.0 requests each."));
    account.hour_ms = 125000;
    ck_assert_ptr_nonnull(strstr(said("traffic"), "In the last 2 min 5 s 37 requests"));
    account.hour.carried = 5; /* of the others, the connect failed */
    ck_assert_ptr_nonnull(
        strstr(said("traffic"), "37 requests (32 not sent) opened 1 connection, 5.0 requests each."));
    account.stats.errors[PROXY_ERROR_LIMIT] = 0;
    ck_assert_ptr_nonnull(strstr(said("traffic"),
                                 "30,412 requests (30,168 not sent) opened 122 connections, 2.0 requests "
                                 "each. Direct clients would have opened 244."));
}
END_TEST

START_TEST(reasons_in_order_of_weight)
{
    account_begin();
    ck_assert_str_eq(said("reasons"), "");
    requested(100);
    account_open(OPENED_FOR_FIRST, 1);
    ck_assert_str_eq(said("reasons"), "Why it was opened:\n- 1 first: there was none yet.");
    account.most_sockets = 4;
    account_open(OPENED_FOR_CONCURRENCY, 3);
    account_open(replaced(RETIRE_DRAINED), 6);
    ck_assert_str_eq(
        said("reasons"),
        "Why they were opened:\n"
        "- 6 (60 %) drained: earlier ones were drained, by carpoolctl drain or a reload.\n"
        "- 3 (30 %) concurrency: more connections were in use at the same time than ever before, up to 4.\n"
        "- 1 (10 %) first: there was none yet.");
    account.key = "*"; /* what each origin had at a time adds up to nothing */
    ck_assert_ptr_nonnull(strstr(
        said("reasons"), "concurrency: more connections were in use at the same time than ever before.\n"));
    account.stats.opened++;
    ck_assert_ptr_nonnull(strstr(said("reasons"), "Why they were opened in the last hour:\n- 6"));
    account.hour = (struct span){0};
    ck_assert_ptr_nonnull(strstr(said("reasons"), "Why they were opened since the start:\n- 6"));
}
END_TEST

/* A reason of which there are too few, or too small a share, is told without advice. */
START_TEST(advice_where_it_costs)
{
    account_begin();
    requested(1000);
    account_open(replaced(RETIRE_FREE_FULL), 2);
    ck_assert_str_eq(reason(replaced(RETIRE_FREE_FULL)),
                     "free-full: earlier ones were closed, as 5 others were idle already (maxFreeSockets).");
    account_open(replaced(RETIRE_FREE_FULL), 1);
    account.most_sockets = 9;
    ck_assert_str_eq(
        reason(replaced(RETIRE_FREE_FULL)),
        "free-full: earlier ones were closed, as 5 others were idle already (maxFreeSockets). Raise "
        "maxFreeSockets to 9, the most that were open at a time.");
    account.key = "*"; /* it is each origin's */
    ck_assert_ptr_nonnull(strstr(reason(replaced(RETIRE_FREE_FULL)), " Raise maxFreeSockets."));
    account_open(OPENED_FOR_CONCURRENCY, 100);
    ck_assert_ptr_null(strstr(reason(replaced(RETIRE_FREE_FULL)), "Raise"));
}
END_TEST

/* What is set already is not advised. */
START_TEST(tunnels)
{
    account_begin();
    requested(3);
    account_open(replaced(RETIRE_UPGRADED), 3);
    ck_assert_str_eq(reason(replaced(RETIRE_UPGRADED)),
                     "upgraded: each tunnel or upgraded request needs its own.");
    account.is_tunnel = true;
    ck_assert_str_eq(reason(replaced(RETIRE_UPGRADED)),
                     "upgraded: each tunnel needs its own; with connect: pool https requests share them.");
    account.tunnel_cause = TUNNEL_WITHOUT_CA;
    ck_assert_str_eq(reason(replaced(RETIRE_UPGRADED)),
                     "upgraded: each tunnel needs its own; with a CA in connectTls (carpoolctl ca create) "
                     "https requests share them.");
    account.tunnel_cause = TUNNEL_UNSIGNED;
    ck_assert_str_eq(reason(replaced(RETIRE_UPGRADED)),
                     "upgraded: each tunnel needs its own, as the CA of connectTls may not sign for this "
                     "host (it does not name it, or has expired); with a new CA that names it "
                     "(carpoolctl ca create) https requests share them.");
    account.tunnel_cause = TUNNEL_BY_CONTENT;
    ck_assert_str_eq(reason(replaced(RETIRE_UPGRADED)), "upgraded: each tunnel needs its own.");
}
END_TEST

START_TEST(services_that_close)
{
    account_begin();
    requested(60);
    account_open(replaced(RETIRE_CONNECTION_CLOSE), 12);
    ck_assert_str_eq(
        reason(replaced(RETIRE_CONNECTION_CLOSE)),
        "connection-close: the service said Connection: close after 5.0 requests on average. Raise what "
        "limits the requests of a connection there (nginx: keepalive_requests; Apache: "
        "MaxKeepAliveRequests).");
    requested(16);
    ck_assert_ptr_nonnull(strstr(reason(replaced(RETIRE_CONNECTION_CLOSE)), "after 1.3 requests on average"));
    /* How many had those that ended so is not known. */
    account_open(replaced(RETIRE_FREE_TIMEOUT), 2);
    ck_assert_ptr_nonnull(
        strstr(reason(replaced(RETIRE_CONNECTION_CLOSE)), "the service said Connection: close. Raise what"));
    account_begin();
    requested(16);
    account_open(replaced(RETIRE_CONNECTION_CLOSE), 12);
    account.key = "*"; /* one origin may close each time, and another never */
    ck_assert_str_eq(
        reason(replaced(RETIRE_CONNECTION_CLOSE)),
        "connection-close: services said Connection: close. Switch keep-alive on there, or raise what limits the "
        "requests of a connection (nginx: keepalive_timeout, keepalive_requests; Apache: KeepAlive On, "
        "MaxKeepAliveRequests).");
    account_begin();
    account_open(replaced(RETIRE_CONNECTION_CLOSE), 12);
    requested(12);
    ck_assert_str_eq(
        reason(replaced(RETIRE_CONNECTION_CLOSE)),
        "connection-close: the service ends each connection with its response (Connection: close, or HTTP/1.0). Switch "
        "keep-alive on there (nginx: keepalive_timeout; Apache: KeepAlive On).");
    account_begin();
    requested(60);
    account_open(replaced(RETIRE_PEER_CLOSED), 5);
    account.hour.peer_closed = 5;
    account.hour.peer_closed_idle_ms = 10100;
    ck_assert_str_eq(
        reason(replaced(RETIRE_PEER_CLOSED)),
        "peer-closed: the service had closed earlier ones, which had been idle for 2.0 s on average. Raise "
        "the time for which it keeps idle connections, above the pauses between requests (nginx: "
        "keepalive_timeout; Apache: KeepAliveTimeout).");
    account_open(replaced(RETIRE_GOAWAY), 5);
    account.stats.idle_goaways = 3;
    ck_assert_str_eq(
        reason(replaced(RETIRE_GOAWAY)),
        "goaway: the service had closed earlier ones, which had been idle for 2.0 s on average (GOAWAY). Raise "
        "the time for which it keeps idle connections, above the pauses between requests (nginx: "
        "keepalive_timeout; Apache: KeepAliveTimeout).");
    account.stats.idle_goaways = 2;
    ck_assert_str_eq(reason(replaced(RETIRE_GOAWAY)),
                     "goaway: the service had sent GOAWAY. Raise what limits the requests of a connection "
                     "there (nginx: keepalive_requests).");
    account.hour.peer_closed_idle_ms = 10;
    ck_assert_str_eq(
        reason(replaced(RETIRE_PEER_CLOSED)),
        "peer-closed: the service closes connections right after a response, without saying so. Switch "
        "keep-alive on there (nginx: keepalive_timeout; Apache: KeepAlive On).");
}
END_TEST

START_TEST(own_limits)
{
    account_begin();
    policy.minFreeSockets = 3;
    policy.maxFreeSockets = 1;
    policy.maxRequestsPerSocket = 5;
    policy.maxTotalSockets = 5;
    account.most_sockets = 12;
    requested(10);
    ck_assert_str_eq(reason(OPENED_FOR_SPARE), "warm: 3 are kept spare (minFreeSockets).");
    policy.minFreeSockets = 1;
    ck_assert_str_eq(reason(OPENED_FOR_SPARE), "warm: 1 is kept spare (minFreeSockets).");
    ck_assert_str_eq(
        reason(replaced(RETIRE_FREE_TIMEOUT)),
        "free-timeout: earlier ones were closed, as they had been idle for timeouts.free (30s).");
    ck_assert_str_eq(reason(replaced(RETIRE_MAX_AGE)),
                     "max-age: earlier ones had reached maxSocketAge (10m).");
    ck_assert_str_eq(reason(replaced(RETIRE_MAX_REQUESTS)),
                     "max-requests: earlier ones had carried 5 requests (maxRequestsPerSocket).");
    ck_assert_str_eq(reason(replaced(RETIRE_FREE_FULL)),
                     "free-full: earlier ones were closed, as 1 other was idle already (maxFreeSockets).");
    ck_assert_str_eq(
        reason(replaced(RETIRE_KEEPALIVE_HINT)),
        "keepalive-hint: the service keeps an idle connection only for as long as it says in Keep-Alive.");
    account.hint_ms = 5000;
    ck_assert_str_eq(
        reason(replaced(RETIRE_KEEPALIVE_HINT)),
        "keepalive-hint: the service keeps an idle connection only for 5.0 s, as it says in Keep-Alive.");
    account_open(replaced(RETIRE_EVICTED), 4);
    ck_assert_str_eq(
        reason(replaced(RETIRE_EVICTED)),
        "evicted: idle ones were closed to make room for other origins, as maxTotalSockets is 5. Raise "
        "maxTotalSockets.");
    account.key = "*"; /* it is the agent's */
    ck_assert_ptr_nonnull(strstr(reason(replaced(RETIRE_EVICTED)), " Raise maxTotalSockets to 12."));
    account.hour.held[HELD_BY_MAX_TOTAL] = 3; /* the number is told once */
    account.hour.load.needed = 16;
    ck_assert_ptr_nonnull(strstr(reason(replaced(RETIRE_EVICTED)), " Raise maxTotalSockets to 20."));
    ck_assert_ptr_nonnull(strstr(said("waiting"), " came to 16.0 connections."));
    ck_assert_ptr_null(strstr(said("waiting"), "aise"));
    policy.maxTotalSockets = COUNT_INFINITE;
    ck_assert_str_eq(
        reason(replaced(RETIRE_EVICTED)),
        "evicted: idle ones were closed, because descriptors had run short. Raise the limit of open files "
        "(LimitNOFILE).");
}
END_TEST

/* Time that ran out in the queue is no fault of the service's. */
START_TEST(requests_that_timed_out_had_waited)
{
    account_begin();
    requested(20);
    account_open(replaced(RETIRE_REQUEST_TIMEOUT), 6);
    account.stats.retired[RETIRE_REQUEST_TIMEOUT] = 6;
    account.stats.errors[PROXY_ERROR_RESPONSE_TIMEOUT] = 6;
    ck_assert_str_eq(reason(replaced(RETIRE_REQUEST_TIMEOUT)),
                     "request-timeout: requests on earlier ones ran into timeouts.request. Find out why the "
                     "service is slow.");
    account.stats.errors[PROXY_ERROR_RESPONSE_TIMEOUT] = 14; /* eight more had no connection */
    account.stats.timed_out_waiting = 14;
    ck_assert_str_eq(reason(replaced(RETIRE_REQUEST_TIMEOUT)),
                     "request-timeout: requests on earlier ones ran into timeouts.request, after they had "
                     "waited in Carpool for most of that time.");
    account.stats.timed_out_waiting = 12;
    ck_assert_str_eq(
        reason(replaced(RETIRE_REQUEST_TIMEOUT)),
        "request-timeout: requests on earlier ones ran into timeouts.request, most of them after "
        "they had waited in Carpool for most of that time.");
    account.stats.timed_out_waiting = 9;
    ck_assert_ptr_nonnull(strstr(reason(replaced(RETIRE_REQUEST_TIMEOUT)), ", some of them after they"));
    ck_assert_ptr_nonnull(strstr(reason(replaced(RETIRE_REQUEST_TIMEOUT)), " Find out why the service"));
}
END_TEST

/* No reason of the ledger is without words. */
START_TEST(every_reason_has_a_cause)
{
    for (unsigned i = 0; i < OPENED_FOR_COUNT; i++) {
        const char *word = opened_for_word((enum opened_for)i), *words;

        account_begin();
        if (!*word)
            continue;
        requested(10);
        account_open((enum opened_for)i, 5);
        words = reason((enum opened_for)i);
        ck_assert_msg(strncmp(words, word, strlen(word)) == 0 && words[strlen(words) - 1] == '.', "%s",
                      words);
    }
}
END_TEST

/* A host that cannot be reached keeps no connection busy, and to allow more of them is no remedy. */
START_TEST(waiting_for_what_does_not_open)
{
    account_begin();
    requested(12);
    account.hour.held[HELD_BY_MAX_SOCKETS] = 9;
    account.hour.waited = 9;
    account.hour.waited_ms = 9 * 2000;
    account.hour.refused = 8;
    account.stats.retired[RETIRE_CONNECT_TIMEOUT] = 3;
    ck_assert_str_eq(
        said("waiting"),
        "9 of 12 requests found all connections still being opened (maxSockets is 20) and waited 2.0 s on average (8 "
        "of them were refused in the end). None has been open so far: find out why connecting fails or takes so long.");
    account.stats.opened = 1;
    ck_assert_ptr_nonnull(strstr(said("waiting"), "all connections busy (maxSockets is 20)"));
    account.stats.opened = 0;
    account.hour.held[HELD_BY_MAX_SOCKETS] = 0;
    account.hour.held[HELD_BY_MAX_TOTAL] = 9;
    ck_assert_ptr_nonnull(strstr(said("waiting"), "all connections busy (maxTotalSockets is 100)"));
    account.key = "*";
    ck_assert_ptr_nonnull(
        strstr(said("waiting"), "all connections still being opened (maxTotalSockets is 100)"));
}
END_TEST

START_TEST(waiting)
{
    account_begin();
    requested(36);
    ck_assert_str_eq(said("waiting"), "");
    account.hour.held[HELD_BY_MAX_SOCKETS] = 27;
    account.hour.waited = 25;
    account.hour.waited_ms = 25 * 432;
    account.hour.demand = 29;
    account.hour.refused = account.hour.queue_full = 2;
    account.hour.load.needed = 22.4F;
    ck_assert_str_eq(
        said("waiting"),
        "27 of 36 requests found all connections busy (maxSockets is 20): 25 waited, 432 ms on average, and 2 were "
        "refused at once. At one moment 29 were running or waiting, those refused at once not counted. In the busiest minute, "
        "requests per second times seconds per request came to 22.4 connections: raise maxSockets to 28.");
    account.hour_ms = 28000;
    ck_assert_ptr_nonnull(strstr(said("waiting"), ". So far, requests per second times"));
    account.hour_ms = 3600 * 1000;
    account.hour.refused = 3;
    ck_assert_ptr_nonnull(
        strstr(said("waiting"),
               ": 25 waited, 432 ms on average (1 of them was refused in the end), and 2 were refused"));
    account.hour.refused = account.hour.queue_full = 0;
    account.hour.load.needed = 15;
    ck_assert_str_eq(
        said("waiting"),
        "27 of 36 requests found all connections busy (maxSockets is 20) and waited 432 ms on average. At one moment 29 "
        "were running or waiting. All 20 connections were in use, so the need is at least 20, and cannot be measured: "
        "raise maxSockets to 25, then look again.");
    account.hour.load.needed = 0.4F;
    ck_assert_str_eq(
        said("waiting"),
        "27 of 36 requests found all connections busy (maxSockets is 20) and waited 432 ms on average. They came in "
        "bursts (at one moment 29 were running or waiting): even in the busiest minute, only 0.4 connections were needed "
        "on average. Raise maxSockets if they must not wait.");
    account.hour.load.occupied = 1; /* of a minute, in which they were there for a second */
    account.hour.timed_out = 7;
    ck_assert_str_eq(
        said("waiting"),
        "27 of 36 requests found all connections busy (maxSockets is 20) and waited 432 ms on average. 7 of 36 requests "
        "timed out and kept connections busy until then (carpoolctl errors payments): find out why the service is "
        "slow.");
    account.hour.load.occupied = 0;
    account.hour.load.needed = 0.01F;
    ck_assert_ptr_nonnull(
        strstr(said("waiting"),
               "waiting): even in the busiest minute, under 0.1 connections were needed on average."));
    account.hour_ms = 28000;
    ck_assert_ptr_nonnull(strstr(said("waiting"), "waiting): so far, under 0.1 connections were needed on"));
    account.hour.load.needed = account.hour.carried = 0;
    ck_assert_ptr_nonnull(
        strstr(said("waiting"),
               " At one moment 29 were running or waiting. Since none got a connection, the need cannot be "
               "measured. Raise maxSockets if they must not wait."));
    account.hour.carried = 1;
    account.hour.refused = account.hour.queue_full = 27;
    ck_assert_ptr_nonnull(
        strstr(said("waiting"), "were running or waiting, those refused at once not counted)"));
    ck_assert_ptr_nonnull(strstr(said("waiting"), " (maxSockets is 20) and were refused at once. They came"));
    account.hour.refused = account.hour.queue_full = 0;
    policy.maxTotalSockets = 20; /* to raise maxSockets alone would change nothing */
    ck_assert_ptr_nonnull(
        strstr(said("waiting"), ". Raise maxSockets and maxTotalSockets if they must not wait."));
    account.hour.load.needed = 22.4F;
    ck_assert_ptr_nonnull(strstr(said("waiting"), ": raise maxSockets and maxTotalSockets to 28."));
    policy.maxTotalSockets = 19;
    policy.maxSockets = 30;
    ck_assert_ptr_nonnull(strstr(said("waiting"), ": raise maxTotalSockets to 28."));
    policy.maxSockets = 20;
    policy.maxTotalSockets = 100;
    account.key = "*"; /* each origin has its own maxSockets */
    ck_assert_ptr_null(strcasestr(said("waiting"), "raise"));
    account.hour.held[HELD_BY_MAX_TOTAL] = 28;
    account.hour.load.needed = 110;
    ck_assert_ptr_nonnull(strstr(said("waiting"), "raise maxTotalSockets to 138."));
    account.paused = true;
    account.now.pending = 2;
    ck_assert_str_eq(said("paused"), "The agent is paused, and 2 requests wait: carpoolctl resume payments.");
    ck_assert_ptr_nonnull(strstr(said("waiting"), "raise maxTotalSockets to 138."));
    account.hour.held[HELD_BY_MAX_SOCKETS] = account.hour.held[HELD_BY_MAX_TOTAL] = 0;
    account.hour.held[HELD_BY_PAUSE] = 2;
    ck_assert_str_eq(said("waiting"), "");
    account.paused = false;
    ck_assert_str_eq(said("paused"), "");
}
END_TEST

/* Time in a pause is not time for which a limit held them. */
START_TEST(a_pause_was_part_of_their_wait)
{
    account_begin();
    requested(12);
    account.hour.held[HELD_BY_MAX_SOCKETS] = account.hour.waited = 10;
    account.hour.waited_ms = 10 * 9900;
    account.hour.paused_ms = 10 * 8600;
    ck_assert_ptr_nonnull(
        strstr(said("waiting"),
               "10 of 12 requests found all connections busy (maxSockets is 20) and waited 9.9 s on average, "
               "8.6 s of that while the agent was paused."));
    account.hour.held[HELD_BY_MAX_SOCKETS] = 13;
    account.hour.refused = account.hour.queue_full = 3;
    ck_assert_ptr_nonnull(strstr(
        said("waiting"),
        ": 10 waited, 9.9 s on average, 8.6 s of that while the agent was paused, and 3 were refused at once."));
    account.hour.refused = account.hour.queue_full = 0;
    account.hour.paused_ms = 9; /* for most not even a millisecond */
    ck_assert_ptr_null(strstr(said("waiting"), "paused"));
    account.hour.paused_ms = 10 * 8600;
    account.hour.held[HELD_BY_MAX_SOCKETS] = 0;
    account.hour.held[HELD_BY_PAUSE] = 10;
    ck_assert_str_eq(said("waiting"),
                     "10 of 12 requests found the agent paused and waited 9.9 s on average.");
}
END_TEST

/* Those that an earlier limit held are told without the present one, and advise nothing. */
START_TEST(earlier_limits_held_them)
{
    account_begin();
    requested(36);
    account.hour.held[HELD_BY_MAX_SOCKETS] = account.hour.held_before[HELD_BY_MAX_SOCKETS] = 12;
    account.hour.waited = 12;
    account.hour.waited_ms = 12 * 585;
    account.hour.load.needed = 22.4F;
    ck_assert_str_eq(
        said("waiting"),
        "12 of 36 requests found all connections busy (maxSockets) and waited 585 ms on average. None has waited for "
        "a limit since a reload changed them.");
    account.hour.held[HELD_BY_MAX_SOCKETS]++;
    ck_assert_ptr_nonnull(
        strstr(said("waiting"), "13 of 36 requests found all connections busy (maxSockets) and"));
    ck_assert_ptr_nonnull(strstr(said("waiting"), ": raise maxSockets to 28."));
    ck_assert_ptr_null(strstr(said("waiting"), "None has waited"));
    account.speaks_http2 = true;
    ck_assert_ptr_nonnull(strstr(said("waiting"), "found too many requests under way (maxSockets)"));
}
END_TEST

/* Each has its part, and what became of them is said of all. */
START_TEST(several_things_held_them)
{
    account_begin();
    requested(570);
    account.hour.held[HELD_BY_PAUSE] = 2;
    account.hour.waited = 2;
    account.hour.waited_ms = 6600;
    ck_assert_str_eq(said("waiting"),
                     "2 of 570 requests found the agent paused and waited 3.3 s on average.");
    ck_assert_str_eq(said("well"), "");
    account.hour.held[HELD_BY_PAUSE] = account.hour.waited = 1;
    ck_assert_str_eq(said("waiting"), "1 of 570 requests found the agent paused and waited 6.6 s.");
    account.hour.held[HELD_BY_MAX_SOCKETS] = 7;
    account.hour.waited = 5;
    account.hour.refused = 7;
    account.hour.queue_full = 3;
    ck_assert_ptr_nonnull(strstr(
        said("waiting"),
        "Of 570 requests 7 found all connections busy (maxSockets is 20) and 1 found the agent paused. Of these "
        "8, 5 waited, 1.3 s on average (4 of them were refused in the end), and 3 were refused at once."));
    account.hour.waited = 1;
    ck_assert_ptr_nonnull(strstr(said("waiting"), " Of these 8, 5 waited 6.6 s (4 of them"));
    account.hour.waited = 5;
    account.hour.queue_full = 8;
    ck_assert_ptr_nonnull(strstr(said("waiting"), " paused. All 8 were refused at once."));
    account.hour.refused = account.hour.queue_full = 0;
    account.hour.held[HELD_BY_STREAMS] = 90;
    ck_assert_ptr_nonnull(strstr(
        said("waiting"),
        "Of 570 requests 90 found all HTTP/2 connections full (the origin's SETTINGS_MAX_CONCURRENT_STREAMS), 7 "
        "found all connections busy (maxSockets is 20) and 1 found the agent paused. These 98 waited 1.3 s on"));
}
END_TEST

/* One connection carries many. */
START_TEST(over_http2_requests_are_limited)
{
    account_begin();
    account.speaks_http2 = true;
    requested(11);
    account.hour.held[HELD_BY_MAX_SOCKETS] = 2;
    account.hour.load.needed = 22.4F;
    ck_assert_str_eq(said("waiting"),
                     "2 of 11 requests found 20 requests under way (maxSockets is 20) and waited. In "
                     "the busiest minute, requests per second times seconds per request came to "
                     "22.4 requests under way: raise maxSockets to 28.");
    account.hour.load.needed = 18;
    ck_assert_ptr_nonnull(
        strstr(said("waiting"),
               " 20 requests were under way, so the need is at least 20, and cannot be measured: raise"));
    account.hour.load.needed = 1;
    ck_assert_ptr_nonnull(
        strstr(said("waiting"), ": even in the busiest minute, only 1.0 were under way on average. Raise"));
    policy.maxSockets = 1;
    ck_assert_ptr_nonnull(strstr(said("waiting"), "found another request under way (maxSockets is 1)"));
}
END_TEST

/* Connections that are kept spare, and closed before a request comes. */
START_TEST(spares_in_vain)
{
    account_begin();
    policy.minFreeSockets = 2;
    requested(3);
    account_open(OPENED_FOR_SPARE, 677);
    account.now.free = 2;
    account.stats.closed_unused = 672;
    account.stats.retired[RETIRE_PEER_CLOSED] = 675;
    ck_assert_str_eq(
        reason(OPENED_FOR_SPARE),
        "warm: 2 are kept spare (minFreeSockets). 672 connections were closed unused: lower minFreeSockets, or raise "
        "the time for which idle ones are kept (at the service: nginx: keepalive_timeout; Apache: KeepAliveTimeout).");
    account.stats.retired[RETIRE_FREE_TIMEOUT] = 676;
    ck_assert_ptr_nonnull(strstr(reason(OPENED_FOR_SPARE), "are kept (timeouts.free)."));
    account.stats.closed_unused = 2; /* as good as all of them were used */
    ck_assert_str_eq(reason(OPENED_FOR_SPARE), "warm: 2 are kept spare (minFreeSockets).");
}
END_TEST

START_TEST(failed_or_well)
{
    account_begin();
    ck_assert_str_eq(said("failed"), "");
    ck_assert_str_eq(said("well"), ""); /* nobody asked */
    requested(10);
    ck_assert_str_eq(said("well"), "No request waited for a limit, and none failed.");
    account.stats.held[HELD_BY_PAUSE] = 1; /* but long ago */
    ck_assert_str_eq(said("well"), "No request waited for a limit in the last hour, and none failed.");
    account.stats.errors[PROXY_ERROR_DNS] = 1;
    account.stats.errors[PROXY_ERROR_LIMIT] = 2000;
    ck_assert_str_eq(said("well"), "");
    const char *words = said("failed");
    ck_assert_ptr_nonnull(strstr(words, "2,001 requests failed or were refused since the start: "));
    ck_assert_ptr_nonnull(strstr(words, "2,000 connection_limit_reached"));
    ck_assert_ptr_nonnull(strstr(words, "1 dns_error"));
    ck_assert_ptr_nonnull(strstr(words, "The latest: carpoolctl errors payments."));
    account.stats.errors[PROXY_ERROR_LIMIT] = 0;
    ck_assert_ptr_nonnull(strstr(said("failed"), "1 request failed since the start: 1 dns_error."));
    account.stats.errors[PROXY_ERROR_DNS] = 0;
    account.stats.errors[PROXY_ERROR_LIMIT] = 2;
    ck_assert_ptr_nonnull(
        strstr(said("failed"), "2 requests were refused since the start: 2 connection_limit"));
}
END_TEST

START_TEST(now)
{
    account_begin();
    requested(10);
    ck_assert_str_eq(said("now"), "No connection is open now.");
    account.now = (struct groups){.active = 1, .free = 3};
    account.longest_idle_ms = 12400;
    ck_assert_str_eq(said("now"),
                     "Now 1 connection is in use, 3 are idle, the longest for 12 s. One that has been idle "
                     "for 30 s is closed (timeouts.free).");
    account.key = "*";
    account.closes_some_sooner = true;
    account.hint_ms = 5000; /* of one origin */
    ck_assert_ptr_nonnull(
        strstr(said("now"), "One that has been idle for 30 s is closed (timeouts.free), or sooner where the "
                            "service closes it sooner."));
    account.key = "http://p.test:80";
    account.now = (struct groups){.connecting = 2, .free = 1};
    account.hint_ms = 5000;
    ck_assert_str_eq(
        said("now"),
        "Now 0 connections are in use, 2 are being opened, 1 has been idle for 12 s. It is closed after 4.0 s, "
        "before the service does (it says Keep-Alive: timeout=5).");
    policy.timeouts.free = 0;
    account.hint_ms = 0;
    ck_assert_str_eq(said("now"),
                     "Now 0 connections are in use, 2 are being opened, 1 has been idle for 12 s.");
    account.now = (struct groups){.active = 1, .http2 = {.streams = 12}};
    ck_assert_str_eq(said("now"), "Now 1 connection is in use with 12 requests over HTTP/2, 0 are idle.");
}
END_TEST

START_TEST(learned)
{
    account_begin();
    policy.learnFreeTimeout = true;
    requested(10);
    ck_assert_str_eq(said("learned"), "");
    ck_assert_str_eq(reason(replaced(RETIRE_LEARNED)),
                     "learned-timeout: Carpool had closed earlier ones just before the service does so.");
    account.learned_ms = 1010;
    account.closes_after_ms = 2010;
    ck_assert_str_eq(said("learned"),
                     "Learned: the service closes a used connection that was idle for 2.0 s, so Carpool "
                     "closes it after 1.0 s.");
    ck_assert_str_eq(reason(replaced(RETIRE_LEARNED)),
                     "learned-timeout: Carpool had closed earlier ones idle for 1.0 s, "
                     "because the service does so after 2.0 s.");
    account.now.free = 1;
    ck_assert_str_eq(said("now"), "Now 0 connections are in use, 1 has been idle for 0.00 ms.");
    account.hint_ms = 5000; /* goes before it */
    ck_assert_str_eq(said("learned"), "");
    account.hint_ms = 0;
    policy.timeouts.free = 500; /* comes before it */
    ck_assert_str_eq(said("learned"), "");
    ck_assert_ptr_nonnull(strstr(said("now"), "(timeouts.free)"));
}
END_TEST

START_TEST(saved)
{
    account_begin();
    ck_assert_str_eq(said("saved"), "");
    account.saved = (struct savings){.connections = 9080, .connect_us = 751000000};
    ck_assert_str_eq(said("saved"), "Saved since the start: 9,080 connections, 12 min 31 s of handshakes.");
    account.was_added = true;
    ck_assert_ptr_nonnull(strstr(said("saved"), "Saved since the reload that added it: 9,080 connections"));
    ck_assert_str_eq(said("traffic"), "No request since the reload that added it, 3 h ago.");
    account.connect_us = 82700;
    ck_assert_ptr_nonnull(strstr(said("saved"), "12 min 31 s of handshakes (lately, one took 83 ms)."));
}
END_TEST

/* The whole way */

START_TEST(origins_are_told_the_busiest_first)
{
    static struct origin other;
    struct fixture f;
    struct text t = {0};
    const char *words;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){.requests = 3, .first_uses = 3, .opened = 3};
    explanation_write(diagnosis_history(f.diagnosis), &f.daemon, NULL, 1000, &t);
    words = text_of(&t);
    ck_assert_ptr_nonnull(
        strstr(words, "{\"name\":\"payments\",\"paragraphs\":[],\"origins\":[{\"origin\":"));
    other = (struct origin){.key = (char *)"http://q.test:80", .agent = &f.agent};
    TAILQ_INIT(&other.blocked);
    TAILQ_INIT(&other.free);
    other.stats = (struct origin_stats){.requests = 5, .first_uses = 5, .opened = 3};
    HASH_ADD_KEYPTR(hh, f.agent.origins, other.key, strlen(other.key), &other);
    explanation_write(diagnosis_history(f.diagnosis), &f.daemon, &f.agent, 1000, &t);
    words = text_of(&t);
    ck_assert_ptr_nonnull(strstr(words, "\"paragraphs\":[\"Since the start, 1.0 s ago, 8 requests opened 6"));
    ck_assert_ptr_nonnull(strstr(words, "q.test"));
    ck_assert(strstr(words, "q.test") < strstr(words, "p.test"));
    ck_assert_ptr_nonnull(strstr(words, "\"more\":0}]}\n"));
    HASH_DEL(f.agent.origins, &other);
    fixture_free(&f);
}
END_TEST

void add_explanation_tests(Suite *suite)
{
    unit_group(suite, "words", words_are_short);
    unit_group(suite, "explanation", traffic, reasons_in_order_of_weight, advice_where_it_costs, tunnels,
               services_that_close, own_limits, requests_that_timed_out_had_waited, every_reason_has_a_cause,
               waiting, waiting_for_what_does_not_open, earlier_limits_held_them, several_things_held_them,
               a_pause_was_part_of_their_wait, over_http2_requests_are_limited, spares_in_vain,
               failed_or_well, now, learned, saved, origins_are_told_the_busiest_first);
}
