/* Why connections are opened, in words: a row a reason. */

#include "admin/explanation.h"
#include "admin/words.h"
#include "base/units.h"

static void put_setting(struct text *out, const char *name, uint64_t ms)
{
    char limit[UNITS_TEXT_SIZE];

    text_format(out, "%s (%s)", name, units_format_time(ms, limit));
}

/* Causes that name a figure */

static void because_warm(struct text *out, const struct account *a)
{
    text_format(out, "%u %s kept spare (minFreeSockets)", a->policy->minFreeSockets,
                a->policy->minFreeSockets == 1 ? "is" : "are");
}

static void because_concurrency(struct text *out, const struct account *a)
{
    text_lit(out, "more connections were in use at the same time than ever before");
    if (a->most_sockets > 1 && !account_is_of_agent(a))
        text_format(out, ", up to %u", a->most_sockets);
}

static bool is_reason_of_nearly_all(const struct account *a, enum retire_reason r)
{
    return account_opened_for(a, replaced(r)) * 10 >= account_opened(a) * 9;
}

static void because_close(struct text *out, const struct account *a)
{
    if (account_closes_each_time(a)) {
        text_lit(out, "the service ends each connection with its response (Connection: close, or HTTP/1.0)");
        return;
    }
    if (account_is_of_agent(a)) { /* one origin may do so each time, and another never */
        text_lit(out, "services said Connection: close");
        return;
    }
    text_lit(out, "the service said Connection: close");
    if (is_reason_of_nearly_all(a,
                                RETIRE_CONNECTION_CLOSE)) { /* of some it is not known how many these had */
        text_lit(out, " after ");
        words_average(out, account_carried(a), account_opened(a));
        text_lit(out, " requests on average");
    }
}

static void because_free_full(struct text *out, const struct account *a)
{
    if (a->policy->maxFreeSockets == 0)
        text_lit(out, "no idle connection is kept (maxFreeSockets is 0)");
    else
        text_format(out, "earlier ones were closed, as %u other%s idle already (maxFreeSockets)",
                    a->policy->maxFreeSockets, a->policy->maxFreeSockets == 1 ? " was" : "s were");
}

static void because_free_timeout(struct text *out, const struct account *a)
{
    text_lit(out, "earlier ones were closed, as they had been idle for ");
    put_setting(out, "timeouts.free", a->policy->timeouts.free);
}

static void because_hint(struct text *out, const struct account *a)
{
    text_lit(out, "the service keeps an idle connection only for ");
    if (a->hint_ms > 0) {
        words_time(out, (double)a->hint_ms);
        text_lit(out, ", as it says in Keep-Alive");
    } else {
        text_lit(out, "as long as it says in Keep-Alive");
    }
}

static void because_max_requests(struct text *out, const struct account *a)
{
    if (a->policy->maxRequestsPerSocket == COUNT_INFINITE)
        text_lit(out, "earlier ones had carried maxRequestsPerSocket requests");
    else
        text_format(out, "earlier ones had carried %u request%s (maxRequestsPerSocket)",
                    a->policy->maxRequestsPerSocket, a->policy->maxRequestsPerSocket == 1 ? "" : "s");
}

static void because_max_age(struct text *out, const struct account *a)
{
    text_lit(out, "earlier ones had reached ");
    put_setting(out, "maxSocketAge", a->policy->maxSocketAge);
}

static void because_peer_closed(struct text *out, const struct account *a)
{
    uint64_t idle = account_closed_idle_ms(a);

    if (idle < CLOSED_AT_ONCE_MS) {
        text_lit(out, "the service closes connections right after a response, without saying so");
        return;
    }
    text_lit(out, "the service had closed earlier ones, which had been idle for ");
    words_time(out, (double)idle);
    text_lit(out, " on average");
}

static void because_goaway(struct text *out, const struct account *a)
{
    if (!account_goaways_are_idle(a)) {
        text_lit(out, "the service had sent GOAWAY");
        return;
    }
    because_peer_closed(out, a);
    text_lit(out, " (GOAWAY)");
}

static void because_learned(struct text *out, const struct account *a)
{
    text_lit(out, "Carpool had closed earlier ones ");
    if (a->learned_ms == 0) {
        text_lit(out, "just before the service does so");
        return;
    }
    text_lit(out, "idle for ");
    words_time(out, (double)a->learned_ms);
    text_lit(out, ", because the service does so after ");
    words_time(out, (double)a->closes_after_ms);
}

/* Of the requests that such a connection was closed for, those that had waited in Carpool for most of their time:
 * all but those that had not, at least. */
static uint64_t timed_out_waiting(const struct account *a)
{
    uint64_t retired = a->stats.retired[RETIRE_REQUEST_TIMEOUT];
    uint64_t slow = a->stats.errors[PROXY_ERROR_RESPONSE_TIMEOUT] - a->stats.timed_out_waiting;

    return retired > slow ? retired - slow : 0;
}

static bool service_was_slow(const struct account *a)
{
    return timed_out_waiting(a) * 2 <= a->stats.retired[RETIRE_REQUEST_TIMEOUT];
}

static void because_request_timeout(struct text *out, const struct account *a)
{
    uint64_t waited = timed_out_waiting(a);

    text_lit(out, "requests on earlier ones ran into timeouts.request");
    if (waited > 0 && waited == a->stats.retired[RETIRE_REQUEST_TIMEOUT])
        text_lit(out, ", after they had waited in Carpool for most of that time");
    else if (waited > 0)
        text_format(out, ", %s of them after they had waited in Carpool for most of that time",
                    service_was_slow(a) ? "some" : "most");
}

static void because_evicted(struct text *out, const struct account *a)
{
    if (a->policy->maxTotalSockets == COUNT_INFINITE)
        text_lit(out, "idle ones were closed, because descriptors had run short");
    else
        text_format(out, "idle ones were closed to make room for other origins, as maxTotalSockets is %u",
                    a->policy->maxTotalSockets);
}

static void because_upgraded(struct text *out, const struct account *a)
{
    static const char *const tunnels[] = {
        [TUNNEL_BY_POLICY] = "; with connect: pool https requests share them",
        [TUNNEL_WITHOUT_CA] = "; with a CA in connectTls (carpoolctl ca create) https requests share them",
        [TUNNEL_UNSIGNED] =
            (", as the CA of connectTls may not sign for this host (it does not name it, or has expired); with "
             "a new CA that names it (carpoolctl ca create) https requests share them"),
        [TUNNEL_BY_CONTENT] = "",
    };

    text_string(out,
                a->is_tunnel ? "each tunnel needs its own" : "each tunnel or upgraded request needs its own");
    text_string(out, a->is_tunnel ? tunnels[a->tunnel_cause] : "");
}

/* What to change */

static bool spares_are_in_vain(const struct account *a)
{
    return a->stats.closed_unused >= 3 && a->stats.closed_unused * 5 >= a->stats.opened;
}

static void advise_warm(struct text *out, const struct account *a)
{
    const uint64_t *retired = a->stats.retired;
    bool by_us = retired[RETIRE_FREE_TIMEOUT] > origin_stats_peer_closed(&a->stats) +
                                                    retired[RETIRE_LEARNED] + retired[RETIRE_KEEPALIVE_HINT];

    words_counted(out, a->stats.closed_unused, "connection"); /* 3 at least */
    text_format(
        out, " were closed unused: lower minFreeSockets, or raise the time for which idle ones are kept (%s)",
        by_us ? "timeouts.free" : "at the service: nginx: keepalive_timeout; Apache: KeepAliveTimeout");
}

static void advise_close(struct text *out, const struct account *a)
{
    if (account_closes_each_time(a))
        text_lit(out, "Switch keep-alive on there (nginx: keepalive_timeout; Apache: KeepAlive On)");
    else if (account_is_of_agent(a))
        text_lit(
            out,
            "Switch keep-alive on there, or raise what limits the requests of a connection (nginx: keepalive_timeout, keepalive_requests; Apache: KeepAlive On, MaxKeepAliveRequests)");
    else
        text_lit(
            out,
            "Raise what limits the requests of a connection there (nginx: keepalive_requests; Apache: MaxKeepAliveRequests)");
}

static void advise_free_full(struct text *out, const struct account *a)
{
    text_lit(out, "Raise maxFreeSockets");
    if (a->most_sockets > a->policy->maxFreeSockets && !account_is_of_agent(a))
        text_format(out, " to %u, the most that were open at a time", a->most_sockets);
}

static void advise_peer_closed(struct text *out, const struct account *a)
{
    if (account_closed_idle_ms(a) < CLOSED_AT_ONCE_MS)
        text_lit(out, "Switch keep-alive on there (nginx: keepalive_timeout; Apache: KeepAlive On)");
    else
        text_lit(
            out,
            "Raise the time for which it keeps idle connections, above the pauses between requests (nginx: keepalive_timeout; Apache: KeepAliveTimeout)");
}

static void advise_goaway(struct text *out, const struct account *a)
{
    if (account_goaways_are_idle(a))
        advise_peer_closed(out, a);
    else
        text_lit(out, "Raise what limits the requests of a connection there (nginx: keepalive_requests)");
}

static void advise_evicted(struct text *out, const struct account *a)
{
    uint32_t needed = account_is_of_agent(a) ? account_needed_in_total(a) : 0;

    if (a->policy->maxTotalSockets == COUNT_INFINITE)
        text_lit(out, "Raise the limit of open files (LimitNOFILE)");
    else
        text_lit(out, "Raise maxTotalSockets");
    if (a->policy->maxTotalSockets < needed)
        text_format(out, " to %u", needed);
}

#define REPLACED(retired, ...) [OPENED_FOR_REPLACED + (retired)] = {__VA_ARGS__}

static const struct reason {
    void (*because)(struct text *out, const struct account *a); /* or */
    const char *cause;
    void (*advise)(struct text *out, const struct account *a); /* or */
    const char *advice;                                        /* NULL: nothing needs to be changed */
    bool (*is_bad)(const struct account *a);                   /* NULL: where it costs enough */
} reasons[OPENED_FOR_COUNT] = {
    [OPENED_FOR_SPARE] = {.because = because_warm, .advise = advise_warm, .is_bad = spares_are_in_vain},
    [OPENED_FOR_FIRST] = {.cause = "there was none yet"},
    [OPENED_FOR_CONCURRENCY] = {.because = because_concurrency},
    [OPENED_FOR_RETRY] =
        {.cause =
             "a request was sent again because the connection that it had used again ended without an answer",
         .advice =
             "If these had been idle for long (idleMs in the log), set timeouts.free below the time for which the service keeps idle ones; if not, see the service's log"},
    REPLACED(RETIRE_KEEPALIVE_OFF, .cause = "each connection carries one request, as keepAlive is false",
             .advice = "Set keepAlive: true if the service can keep connections"),
    REPLACED(RETIRE_CONNECTION_CLOSE, .because = because_close, .advise = advise_close),
    REPLACED(RETIRE_CLOSE_DELIMITED, .cause = "the service ends a response by closing the connection",
             .advice = "Let it send Content-Length or chunks"),
    REPLACED(RETIRE_FREE_FULL, .because = because_free_full, .advise = advise_free_full),
    REPLACED(RETIRE_FREE_TIMEOUT, .because = because_free_timeout,
             .advice = "Raise timeouts.free, if the service keeps idle ones as long"),
    REPLACED(RETIRE_KEEPALIVE_HINT, .because = because_hint,
             .advice = "Raise that time there (nginx: keepalive_timeout; Apache: KeepAliveTimeout)"),
    REPLACED(RETIRE_MAX_REQUESTS, .because = because_max_requests, .advice = "Raise maxRequestsPerSocket"),
    REPLACED(RETIRE_MAX_AGE, .because = because_max_age),
    REPLACED(RETIRE_PEER_CLOSED, .because = because_peer_closed, .advise = advise_peer_closed),
    REPLACED(RETIRE_UNEXPECTED_DATA, .cause = "the service sent bytes that no request had asked for",
             .advice = "Find out what it sends after its responses"),
    REPLACED(RETIRE_SOCKET_TIMEOUT, .cause = "requests on earlier ones ran into timeouts.socket",
             .advice = "Find out why the service is silent for so long"),
    REPLACED(RETIRE_REQUEST_TIMEOUT, .because = because_request_timeout,
             .advice = "Find out why the service is slow", .is_bad = service_was_slow),
    REPLACED(RETIRE_CONNECT_FAILED, .cause = "earlier ones could not be opened"),
    REPLACED(RETIRE_CONNECT_TIMEOUT, .cause = "earlier ones were not open in time"),
    REPLACED(RETIRE_ERROR,
             .cause =
                 "earlier ones were closed or reset in the middle of a message, or when they were used again",
             .advice = "The latest: carpoolctl errors"),
    REPLACED(RETIRE_CLIENT_ABORTED, .cause = "apps left in the middle of a response",
             .advice = "Look at their time limits"),
    REPLACED(RETIRE_PROTOCOL_ERROR, .cause = "the service sent malformed responses",
             .advice = "The latest: carpoolctl errors"),
    REPLACED(RETIRE_EVICTED, .because = because_evicted, .advise = advise_evicted),
    REPLACED(RETIRE_DRAINED, .cause = "earlier ones were drained, by carpoolctl drain or a reload"),
    REPLACED(RETIRE_UPGRADED, .because = because_upgraded),
    REPLACED(RETIRE_PRIVATE, .cause = "NTLM or Negotiate binds each to one client"),
    REPLACED(RETIRE_EARLY_RESPONSE, .cause = "the service answered before it had taken the whole request"),
    REPLACED(RETIRE_SHUTDOWN, .cause = "Carpool stops"),
    REPLACED(
        RETIRE_LEARNED, .because = because_learned,
        .advice =
            "Raise the time for which it keeps idle connections (nginx: keepalive_timeout; Apache: KeepAliveTimeout)"),
    REPLACED(
        RETIRE_DEAD, .cause = "earlier ones were idle, and the other end did not answer any more",
        .advice =
            "Set timeouts.free below the time after which a NAT or load balancer on the way forgets idle connections"),
    REPLACED(RETIRE_GOAWAY, .because = because_goaway, .advise = advise_goaway),
    REPLACED(RETIRE_PING_TIMEOUT, .cause = "the service did not answer a PING"),
    REPLACED(RETIRE_FLOOD, .cause = "the service sent too many useless HTTP/2 frames"),
};

void explanation_put_reason(struct text *out, const struct account *a, enum opened_for why)
{
    const struct reason *r = &reasons[why];

    text_format(out, "%s: ", opened_for_word(why));
    if (r->because)
        r->because(out, a);
    else
        text_string(out, r->cause);
    text_lit(out, ".");
    if (!account_costs(a, why) || !(r->advise || r->advice) || (r->is_bad && !r->is_bad(a)))
        return;
    text_lit(out, " ");
    if (r->advise)
        r->advise(out, a);
    else
        text_string(out, r->advice);
    text_lit(out, ".");
}
