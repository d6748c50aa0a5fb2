#include "admin/held.h"

#include "admin/words.h"
#include "base/units.h"

#define MINUTE_MS (60 * 1000)

static uint32_t held_in_all(const struct account *a)
{
    return held_by_limits(a) + a->hour.held[HELD_BY_PAUSE];
}

uint32_t held_by_limits(const struct account *a)
{
    const uint32_t *held = a->hour.held;

    return held[HELD_BY_MAX_TOTAL] + held[HELD_BY_MAX_SOCKETS] + held[HELD_BY_STREAMS];
}

/* Where one thing held them all it stands in brackets. */
static void put_limit(struct text *out, const struct account *a, enum held_by by, uint32_t limit)
{
    char value[UNITS_TEXT_SIZE];

    if (a->hour.held[by] == held_in_all(a)) {
        text_format(out, " (%s is %s)", held_by_word(by), units_format_count(limit, value));
        return;
    }
    if (a->hour.held[HELD_BY_PAUSE] > 0)
        text_lit(out, " or the agent paused");
    text_lit(out, ", ");
    words_count(out, a->hour.held[by]);
    text_format(out, " of them because %s is %s", held_by_word(by), units_format_count(limit, value));
}

/* HTTP/2: the limit is the origin's. */
static void put_streams(struct text *out, const struct account *a)
{
    text_lit(out, " could not be sent at once, ");
    if (a->hour.held[HELD_BY_STREAMS] < held_in_all(a)) {
        words_count(out, a->hour.held[HELD_BY_STREAMS]);
        text_lit(out, " of them ");
    }
    text_lit(out, "because the origin takes no more at a time on its HTTP/2 connections "
                  "(SETTINGS_MAX_CONCURRENT_STREAMS)");
}

/* Those that wait still, or waited for less than can be measured, have no part in the average. */
static void put_average(struct text *out, const struct account *a, const char *before)
{
    uint32_t in_vain = a->hour.refused > a->hour.queue_full ? a->hour.refused - a->hour.queue_full : 0;

    if (a->hour.waited > 0) {
        text_string(out, before);
        words_time(out, (double)a->hour.waited_ms / a->hour.waited);
        text_lit(out, " on average");
    }
    if (in_vain > 0) {
        text_lit(out, " (");
        words_count(out, in_vain);
        text_format(out, " of them %s then refused)", in_vain == 1 ? "was" : "were");
    }
}

/* What became of them: they add up. */
static void put_fate(struct text *out, const struct account *a)
{
    uint32_t all = held_in_all(a), at_once = a->hour.queue_full < all ? a->hour.queue_full : all;

    if (at_once == all) {
        text_format(out, " and %s refused at once", all == 1 ? "was" : "were");
    } else if (at_once == 0) {
        text_lit(out, " and waited");
        put_average(out, a, " ");
    } else {
        text_lit(out, ": ");
        words_count(out, all - at_once);
        text_lit(out, " waited");
        put_average(out, a, ", ");
        text_lit(out, ", and ");
        words_count(out, at_once);
        text_format(out, " %s refused at once", at_once == 1 ? "was" : "were");
    }
}

void held_put(struct text *out, const struct account *a, enum held_by by, uint32_t limit)
{
    words_count(out, held_in_all(a));
    text_lit(out, " of ");
    words_counted(out, a->hour.requests, "request");
    if (by == HELD_BY_STREAMS) {
        put_streams(out, a);
    } else {
        text_lit(out, " found all connections busy");
        put_limit(out, a, by, limit);
    }
    put_fate(out, a);
}

static void put_bursts(struct text *out, const struct account *a, bool is_peak)
{
    text_lit(out, " They came in bursts");
    if (is_peak)
        text_format(out, " (at one moment %u were running or waiting)", a->hour.demand);
    text_format(out, ", while on average only %.1f connections were needed at a time", (double)a->hour.load);
}

void held_put_need(struct text *out, const struct account *a, uint32_t limit)
{
    bool is_peak = a->hour.demand > limit;

    if (account_needed(a, limit) <= limit) {
        put_bursts(out, a, is_peak);
        return;
    }
    if (is_peak)
        text_format(out, " At one moment %u were running or waiting%s.", a->hour.demand,
                    a->hour.refused > 0 ? ", those refused not counted" : "");
    if (a->hour.load > (float)limit)
        text_format(out, " %s, requests per second times seconds per request came to %.1f connections",
                    a->hour_ms < MINUTE_MS ? "So far" : "In the busiest minute", (double)a->hour.load);
    else
        text_lit(out, " While the limit holds them back, it cannot be seen how many connections they need");
}
