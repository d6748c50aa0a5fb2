/* Rules of the diagnosis for connections and requests that failed. */

#include "admin/diagnosis_rules.h"

bool says_connect_fails(const struct diagnosis_input *in, struct text *out)
{
    uint64_t failed = in->retired[RETIRE_CONNECT_FAILED] + in->retired[RETIRE_CONNECT_TIMEOUT];
    uint64_t tried = failed + in->opened;

    if (failed < ENOUGH || percent(failed, tried) < 20)
        return false;
    text_format(out, "%s: %s (%llu of the last %llu attempts)", in->who,
                in->connect_failure ? in->connect_failure : "cannot connect", (unsigned long long)failed,
                (unsigned long long)tried);
    return true;
}

bool says_stale(const struct diagnosis_input *in, struct text *out)
{
    uint64_t closed = in->reused_errors - in->dead_errors;

    if (closed < ENOUGH || closed * 100 < in->reused)
        return false;
    text_format(
        out,
        "%s: %llu connections had been closed by the origin when requests used them again; retries are for those "
        "that are safe to repeat: where it closes what is idle, a shorter timeouts.free avoids that",
        in->who, (unsigned long long)closed);
    return true;
}

bool says_dead_path(const struct diagnosis_input *in, struct text *out)
{
    uint64_t dead = in->dead_errors + in->retired[RETIRE_DEAD];

    if (dead < ENOUGH)
        return false;
    text_format(
        out,
        "%s: the origin's host acknowledged nothing any more on %llu connections: it is gone, or a firewall, NAT or "
        "load balancer forgets connections that are idle; then set timeouts.free below its limit",
        in->who, (unsigned long long)dead);
    return true;
}

bool says_timeouts(const struct diagnosis_input *in, struct text *out)
{
    uint64_t silent = in->retired[RETIRE_SOCKET_TIMEOUT], slow = in->retired[RETIRE_REQUEST_TIMEOUT];

    if (silent + slow < ENOUGH || percent(silent + slow, in->requests) < 5)
        return false;
    text_format(out, "%s: %llu %% of requests ran into %s: find out why the service is slow, or raise %s",
                in->who, (unsigned long long)percent(silent + slow, in->requests),
                slow == 0     ? "timeouts.socket"
                : silent == 0 ? "timeouts.request"
                              : "timeouts.socket or timeouts.request",
                slow == 0 || silent == 0 ? "it" : "them");
    return true;
}

/* What no other rule speaks of. */
static const struct {
    enum proxy_error error;
    const char *means;
} failures[] = {
    {PROXY_ERROR_TERMINATED, "the origin closed or reset the connection before its response was complete"},
    {PROXY_ERROR_INCOMPLETE, "the origin's response ended before it was complete"},
    {PROXY_ERROR_PROTOCOL, "the origin sent malformed responses"},
    {PROXY_ERROR_RESPONSE_HEAD_SIZE, "heads of responses were larger than server.maxHeaderSize"},
    {PROXY_ERROR_UNAVAILABLE, "the origin refused them (HTTP/2)"},
    {PROXY_ERROR_PROHIBITED, "the host's address is in access.denyAddresses"},
    {PROXY_ERROR_INTERNAL, "Carpool could not serve them, the log says why"},
};

/* The share is that of all such failures; the words are those of the most frequent one. */
bool says_failing(const struct diagnosis_input *in, struct text *out)
{
    uint64_t n = 0;
    size_t most = 0;

    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        n += in->errors[failures[i].error];
        if (in->errors[failures[i].error] > in->errors[failures[most].error])
            most = i;
    }
    if (n < ENOUGH || percent(n, in->requests) < 5)
        return false;
    text_format(out, "%s: %llu of %llu requests failed: %s; details: carpoolctl errors %s", in->who,
                (unsigned long long)n, (unsigned long long)in->requests, failures[most].means, in->agent);
    return true;
}

/* The client's own. */
static bool is_of_client(enum proxy_error e)
{
    return e == PROXY_ERROR_REQUEST || e == PROXY_ERROR_DENIED || e == PROXY_ERROR_LOOP;
}

/* An origin that no connection could be opened to is forgotten at once, and with it what its own rules would
 * say. */
bool says_failing_elsewhere(const struct diagnosis_input *in, struct text *out)
{
    uint64_t n = 0;
    unsigned most = PROXY_ERROR_COUNT;

    for (unsigned e = 0; e < PROXY_ERROR_COUNT; e++) {
        if (is_of_client((enum proxy_error)e))
            continue;
        n += in->errors[e];
        if (in->errors[e] > 0 && (most == PROXY_ERROR_COUNT || in->errors[e] > in->errors[most]))
            most = e;
    }
    if (n < ENOUGH || percent(n, in->requests) < 20)
        return false;
    text_format(
        out,
        "%s: %llu of %llu requests to origins that are forgotten by now (*) failed: %s; details: carpoolctl errors %s",
        in->who, (unsigned long long)n, (unsigned long long)in->requests,
        proxy_error_word((enum proxy_error)most), in->agent);
    return true;
}
