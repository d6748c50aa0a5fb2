/* The rules of the diagnosis: each a row, each says what is wrong and what to do about it. */

#include "admin/diagnosis.h"

#include <assert.h>
#include <string.h>

#include "base/units.h"

/* Fewer than this prove nothing. */
#define ENOUGH 3

static uint64_t all_retired(const struct diagnosis_input *in)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        n += in->retired[i];
    return n;
}

static uint64_t percent(uint64_t part, uint64_t whole)
{
    return whole ? part * 100 / whole : 0;
}

/* "30 s", "350 ms", "12 min" */
static void put_duration(struct text *t, uint64_t ms)
{
    if (ms < 1000)
        text_format(t, "%llu ms", (unsigned long long)ms);
    else if (ms < 10 * 60 * 1000)
        text_format(t, "%llu s", (unsigned long long)(ms / 1000));
    else
        text_format(t, "%llu min", (unsigned long long)(ms / 60000));
}

/* A share of retirements that one reason takes; 0 when it does not matter. */
static uint64_t share(const struct diagnosis_input *in, enum retire_reason reason, uint64_t at_least)
{
    uint64_t part = percent(in->retired[reason], all_retired(in));

    return in->retired[reason] >= ENOUGH && part >= at_least ? part : 0;
}

static bool says_share(const struct diagnosis_input *in, struct text *out, enum retire_reason reason,
                       uint64_t at_least, const char *advice)
{
    uint64_t part = share(in, reason, at_least);

    if (part == 0)
        return false;
    text_format(out, "%s: %llu %% of retirements are %s: %s", in->who, (unsigned long long)part,
                retire_word(reason), advice);
    return true;
}

static bool says_paused(const struct diagnosis_input *in, struct text *out)
{
    if (!in->paused)
        return false;
    text_format(out, "%s: paused, %u pending: new requests wait until carpoolctl resume %s", in->who,
                in->pending, in->agent);
    return true;
}

static bool says_certificate(const struct diagnosis_input *in, struct text *out)
{
    const int64_t day = 24 * 60 * 60;

    if (in->certificate_ends_s > 14 * day)
        return false;
    if (in->certificate_ends_s <= 0)
        text_format(
            out,
            "%s: a certificate of its tls.ca or tls.cert is no longer valid: renew the file, then reload",
            in->who);
    else
        text_format(
            out, "%s: a certificate of its tls.ca or tls.cert ends in %lld days: renew the file, then reload",
            in->who, (long long)(in->certificate_ends_s / day));
    return true;
}

static bool says_saturated(const struct diagnosis_input *in, struct text *out)
{
    if (in->paused || in->pending == 0 || in->saturated_ms < 1000 || in->sockets < in->max_sockets)
        return false;
    text_format(out, "%s: %u pending, all %u sockets active for ", in->who, in->pending, in->max_sockets);
    put_duration(out, in->saturated_ms);
    text_lit(out, ": raise maxSockets or the upstream is slow");
    return true;
}

static bool says_total_full(const struct diagnosis_input *in, struct text *out)
{
    if (in->paused || in->pending == 0 || in->saturated_ms < 1000 || in->sockets >= in->max_sockets ||
        in->agent_sockets < in->max_total)
        return false;
    text_format(out, "%s: %u pending, all %u places of maxTotalSockets taken for ", in->who, in->pending,
                in->max_total);
    put_duration(out, in->saturated_ms);
    text_lit(out, ": raise maxTotalSockets or the upstream is slow");
    return true;
}

static bool says_no_reuse(const struct diagnosis_input *in, struct text *out)
{
    static const struct {
        enum retire_reason reason;
        const char *why;
    } causes[] = {
        {RETIRE_CONNECTION_CLOSE, "the origin answers Connection: close"},
        {RETIRE_CLOSE_DELIMITED,
         "the end of the origin's responses is the end of the connection (no Content-Length, not chunked)"},
        {RETIRE_KEEPALIVE_OFF, "keepAlive is false here"},
        {RETIRE_MAX_REQUESTS, "maxRequestsPerSocket is 1 here"},
        {RETIRE_FREE_FULL, "maxFreeSockets is 0 here"},
        {RETIRE_PRIVATE, "NTLM or Negotiate binds each socket to one client"},
    };

    if (in->reused > 0)
        return false;
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
        uint64_t n = in->retired[causes[i].reason];

        if (n >= ENOUGH && percent(n, in->requests) >= 80) {
            text_format(out, "%s: no reuse: %s", in->who, causes[i].why);
            return true;
        }
    }
    return false;
}

static bool says_peer_closed(const struct diagnosis_input *in, struct text *out)
{
    uint64_t part = share(in, RETIRE_PEER_CLOSED, 20);
    uint64_t idle = in->peer_closed_idle_ms;
    char limit[UNITS_TEXT_SIZE];

    if (part == 0)
        return false;
    text_format(out, "%s: %llu %% of retirements are peer-closed after ", in->who, (unsigned long long)part);
    put_duration(out, idle);
    if (idle == 0)
        text_lit(out, " idle: the origin closes without saying Connection: close");
    else
        text_format(out, " idle: set timeouts.free below %s",
                    units_format_time(idle < 1000 ? idle : idle / 1000 * 1000, limit));
    return true;
}

static bool says_free_full(const struct diagnosis_input *in, struct text *out)
{
    return in->reused > 0 && says_share(in, out, RETIRE_FREE_FULL, 20, "raise maxFreeSockets");
}

static bool says_evicted(const struct diagnosis_input *in, struct text *out)
{
    return says_share(in, out, RETIRE_EVICTED, 20,
                      "its sockets make room for other origins: raise maxTotalSockets");
}

static bool says_max_requests(const struct diagnosis_input *in, struct text *out)
{
    return in->reused > 0 && in->reused < in->requests * 9 / 10 &&
           says_share(in, out, RETIRE_MAX_REQUESTS, 50, "raise maxRequestsPerSocket");
}

static bool says_connect_fails(const struct diagnosis_input *in, struct text *out)
{
    uint64_t failed = in->retired[RETIRE_CONNECT_FAILED] + in->retired[RETIRE_CONNECT_TIMEOUT];
    uint64_t tried = failed + in->opened;

    if (failed < ENOUGH || percent(failed, tried) < 20)
        return false;
    text_format(out,
                "%s: %llu of %llu new sockets could not be opened: see its recent errors, then the origin",
                in->who, (unsigned long long)failed, (unsigned long long)tried);
    return true;
}

static bool says_stale(const struct diagnosis_input *in, struct text *out)
{
    if (in->reused_errors < ENOUGH || in->reused_errors * 100 < in->reused)
        return false;
    text_format(out,
                "%s: %llu reused sockets failed under a request: set timeouts.free below the time "
                "after which the origin closes",
                in->who, (unsigned long long)in->reused_errors);
    return true;
}

static bool says_timeouts(const struct diagnosis_input *in, struct text *out)
{
    uint64_t n = in->retired[RETIRE_SOCKET_TIMEOUT] + in->retired[RETIRE_REQUEST_TIMEOUT];

    if (n < ENOUGH || percent(n, in->requests) < 5)
        return false;
    text_format(out,
                "%s: %llu %% of requests ran into timeouts.socket or timeouts.request: the upstream is "
                "slow, or raise them",
                in->who, (unsigned long long)percent(n, in->requests));
    return true;
}

const struct diagnosis_rule diagnosis_rules[] = {
    {"paused", DIAGNOSIS_AGENT, says_paused},
    {"certificate", DIAGNOSIS_AGENT, says_certificate},
    {"saturated", DIAGNOSIS_ORIGIN, says_saturated},
    {"total-full", DIAGNOSIS_ORIGIN, says_total_full},
    {"connect-fails", DIAGNOSIS_ORIGIN, says_connect_fails},
    {"timeouts", DIAGNOSIS_ORIGIN, says_timeouts},
    {"no-reuse", DIAGNOSIS_ORIGIN, says_no_reuse},
    {"peer-closed", DIAGNOSIS_ORIGIN, says_peer_closed},
    {"stale", DIAGNOSIS_ORIGIN, says_stale},
    {"free-full", DIAGNOSIS_ORIGIN, says_free_full},
    {"evicted", DIAGNOSIS_ORIGIN, says_evicted},
    {"max-requests", DIAGNOSIS_ORIGIN, says_max_requests},
};
const unsigned diagnosis_rule_count = sizeof diagnosis_rules / sizeof diagnosis_rules[0];

const struct diagnosis_rule *diagnosis_rule(const char *name)
{
    for (unsigned i = 0; i < diagnosis_rule_count; i++) {
        if (strcmp(diagnosis_rules[i].name, name) == 0)
            return &diagnosis_rules[i];
    }
    assert(!"no such rule");
    return NULL;
}
