/* Rules of the diagnosis for connections and requests that failed. */

#include "admin/diagnosis_rules.h"

#include <string.h>

#include "admin/words.h"

/* The other texts say what to look at, or the errors do. */
static void put_connect_advice(const struct diagnosis_input *in, struct text *out)
{
    if (in->connect_failure && strstr(in->connect_failure, "connection refused"))
        text_lit(out, "; is the service running and listening there?");
    else
        text_format(out, "; details: carpoolctl errors %s", in->agent);
}

bool says_connect_fails(const struct diagnosis_input *in, struct text *out)
{
    uint64_t failed = in->retired[RETIRE_CONNECT_FAILED] + in->retired[RETIRE_CONNECT_TIMEOUT];
    uint64_t tried = failed + in->opened;

    if (failed < ENOUGH || percent(failed, tried) < 20)
        return false;
    text_format(out, "%s: %s (the latest of ", in->who,
                in->connect_failure ? in->connect_failure : "cannot connect");
    words_count(out, failed);
    text_lit(out, " failures in ");
    words_counted(out, tried, "attempt");
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
        " connections had been closed by the origin when requests used them again; retries are for those that are safe "
        "to repeat: where it closes what is idle, a shorter timeouts.free avoids that");
    return true;
}

bool says_dead_path(const struct diagnosis_input *in, struct text *out)
{
    uint64_t dead = in->dead_errors + in->retired[RETIRE_DEAD];

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

/* Those that waited in a pause ran out of time for that. */
bool says_timeouts(const struct diagnosis_input *in, struct text *out)
{
    uint64_t silent = met_silence(in), waited = in->paused ? 0 : in->timed_out_waiting;
    uint64_t slow = in->errors[PROXY_ERROR_RESPONSE_TIMEOUT] - (in->timed_out_waiting - waited);
    uint64_t all = silent + slow;

    if (all < ENOUGH || percent(all, in->requests) < 5)
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

/* What no other rule speaks of: each the end of a sentence about one request or several. */
static const char *const causes[PROXY_ERROR_COUNT] = {
    [PROXY_ERROR_TERMINATED] = "the origin closed or reset the connection before its response was complete",
    [PROXY_ERROR_INCOMPLETE] = "the origin's response ended before it was complete",
    [PROXY_ERROR_PROTOCOL] = "the origin's response was malformed",
    [PROXY_ERROR_RESPONSE_HEAD_SIZE] = "the head of the response was larger than server.maxHeaderSize",
    [PROXY_ERROR_UNAVAILABLE] = "the origin refused to serve more (HTTP/2)",
    [PROXY_ERROR_PROHIBITED] = "the host's address is in access.denyAddresses",
    [PROXY_ERROR_INTERNAL] = "of an error in Carpool itself, which its log explains",
};

/* "3 because ..., 1 because ...", the most frequent first. Eats `left`, which adds up to n. */
static void put_causes(struct text *out, uint64_t left[PROXY_ERROR_COUNT], uint64_t n)
{
    const char *between = "failed: ";

    for (unsigned e; (e = most_frequent(left)) < PROXY_ERROR_COUNT; left[e] = 0) {
        if (left[e] == n) {
            text_format(out, "failed because %s", causes[e]);
            return;
        }
        text_string(out, between);
        words_count(out, left[e]);
        text_format(out, " because %s", causes[e]);
        between = ", ";
    }
}

bool says_failing(const struct diagnosis_input *in, struct text *out)
{
    uint64_t left[PROXY_ERROR_COUNT] = {0}, n = 0;

    for (unsigned e = 0; e < PROXY_ERROR_COUNT; e++) {
        left[e] = causes[e] ? in->errors[e] : 0;
        n += left[e];
    }
    if (n < ENOUGH || percent(n, in->requests) < 5)
        return false;
    put_lately(in, out);
    words_part(out, n, in->requests, "request");
    text_lit(out, " ");
    put_causes(out, left, n);
    text_format(out, "; details: carpoolctl errors %s", in->agent);
    return true;
}

/* Origins that were forgotten. One that no connection could be opened to is so at once, and with it what its
 * own rules would say. */

/* Not the origin's: by itself it is no problem of the pool. */
static bool is_clients_own(unsigned e)
{
    return e == PROXY_ERROR_REQUEST || e == PROXY_ERROR_DENIED || e == PROXY_ERROR_LOOP;
}

bool says_failing_elsewhere(const struct diagnosis_input *in, struct text *out)
{
    uint64_t left[PROXY_ERROR_COUNT] = {0}, n = 0, own = 0;
    const char *between = " failed: ";

    for (unsigned e = 0; e < PROXY_ERROR_COUNT; e++) {
        left[e] = e == PROXY_ERROR_LIMIT ? 0 : in->errors[e]; /* says_refused_elsewhere() */
        n += left[e];
        own += is_clients_own(e) ? left[e] : 0;
    }
    if (n - own < ENOUGH || percent(n - own, in->requests) < 20)
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
                "or find out why the service is slow; details: carpoolctl errors %s",
                in->refused == 1 ? "was" : "were", in->agent);
    return true;
}
