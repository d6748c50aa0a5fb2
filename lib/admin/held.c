#include "admin/held.h"

#include <string.h>

#include "admin/words.h"
#include "base/minmax.h"
#include "base/units.h"

#define MINUTE_MS (60 * 1000)

uint32_t held_by_limits(const struct account *a)
{
    return held_in_all(a) - a->hour.held[HELD_BY_PAUSE];
}

uint32_t held_in_all(const struct account *a)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < HELD_BY_COUNT; i++)
        n += a->hour.held[i];
    return n;
}

uint32_t held_lately(const struct account *a, enum held_by by)
{
    uint32_t held = a->hour.held[by], before = a->hour.held_before[by];

    return held > before ? held - before : 0;
}

uint32_t held_lately_by_limits(const struct account *a)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < HELD_BY_COUNT; i++)
        n += i == HELD_BY_PAUSE ? 0 : held_lately(a, (enum held_by)i);
    return n;
}

/* " (maxSockets is 4)"; " (maxSockets)" where it has been another one within the hour. */
static void put_limit(struct text *out, const struct account *a, enum held_by by, uint32_t now)
{
    char limit[UNITS_TEXT_SIZE];

    if (a->hour.held_before[by] > 0)
        text_format(out, " (%s)", held_by_word(by));
    else
        text_format(out, " (%s is %s)", held_by_word(by), units_format_count(now, limit));
}

/* Under maxTotalSockets those of other origins may have been open. */
bool held_while_connecting(const struct account *a, enum held_by by)
{
    uint64_t failed = a->stats.retired[RETIRE_CONNECT_FAILED] + a->stats.retired[RETIRE_CONNECT_TIMEOUT];

    return a->stats.opened == 0 && (failed > 0 || a->now.connecting > 0) &&
           (by == HELD_BY_MAX_SOCKETS || (by == HELD_BY_MAX_TOTAL && account_is_of_agent(a)));
}

static void put_taken(struct text *out, const struct account *a, enum held_by by)
{
    text_format(out, "all connections %s", held_while_connecting(a, by) ? "still being opened" : "busy");
}

/* Over HTTP/2 maxSockets limits the requests under way, too, and connections may be few. */
static void put_full(struct text *out, const struct account *a)
{
    uint32_t most = a->policy->maxSockets;

    if (!a->speaks_http2)
        put_taken(out, a, HELD_BY_MAX_SOCKETS);
    else if (a->hour.held_before[HELD_BY_MAX_SOCKETS] > 0)
        text_lit(out, "too many requests under way");
    else if (most == 1)
        text_lit(out, "another request under way");
    else
        text_format(out, "%u requests under way", most);
    put_limit(out, a, HELD_BY_MAX_SOCKETS, most);
}

/* What requests found that were held by it. */
static void put_cause(struct text *out, const struct account *a, enum held_by by)
{
    if (by == HELD_BY_MAX_SOCKETS) {
        put_full(out, a);
    } else if (by == HELD_BY_MAX_TOTAL) {
        put_taken(out, a, by);
        put_limit(out, a, by, a->policy->maxTotalSockets);
    } else if (by == HELD_BY_STREAMS) {
        text_lit(out, "all HTTP/2 connections full (the origin's SETTINGS_MAX_CONCURRENT_STREAMS)");
    } else {
        text_lit(out, "the agent paused");
    }
}

/* What held most of those that are left. */
static enum held_by heaviest(const uint32_t left[HELD_BY_COUNT])
{
    unsigned most = 0;

    for (unsigned i = 1; i < HELD_BY_COUNT; i++)
        if (left[i] > left[most])
            most = i;
    return (enum held_by)most;
}

/* "Of 570 requests 6 found all connections busy (maxSockets is 2) and 2 found the agent paused" */
static void put_causes(struct text *out, const struct account *a)
{
    uint32_t left[HELD_BY_COUNT], n, rest = held_in_all(a);
    const char *between = " ";
    enum held_by by;

    memcpy(left, a->hour.held, sizeof left);
    text_lit(out, "Of ");
    words_counted(out, a->hour.requests, "request");
    while (rest > 0) {
        by = heaviest(left);
        n = left[by];
        text_string(out, n == rest ? " and " : between);
        words_count(out, n);
        text_lit(out, " found ");
        put_cause(out, a, by);
        rest -= n;
        left[by] = 0;
        between = ", ";
    }
}

/* ", 9 s of that while the agent was paused": of an average that a pause alone did not make. */
static void put_pause(struct text *out, const struct account *a)
{
    uint32_t paused_ms = min32(a->hour.paused_ms, a->hour.waited_ms) / a->hour.waited;

    if (paused_ms == 0 || held_by_limits(a) == 0)
        return;
    text_lit(out, ", ");
    words_time(out, (double)paused_ms);
    text_lit(out, " of that while the agent was paused");
}

/* Those that wait still, or waited for less than can be measured, have no part in the average. */
static void put_average(struct text *out, const struct account *a, const char *before)
{
    uint32_t in_vain = a->hour.refused > a->hour.queue_full ? a->hour.refused - a->hour.queue_full : 0;

    if (a->hour.waited > 0) {
        text_string(out, before);
        words_time(out, (double)a->hour.waited_ms / a->hour.waited);
        if (a->hour.waited > 1)
            text_lit(out, " on average");
        put_pause(out, a);
    }
    if (in_vain > 0) {
        text_lit(out, " (");
        words_count(out, in_vain);
        text_format(out, " of them %s refused in the end)", in_vain == 1 ? "was" : "were");
    }
}

/* "5 waited, 483 ms on average, and 3 were refused at once" */
static void put_split(struct text *out, const struct account *a, uint32_t at_once)
{
    words_count(out, held_in_all(a) - at_once);
    text_lit(out, " waited");
    put_average(out, a, a->hour.waited > 1 ? ", " : " ");
    text_lit(out, ", and ");
    words_count(out, at_once);
    text_format(out, " %s refused at once", at_once == 1 ? "was" : "were");
}

/* What became of them all: they add up. */
static void put_fate(struct text *out, const struct account *a, uint32_t all, uint32_t at_once)
{
    if (at_once == all) {
        text_format(out, " and %s refused at once", all == 1 ? "was" : "were");
    } else if (at_once == 0) {
        text_lit(out, " and waited");
        put_average(out, a, " ");
    } else {
        text_lit(out, ": ");
        put_split(out, a, at_once);
    }
}

/* The same where several things held them. */
static void put_fate_of_these(struct text *out, const struct account *a, uint32_t all, uint32_t at_once)
{
    if (at_once == all) {
        text_lit(out, ". All ");
        words_count(out, all);
        text_lit(out, " were refused at once");
    } else if (at_once == 0) {
        text_lit(out, ". These ");
        words_count(out, all);
        text_lit(out, " waited");
        put_average(out, a, " ");
    } else {
        text_lit(out, ". Of these ");
        words_count(out, all);
        text_lit(out, ", ");
        put_split(out, a, at_once);
    }
}

void held_put(struct text *out, const struct account *a)
{
    uint32_t all = held_in_all(a), at_once = min32(a->hour.queue_full, all);
    enum held_by by = heaviest(a->hour.held);

    if (a->hour.held[by] < all) {
        put_causes(out, a);
        put_fate_of_these(out, a, all, at_once);
        return;
    }
    words_part(out, all, a->hour.requests, "request");
    text_lit(out, " found ");
    put_cause(out, a, by);
    put_fate(out, a, all, at_once);
}

static void put_peak(struct text *out, const struct account *a, const char *at)
{
    text_format(out, "%s one moment %u were running or waiting%s", at, a->hour.demand,
                a->hour.queue_full > 0 ? ", those refused at once not counted" : "");
}

/* Of which time the load is the mean. */
static const char *when(const struct account *a, const char *so_far, const char *in_the_busiest_minute)
{
    return a->hour_ms < MINUTE_MS ? so_far : in_the_busiest_minute;
}

static void put_bursts(struct text *out, const struct account *a, bool is_peak)
{
    text_lit(out, " They came in bursts");
    if (is_peak) {
        text_lit(out, " (");
        put_peak(out, a, "at");
        text_lit(out, ")");
    }
    text_format(out, ": %s ", when(a, "so far,", "even in the busiest minute,"));
    if (a->hour.load.needed < 0.05F)
        text_lit(out, "under 0.1");
    else
        text_format(out, "only %.1f", (double)a->hour.load.needed);
    text_string(out, a->speaks_http2 ? " were under way on average" : " connections were needed on average");
}

static void put_timeouts(struct text *out, const struct account *a)
{
    text_lit(out, " ");
    words_part(out, a->hour.timed_out, a->hour.requests, "request");
    text_format(out,
                " timed out and kept connections busy until then (carpoolctl errors %s): find out why the "
                "service is slow",
                a->agent);
}

static void put_load(struct text *out, const struct account *a)
{
    text_format(out, " %s, requests per second times seconds per request came to %.1f %s",
                when(a, "So far", "In the busiest minute"), (double)a->hour.load.needed,
                a->speaks_http2 ? "requests under way" : "connections");
}

/* A limit that is reached hides how far it would be passed. */
static void put_reached(struct text *out, const struct account *a, uint32_t limit)
{
    const char *be = limit == 1 ? "was" : "were";

    if (a->speaks_http2)
        text_format(out, " %u request%s %s under way", limit, limit == 1 ? "" : "s", be);
    else if (limit <= 2)
        text_format(out, " %s in use", limit == 1 ? "The only connection was" : "Both connections were");
    else
        text_format(out, " All %u connections were in use", limit);
    text_format(out, ", so the need is at least %u, and cannot be measured", limit);
}

void held_put_need(struct text *out, const struct account *a, uint32_t limit)
{
    bool is_peak = a->hour.demand > limit, is_known = a->hour.load.needed > 0 || a->hour.carried > 0;

    if (account_times_out(a, limit)) {
        put_timeouts(out, a);
        return;
    }
    if (is_known && account_needed(a, limit) <= limit) {
        put_bursts(out, a, is_peak);
        return;
    }
    if (is_peak) {
        text_lit(out, " ");
        put_peak(out, a, "At");
        text_lit(out, ".");
    }
    if (a->hour.load.needed > (float)limit)
        put_load(out, a);
    else if (is_known)
        put_reached(out, a, limit);
    else
        text_lit(out, " Since none got a connection, the need cannot be measured");
}
