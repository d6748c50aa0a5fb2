/* The rules of the diagnosis: each a row, each says what is wrong and what to do about it. */

#include "admin/diagnosis_rules.h"

#include <assert.h>
#include <string.h>

#include "admin/account.h"
#include "admin/words.h"
#include "base/clock.h"
#include "base/units.h"
#include "http/repair.h"

/* Those that were open: a connect that failed made none. */
static uint64_t closed_connections(const struct diagnosis_input *in)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        n += in->retired[i];
    return n - failed_connects(in);
}

void put_lately(const struct diagnosis_input *in, struct text *out)
{
    text_format(out, "%s: in the last 1 to 2 minutes, ", in->who);
}

/* "41 of 100 closed connections were closed ", where that is a large share. */
static void put_closed(const struct diagnosis_input *in, struct text *out, uint64_t n)
{
    put_lately(in, out);
    words_part(out, n, closed_connections(in), "closed connection");
    text_lit(out, " were closed ");
}

/* Of the closed connections; one that proves something. */
static bool is_large_share(const struct diagnosis_input *in, uint64_t n, uint64_t at_least)
{
    return n >= ENOUGH && percent(n, closed_connections(in)) >= at_least;
}

static bool says_share(const struct diagnosis_input *in, struct text *out, enum retire_reason reason,
                       uint64_t at_least, const char *advice)
{
    if (!is_large_share(in, in->retired[reason], at_least))
        return false;
    put_closed(in, out, in->retired[reason]);
    text_format(out, "as %s: %s", retire_word(reason), advice);
    return true;
}

static bool says_paused(const struct diagnosis_input *in, struct text *out)
{
    if (!in->paused)
        return false;
    text_format(out, "%s: paused: %u waiting", in->who, in->pending);
    if (in->refused > 0) {
        text_lit(out, ", ");
        words_count(out, in->refused);
        text_lit(out, " refused");
    }
    text_format(out, "; to go on: carpoolctl resume %s", in->agent);
    return true;
}

#define DAY_S (24 * 60 * 60)

/* " expires 2026-12-01 (3 days)", of the last two days " (47 h 59 min)" */
static void put_end(struct text *out, int64_t ends_s, int64_t now_s)
{
    bool is_to_come = ends_s > now_s;
    char date[CLOCK_RFC3339_SIZE];

    clock_format((uint64_t)ends_s * 1000, date);
    text_format(out, " %s %.10s", is_to_come ? "expires" : "expired", date);
    if (!is_to_come)
        return;
    text_lit(out, " (");
    words_time(out, (double)(ends_s - now_s) * 1e3);
    text_lit(out, ")");
}

static bool says_certificate(const struct diagnosis_input *in, struct text *out)
{
    if (!in->certificate_file || in->certificate_ends_s - in->now_s > 14 * DAY_S)
        return false;
    text_format(out, "%s: %s", in->who, in->certificate_file);
    put_end(out, in->certificate_ends_s, in->now_s);
    text_lit(out, ": renew it, then reload");
    return true;
}

static bool says_ca_ends(const struct diagnosis_input *in, struct text *out)
{
    if (!in->ca_file || in->ca_ends_s - in->now_s > 30 * DAY_S)
        return false;
    text_format(out, "%s: the CA %s", in->who, in->ca_file);
    put_end(out, in->ca_ends_s, in->now_s);
    text_lit(out, ": make a new one with carpoolctl ca create, make the clients trust it, then reload");
    return true;
}

static bool says_distrusted(const struct diagnosis_input *in, struct text *out)
{
    bool is_one = in->distrusts == 1, is_known = in->distrusting && *in->distrusting;

    if (in->distrusts == 0)
        return false;
    text_format(out, "%s: %u client%s", in->who, in->distrusts, is_one ? "" : "s");
    if (is_one && is_known)
        text_format(out, " (caller: %s)", in->distrusting);
    text_format(out,
                " %s not trust Carpool's CA: make %s trust %.*s (carpoolctl run does), or set "
                "connect: tunnel where apps pin certificates",
                is_one ? "does" : "do", is_one ? "it" : "them", (int)in->ca_path->n, in->ca_path->p);
    if (!is_one && is_known)
        text_format(out, "; the caller of one of them is %s", in->distrusting);
    return true;
}

/* What holds requests is not the number of connections. */
static bool is_held_by_streams(const struct diagnosis_input *in)
{
    return in->held_by == HELD_BY_STREAMS;
}

/* The limit over all origins where that is what holds. Over HTTP/2 the other one may, even if it is larger: it
 * limits requests. */
static bool is_held_by_total(const struct diagnosis_input *in)
{
    return in->max_sockets == COUNT_INFINITE || (in->max_total < in->max_sockets && in->streams_each == 0) ||
           (in->sockets < in->max_sockets && in->agent_sockets >= in->max_total);
}

/* To raise one of them alone would be in vain. */
static bool is_held_by_both(const struct diagnosis_input *in)
{
    return in->max_total == in->max_sockets ||
           (in->sockets >= in->max_sockets && in->agent_sockets >= in->max_total);
}

static const char *holding_limit(const struct diagnosis_input *in)
{
    if (is_held_by_streams(in))
        return "that limit";
    if (is_held_by_total(in))
        return "maxTotalSockets";
    return is_held_by_both(in) ? "maxSockets and maxTotalSockets" : "maxSockets";
}

static bool put_busy_streams(const struct diagnosis_input *in, struct text *out)
{
    if (is_held_by_streams(in))
        text_format(out,
                    "the origin takes %u at a time on each of its HTTP/2 connections "
                    "(SETTINGS_MAX_CONCURRENT_STREAMS)",
                    in->streams_each);
    else if (in->streams_each > 0 && in->in_flight >= in->max_sockets && in->sockets < in->max_sockets)
        text_format(out, "%u in flight over HTTP/2 (maxSockets limits these, too)", in->in_flight);
    else
        return false;
    return true;
}

/* Of the connections that the limit counts not one was open: those that requests waited for were being opened. */
static bool was_none_open(const struct diagnosis_input *in)
{
    uint32_t taken = is_held_by_total(in) ? in->agent_sockets : in->sockets;

    return (in->connecting > 0 || failed_connects(in) > 0) && in->opened == 0 && in->reused == 0 &&
           in->connecting == taken && closed_connections(in) == 0;
}

void put_busy(const struct diagnosis_input *in, struct text *out, const char *were)
{
    uint32_t limit = is_held_by_total(in) ? in->max_total : in->max_sockets;
    const char *state = was_none_open(in) ? "being opened" : "busy";

    if (put_busy_streams(in, out))
        return;
    if (limit == 1)
        text_format(out, "the only connection %s%s (%s", *were ? "was " : "", state, holding_limit(in));
    else if (limit == 2)
        text_format(out, "both connections %s%s (%s", were, state, holding_limit(in));
    else
        text_format(out, "all %u connections %s%s (%s", limit, were, state, holding_limit(in));
    if (in->streams_each > 0)
        text_format(out, "; over HTTP/2 each takes %u at a time", in->streams_each);
    text_lit(out, ")");
}

void put_remedy(const struct diagnosis_input *in, struct text *out)
{
    if (was_none_open(in))
        text_lit(out, ": find out why connecting fails or takes so long");
    else
        text_format(out, ": raise %s, or find out why the service is slow", holding_limit(in));
}

/* Why requests were refused: at once, after their wait, or some so and some so. */
static void put_refusals(const struct diagnosis_input *in, struct text *out)
{
    uint64_t waited = in->refused - in->queue_full;
    char limit[UNITS_TEXT_SIZE];

    if (in->queue_full > 0) {
        text_lit(out, ", ");
        if (waited > 0) {
            words_count(out, in->queue_full);
            text_lit(out, " ");
        }
        if (in->max_pending == 0)
            text_lit(out, "because there is no queue (maxPendingRequests is 0)");
        else
            text_format(out, "because %u %s waiting already (maxPendingRequests)", in->max_pending,
                        in->max_pending == 1 ? "was" : "were");
    }
    if (waited > 0) {
        text_lit(out, ", ");
        if (in->queue_full > 0) {
            words_count(out, waited);
            text_lit(out, " ");
        }
        text_format(out, "after waiting %s (timeouts.pending)",
                    units_format_time(in->pending_limit_ms, limit));
    }
}

static bool says_refused(const struct diagnosis_input *in, struct text *out)
{
    if (in->paused || in->refused == 0)
        return false;
    put_lately(in, out);
    words_part(out, in->refused, in->requests, "request");
    text_lit(out, " refused while ");
    put_busy(in, out, "were ");
    put_refusals(in, out);
    put_remedy(in, out);
    return true;
}

static bool says_waiting(const struct diagnosis_input *in, struct text *out)
{
    bool full = in->sockets >= in->max_sockets || in->agent_sockets >= in->max_total ||
                in->held_by == HELD_BY_STREAMS || (in->streams_each > 0 && in->in_flight >= in->max_sockets);

    if (in->paused || in->pending == 0 || in->saturated_ms < 1000 || in->refused > 0 || !full)
        return false;
    text_format(out, "%s: %u request%s waiting, ", in->who, in->pending, in->pending == 1 ? "" : "s");
    put_busy(in, out, "");
    text_lit(out, " for ");
    words_time(out, (double)in->saturated_ms);
    put_remedy(in, out);
    return true;
}

/* Of one caller: the others wait after it. */
static bool says_heavy_caller(const struct diagnosis_input *in, struct text *out)
{
    if (in->takes_turns || in->paused || !in->heaviest || in->heaviest_pending == in->pending ||
        in->heaviest_pending < ENOUGH || percent(in->heaviest_pending, in->pending) < 75 ||
        in->saturated_ms < 1000)
        return false;
    text_format(out, "%s: %u of %u pending are of %s: queue: fair keeps the others going", in->who,
                in->heaviest_pending, in->pending, in->heaviest);
    return true;
}

/* Only what is so: few free places and many requests at once look alike. */
static const char *why_no_reuse(const struct diagnosis_input *in, enum retire_reason reason)
{
    switch ((int)reason) {
    case RETIRE_CONNECTION_CLOSE:
        return "the origin answers with Connection: close (or with HTTP/1.0): switch keep-alive on there";
    case RETIRE_CLOSE_DELIMITED:
        return "the origin ends each response by closing the connection: have it send Content-Length or chunks";
    case RETIRE_KEEPALIVE_OFF:
        return in->keep_alive ? NULL
                              : "keepAlive is false: set it to true if the service can keep connections";
    case RETIRE_MAX_REQUESTS:
        return in->max_requests_per_socket == 1 ? "maxRequestsPerSocket is 1: raise it" : NULL;
    case RETIRE_FREE_FULL: return in->max_free == 0 ? "maxFreeSockets is 0: raise it" : NULL;
    case RETIRE_PRIVATE: return "NTLM or Negotiate binds each one to a single client";
    default: return NULL;
    }
}

static bool says_no_reuse(const struct diagnosis_input *in, struct text *out)
{
    if (in->reused > 0)
        return false;
    for (unsigned r = 1; r < RETIRE_COUNT; r++) {
        const char *why = why_no_reuse(in, (enum retire_reason)r);
        uint64_t n = in->retired[r];

        if (why && n >= ENOUGH && percent(n, in->requests) >= 80) {
            text_format(out, "%s: no connection is used again, because %s", in->who, why);
            return true;
        }
    }
    return false;
}

static bool says_peer_closed(const struct diagnosis_input *in, struct text *out)
{
    uint64_t fin = in->retired[RETIRE_PEER_CLOSED], n = fin + in->idle_goaways;

    if (!is_large_share(in, n, 20) || in->learned_ms > 0)
        return false;
    if (connects_fail(in))
        return false; /* a service that ends closes all its connections; what is wrong is that it is gone */
    put_closed(in, out, n);
    text_lit(out, "by the origin after ");
    words_time(out, (double)in->peer_closed_idle_ms);
    text_lit(out, " idle on average: ");
    if (in->peer_closed_idle_ms < CLOSED_AT_ONCE_MS)
        text_lit(out, "switch keep-alive on there, or have it say Connection: close");
    else if (fin < in->idle_goaways) /* HTTP/2 has no way to announce it */
        text_lit(out, "raise its keep-alive time");
    else
        text_lit(out, "raise its keep-alive time, or have it announce that (Keep-Alive: timeout=N)");
    return true;
}

static bool says_learned(const struct diagnosis_input *in, struct text *out)
{
    if (!is_large_share(in, in->retired[RETIRE_LEARNED], 20) || in->learned_ms == 0)
        return false;
    put_closed(in, out, in->retired[RETIRE_LEARNED]);
    text_lit(out, "by Carpool after ");
    words_time(out, (double)in->learned_ms);
    text_lit(out, " idle, because the origin closes them after ");
    words_time(out, (double)in->origin_idle_ms);
    text_lit(out, ": raise the origin's keep-alive time");
    return true;
}

static bool says_free_full(const struct diagnosis_input *in, struct text *out)
{
    return in->max_free > 0 && says_share(in, out, RETIRE_FREE_FULL, 20, "raise maxFreeSockets");
}

static bool says_evicted(const struct diagnosis_input *in, struct text *out)
{
    if (!is_large_share(in, in->retired[RETIRE_EVICTED], 20))
        return false;
    put_lately(in, out);
    words_part(out, in->retired[RETIRE_EVICTED], closed_connections(in), "closed connection");
    text_lit(out, " made room for others");
    if (in->max_total == COUNT_INFINITE)
        text_lit(out, " when descriptors ran short: raise the limit of open files (LimitNOFILE)");
    else if (in->agent_sockets >= in->max_total)
        text_format(out, ", as maxTotalSockets is %u: raise it", in->max_total);
    else
        text_format(out,
                    ": raise maxTotalSockets (it is %u), or the limit of open files if the log says that "
                    "descriptors ran out",
                    in->max_total);
    return true;
}

static bool says_max_requests(const struct diagnosis_input *in, struct text *out)
{
    return in->reused > 0 && in->reused < in->requests * 9 / 10 &&
           says_share(in, out, RETIRE_MAX_REQUESTS, 50, "raise maxRequestsPerSocket");
}

/* Of a server that compresses at all, some of so many texts would be. */
#define ENOUGH_TEXTS 20

static bool says_uncompressed(const struct diagnosis_input *in, struct text *out)
{
    if (in->texts < ENOUGH_TEXTS || in->texts_plain < in->texts)
        return false;
    put_lately(in, out);
    text_lit(out, "none of ");
    words_counted(out, in->texts, "text response");
    text_lit(
        out,
        " was compressed though clients accept gzip: stock nginx and IIS do not compress where there is a Via; set "
        "gzip_proxied any there, or via: false here");
    return true;
}

static bool says_repaired(const struct diagnosis_input *in, struct text *out)
{
    const char *between = "";

    if (in->repaired == 0)
        return false;
    put_lately(in, out);
    text_lit(out, "insecureHTTPParser repaired ");
    words_counted(out, in->repaired, "malformed response");
    text_lit(out, ", each at the price of a connection (");
    for (unsigned i = 0; i < REPAIR_COUNT; i++) {
        if (in->repairs[i] == 0)
            continue;
        text_format(out, "%s%s", between, repair_words(i));
        between = ", ";
    }
    text_lit(out, "): have the service fixed");
    return true;
}

/* A connection that ends after so few requests was hardly worth its handshake. */
#define FEW_REQUESTS 20

static bool says_goaway(const struct diagnosis_input *in, struct text *out)
{
    uint64_t n = in->retired[RETIRE_GOAWAY];

    if (n - in->idle_goaways < ENOUGH || in->requests >= n * FEW_REQUESTS)
        return false;
    text_format(
        out,
        "%s: the origin ends connections of HTTP/2 after few requests (GOAWAY); none is lost by that, but "
        "each new connection costs a handshake: raise its limit (nginx: keepalive_requests)",
        in->who);
    return true;
}

/* One is enough where connections are few: it had many requests. */
bool ping_timeouts_matter(const struct diagnosis_input *in)
{
    uint64_t n = in->retired[RETIRE_PING_TIMEOUT];

    return n > 0 && percent(n, closed_connections(in)) >= 5;
}

static bool says_ping_timeout(const struct diagnosis_input *in, struct text *out)
{
    uint64_t n = in->retired[RETIRE_PING_TIMEOUT];

    if (!ping_timeouts_matter(in))
        return false;
    put_lately(in, out);
    text_lit(out, "PINGs went unanswered on ");
    words_counted(out, n, "HTTP/2 connection");
    text_lit(
        out,
        " (ping-timeout): the origin, or a firewall, NAT or load balancer on the way, stopped answering");
    return true;
}

const struct diagnosis_rule diagnosis_rules[] = {
    {"paused", DIAGNOSIS_AGENT, says_paused},
    {"certificate", DIAGNOSIS_AGENT, says_certificate},
    {"ca-ends", DIAGNOSIS_AGENT, says_ca_ends},
    {"distrusted", DIAGNOSIS_AGENT, says_distrusted},
    {"refused", DIAGNOSIS_ORIGIN, says_refused},
    {"waiting", DIAGNOSIS_ORIGIN, says_waiting},
    {"heavy-caller", DIAGNOSIS_ORIGIN, says_heavy_caller},
    {"connect-fails", DIAGNOSIS_ORIGIN, says_connect_fails},
    {"timeouts", DIAGNOSIS_ORIGIN, says_timeouts},
    {"failing", DIAGNOSIS_ORIGIN, says_failing},
    {"no-reuse", DIAGNOSIS_ORIGIN, says_no_reuse},
    {"peer-closed", DIAGNOSIS_ORIGIN, says_peer_closed},
    {"learned", DIAGNOSIS_ORIGIN, says_learned},
    {"stale", DIAGNOSIS_ORIGIN, says_stale},
    {"dead-path", DIAGNOSIS_ORIGIN, says_dead_path},
    {"free-full", DIAGNOSIS_ORIGIN, says_free_full},
    {"evicted", DIAGNOSIS_ORIGIN, says_evicted},
    {"max-requests", DIAGNOSIS_ORIGIN, says_max_requests},
    {"goaway", DIAGNOSIS_ORIGIN, says_goaway},
    {"ping-timeout", DIAGNOSIS_ORIGIN, says_ping_timeout},
    {"repaired", DIAGNOSIS_ORIGIN, says_repaired},
    {"uncompressed", DIAGNOSIS_ORIGIN, says_uncompressed},
    {"refused-elsewhere", DIAGNOSIS_FORGOTTEN, says_refused_elsewhere},
    {"failing-elsewhere", DIAGNOSIS_FORGOTTEN, says_failing_elsewhere},
    {"failing-together", DIAGNOSIS_TOGETHER, says_failing_together},
};
const unsigned diagnosis_rule_count = sizeof diagnosis_rules / sizeof diagnosis_rules[0];

const struct diagnosis_rule *diagnosis_rule_named(const char *name)
{
    for (unsigned i = 0; i < diagnosis_rule_count; i++) {
        if (strcmp(diagnosis_rules[i].name, name) == 0)
            return &diagnosis_rules[i];
    }
    assert(!"no such rule");
    return NULL;
}
