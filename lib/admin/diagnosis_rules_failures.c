/* Rules of the diagnosis for connections and requests that failed. */

#include "admin/diagnosis_rules.h"

#include <string.h>

#include "admin/words.h"
#include "base/clock.h"

/* The other texts say what to look at, or the errors do. */
static void put_connect_advice(const struct diagnosis_input *in, struct text *out)
{
    if (in->connect_failure && strstr(in->connect_failure, "connection refused"))
        text_format(out, "; is %s running and listening there?",
                    in->by_parent ? "that proxy" : "the service");
    else
        text_format(out, "; details: carpoolctl errors %s", in->agent);
}

static bool are_many(uint64_t failed, uint64_t requests, uint64_t at_least)
{
    return failed >= ENOUGH && percent(failed, requests) >= at_least;
}

bool connects_fail(const struct diagnosis_input *in)
{
    uint64_t failed = failed_connects(in);

    return are_many(failed, failed + in->opened, 20);
}

/* "at 10:01:12 UTC": a time, and no age, so that the sentence stays the same until another one fails. */
static void put_time_of_failure(const struct diagnosis_input *in, struct text *out)
{
    char time[CLOCK_RFC3339_SIZE];

    clock_format(in->connect_failed_wall_ms, time);
    text_format(out, "at %.8s UTC", strchr(time, 'T') + 1);
}

/* A connection was opened since one last failed: nothing may be wrong any more. */
static void put_connects_again(const struct diagnosis_input *in, const char *failure, struct text *out)
{
    uint64_t failed = failed_connects(in);

    text_format(out, "%s: connections can be opened again, but ", in->who);
    words_part(out, failed, failed + in->opened, "attempt");
    text_lit(out, " failed in the last 1 to 2 minutes, the last one ");
    put_time_of_failure(in, out);
    text_format(out, ": %s; details: carpoolctl errors %s", failure, in->agent);
}

bool says_connect_fails(const struct diagnosis_input *in, struct text *out)
{
    uint64_t failed = failed_connects(in);
    const char *failure = in->connect_failure ? in->connect_failure : "cannot connect";

    if (!connects_fail(in))
        return false;
    if (in->connects_again) {
        put_connects_again(in, failure, out);
        return true;
    }
    text_format(out, "%s: %s (", in->who, failure);
    if (in->connect_failure) {
        put_time_of_failure(in, out);
        text_lit(out, ", ");
    }
    text_lit(out, "the latest of ");
    words_count(out, failed);
    text_lit(out, " failures in ");
    words_counted(out, failed + in->opened, "attempt");
    text_lit(out, " of the last 1 to 2 minutes)");
    put_connect_advice(in, out);
    return true;
}

bool says_stale(const struct diagnosis_input *in, struct text *out)
{
    uint64_t closed = in->reused_errors - in->dead_errors;

    if (closed < ENOUGH || closed * 100 < in->reused)
        return false;
    put_lately(in, out);
    words_count(out, closed);
    text_lit(
        out,
        " times a connection that a request used again was closed by the origin before it answered. Requests that are safe "
        "to repeat were sent again, others failed. If these connections had been idle for long (idleMs in the log), set "
        "timeouts.free below the time after which the origin closes idle ones; if not, see the service's log");
    return true;
}

static uint64_t dead_paths(const struct diagnosis_input *in)
{
    return in->dead_errors + in->retired[RETIRE_DEAD];
}

bool says_dead_path(const struct diagnosis_input *in, struct text *out)
{
    uint64_t dead = dead_paths(in);

    if (dead < ENOUGH)
        return false;
    put_lately(in, out);
    text_lit(out, "the origin's host acknowledged nothing any more on ");
    words_count(out, dead);
    text_lit(
        out,
        " connections: it is gone, or a firewall, NAT or load balancer forgets connections that are idle; then set "
        "timeouts.free below its limit");
    return true;
}

/* Requests that ran into timeouts.socket. Over HTTP/2 unanswered PINGs end as silence does, and
 * says_ping_timeout() tells of these. */
static uint64_t met_silence(const struct diagnosis_input *in)
{
    if (in->retired[RETIRE_PING_TIMEOUT] > 0)
        return in->retired[RETIRE_SOCKET_TIMEOUT];
    return in->errors[PROXY_ERROR_READ_TIMEOUT] + in->errors[PROXY_ERROR_WRITE_TIMEOUT];
}

/* Requests that ran into timeouts.request. Those that waited in a pause ran out of time for that. */
static uint64_t met_slowness(const struct diagnosis_input *in)
{
    return in->errors[PROXY_ERROR_RESPONSE_TIMEOUT] - (in->paused ? in->timed_out_waiting : 0);
}

static bool is_too_slow(const struct diagnosis_input *in)
{
    return are_many(met_silence(in) + met_slowness(in), in->requests, 5);
}

bool says_timeouts(const struct diagnosis_input *in, struct text *out)
{
    uint64_t silent = met_silence(in), slow = met_slowness(in), all = silent + slow;
    uint64_t waited = in->paused ? 0 : in->timed_out_waiting;

    if (!is_too_slow(in))
        return false;
    put_lately(in, out);
    words_part(out, all, in->requests, "request");
    text_format(out, " ran into %s",
                slow == 0     ? "timeouts.socket"
                : silent == 0 ? "timeouts.request"
                              : "timeouts.socket or timeouts.request");
    if (waited > 0) {
        text_lit(out, ", ");
        if (waited < all)
            words_count(out, waited);
        else
            text_lit(out, "all");
        text_lit(out, " of them after waiting for most of that time while ");
        put_busy(in, out, "were ");
    }
    if (waited * 2 >= all)
        put_remedy(in, out);
    else
        text_format(out, ": find out why the service is slow, or raise %s",
                    slow == 0 || silent == 0 ? "it" : "them");
    return true;
}

/* The most frequent error that was not told yet; PROXY_ERROR_COUNT: none is left. */
static unsigned most_frequent(const uint64_t left[PROXY_ERROR_COUNT])
{
    unsigned most = 0;

    for (unsigned e = 1; e < PROXY_ERROR_COUNT; e++) {
        if (left[e] > left[most])
            most = e;
    }
    return left[most] > 0 ? most : PROXY_ERROR_COUNT;
}

/* Which rule tells of an error where there are enough of its kind. */
enum error_kind { TOLD_ELSEWHERE, OF_CONNECTING, OF_SLOWNESS, OF_ITSELF };

/* All but what clients have done, and refusals by a limit, of which one is enough for says_refused(). The
 * text is the end of a sentence about one request or several. */
static const struct {
    enum error_kind kind;
    const char *because;
} causes[PROXY_ERROR_COUNT] = {
    [PROXY_ERROR_LOOP] = {OF_CONNECTING, "of a loop back to Carpool itself"},
    [PROXY_ERROR_PROHIBITED] = {OF_CONNECTING, "the host's address is in access.denyAddresses"},
    [PROXY_ERROR_UNROUTABLE] = {OF_CONNECTING, "the host cannot be reached"},
    [PROXY_ERROR_DNS] = {OF_CONNECTING, "the name does not resolve"},
    [PROXY_ERROR_DNS_TIMEOUT] = {OF_CONNECTING, "the name servers did not answer"},
    [PROXY_ERROR_REFUSED] = {OF_CONNECTING, "the connection was refused"},
    [PROXY_ERROR_CONNECT_TIMEOUT] = {OF_CONNECTING, "the host did not respond"},
    [PROXY_ERROR_TLS_PROTOCOL] = {OF_CONNECTING, "the TLS handshake failed"},
    [PROXY_ERROR_TLS_CERTIFICATE] = {OF_CONNECTING, "the certificate is not accepted"},
    [PROXY_ERROR_TLS_ALERT] = {OF_CONNECTING, "the host ended the TLS handshake"},
    [PROXY_ERROR_READ_TIMEOUT] = {OF_SLOWNESS, "the origin sent nothing for timeouts.socket"},
    [PROXY_ERROR_WRITE_TIMEOUT] = {OF_SLOWNESS, "the origin took nothing for timeouts.socket"},
    [PROXY_ERROR_RESPONSE_TIMEOUT] = {OF_SLOWNESS, "timeouts.request ran out"},
    [PROXY_ERROR_TERMINATED] = {OF_ITSELF,
                                "the origin closed or reset the connection before its response was complete"},
    [PROXY_ERROR_INCOMPLETE] = {OF_ITSELF, "the origin's response ended before it was complete"},
    [PROXY_ERROR_PROTOCOL] = {OF_ITSELF, "the origin's response was malformed"},
    [PROXY_ERROR_RESPONSE_HEAD_SIZE] = {OF_ITSELF,
                                        "the head of the response was larger than server.maxHeaderSize"},
    [PROXY_ERROR_UNAVAILABLE] = {OF_ITSELF, "the origin refused to serve more (HTTP/2)"},
    [PROXY_ERROR_INTERNAL] = {OF_ITSELF,
                              "Carpool itself failed, or its parent proxy refused them (see its log)"},
};

/* No request had a connection, so what failed did so for want of one. */
static bool are_all_unconnected(const struct diagnosis_input *in)
{
    return connects_fail(in) && in->opened == 0 && in->reused == 0;
}

/* Another rule speaks of these. */
static bool is_told(const struct diagnosis_input *in, enum error_kind kind)
{
    switch (kind) {
    case OF_CONNECTING: return connects_fail(in) || dead_paths(in) >= ENOUGH;
    case OF_SLOWNESS: return is_too_slow(in) || ping_timeouts_matter(in);
    case OF_ITSELF: return are_all_unconnected(in); /* else says_failing() does */
    case TOLD_ELSEWHERE: break;
    }
    return true;
}

/* What no other rule speaks of, whatever the reasons: returns how many. */
static uint64_t find_untold(const struct diagnosis_input *in, uint64_t left[PROXY_ERROR_COUNT])
{
    uint64_t n = 0;

    for (unsigned e = 0; e < PROXY_ERROR_COUNT; e++) {
        left[e] = is_told(in, causes[e].kind) ? 0 : in->errors[e];
        if (e == PROXY_ERROR_RESPONSE_TIMEOUT && left[e] > 0)
            left[e] = met_slowness(in);
        n += left[e];
    }
    return n;
}

/* "3 because ..., 1 because ...", the most frequent first. Eats `left`, which adds up to n. */
static void put_causes(struct text *out, uint64_t left[PROXY_ERROR_COUNT], uint64_t n)
{
    const char *between = "failed: ";

    for (unsigned e; (e = most_frequent(left)) < PROXY_ERROR_COUNT; left[e] = 0) {
        if (left[e] == n) {
            text_format(out, "failed because %s", causes[e].because);
            return;
        }
        text_string(out, between);
        words_count(out, left[e]);
        text_format(out, " because %s", causes[e].because);
        between = ", ";
    }
}

static void put_failing(const struct diagnosis_input *in, struct text *out, const char *of,
                        uint64_t left[PROXY_ERROR_COUNT], uint64_t n)
{
    put_lately(in, out);
    words_part(out, n, in->requests, "request");
    text_string(out, of);
    text_lit(out, " ");
    put_causes(out, left, n);
    text_format(out, "; details: carpoolctl errors %s", in->agent);
}

/* Where a few failed for each of several reasons, they count together. */
bool says_failing(const struct diagnosis_input *in, struct text *out)
{
    uint64_t left[PROXY_ERROR_COUNT], n = find_untold(in, left);

    if (!are_many(n, in->requests, 5))
        return false;
    put_failing(in, out, "", left, n);
    return true;
}

/* Origins that were forgotten. One that no connection could be opened to is so at once, and with it what its
 * own rules would say. */

/* Not the origin's: by itself it is no problem of the pool. */
static bool is_clients_own(unsigned e)
{
    return e == PROXY_ERROR_REQUEST || e == PROXY_ERROR_DENIED;
}

static bool fails_elsewhere(const struct diagnosis_input *in, uint64_t left[PROXY_ERROR_COUNT], uint64_t *n)
{
    uint64_t own = 0;

    *n = 0;
    for (unsigned e = 0; e < PROXY_ERROR_COUNT; e++) {
        left[e] = e == PROXY_ERROR_LIMIT ? 0 : in->errors[e]; /* says_refused_elsewhere() */
        *n += left[e];
        own += is_clients_own(e) ? left[e] : 0;
    }
    return are_many(*n - own, in->requests, 20);
}

bool says_failing_elsewhere(const struct diagnosis_input *in, struct text *out)
{
    uint64_t left[PROXY_ERROR_COUNT], n;
    const char *between = " failed: ";

    if (!fails_elsewhere(in, left, &n))
        return false;
    put_lately(in, out);
    words_part(out, n, in->requests, "request");
    text_lit(out, " to origins since forgotten (*)");
    for (unsigned e; (e = most_frequent(left)) < PROXY_ERROR_COUNT; left[e] = 0) {
        text_string(out, between);
        words_count(out, left[e]);
        text_format(out, " %s", proxy_error_word(e));
        between = ", ";
    }
    text_format(out, "; details: carpoolctl errors %s", in->agent);
    return true;
}

/* From the first, as those of an origin that is known. */
bool says_refused_elsewhere(const struct diagnosis_input *in, struct text *out)
{
    if (in->paused || in->refused == 0)
        return false;
    put_lately(in, out);
    words_part(out, in->refused, in->requests, "request");
    text_format(out,
                " to origins since forgotten (*) %s refused by a limit: raise maxSockets or maxTotalSockets, "
                "or find out why the service is slow or cannot be reached; details: carpoolctl errors %s",
                in->refused == 1 ? "was" : "were", in->agent);
    return true;
}

/* Of all its origins that had too few failures each to prove anything. */

/* A rule speaks of its failures. */
static bool is_reported(const struct diagnosis_input *in, enum diagnosis_scope scope,
                        uint64_t left[PROXY_ERROR_COUNT])
{
    uint64_t n;

    if (scope == DIAGNOSIS_FORGOTTEN)
        return fails_elsewhere(in, left, &n);
    n = find_untold(in, left);
    return is_told(in, OF_CONNECTING) || is_told(in, OF_SLOWNESS) || are_many(n, in->requests, 5);
}

void add_untold(const struct diagnosis_input *in, enum diagnosis_scope scope,
                struct diagnosis_input *together)
{
    uint64_t left[PROXY_ERROR_COUNT];

    if (is_reported(in, scope, left))
        return;
    together->requests += in->requests;
    for (unsigned e = 0; e < PROXY_ERROR_COUNT; e++)
        together->errors[e] += causes[e].because ? left[e] : 0;
}

bool says_failing_together(const struct diagnosis_input *in, struct text *out)
{
    uint64_t left[PROXY_ERROR_COUNT], n = 0;

    for (unsigned e = 0; e < PROXY_ERROR_COUNT; e++)
        n += left[e] = in->errors[e];
    if (!are_many(n, in->requests, 20))
        return false;
    put_failing(in, out, " to different origins", left, n);
    return true;
}
