#include "admin/explanation.h"

#include <assert.h>

#include "admin/held.h"
#include "admin/words.h"
#include "base/minmax.h"

/* Of an agent with more of them, the busiest are explained. */
#define ORIGINS_TOLD 10

/* The rules */

/* " (2 refused, 3 not sent)": those that no connection carried. They failed before, their time ran out, their
 * clients left, or they wait. */
static void put_uncarried(struct text *out, uint64_t refused, uint64_t unsent)
{
    if (refused + unsent == 0)
        return;
    text_lit(out, " (");
    if (refused > 0) {
        words_count(out, refused);
        text_lit(out, " refused");
    }
    if (refused > 0 && unsent > 0)
        text_lit(out, ", ");
    if (unsent > 0) {
        words_count(out, unsent);
        text_lit(out, " not sent");
    }
    text_lit(out, ")");
}

static void put_traffic(struct text *out, uint64_t requests, uint64_t refused, uint64_t opened,
                        uint64_t carried)
{
    words_counted(out, requests, "request");
    put_uncarried(out, refused, requests > refused + carried ? requests - refused - carried : 0);
    text_lit(out, " opened ");
    words_counted(out, opened, "connection");
    if (opened == 0 || carried <= opened)
        return;
    text_lit(out, ", ");
    words_average(out, carried, opened);
    text_lit(out, " requests each");
}

/* "since the ...": when its counters began. */
static const char *beginning(const struct account *a)
{
    return a->was_added ? "reload that added it" : "start";
}

/* No request came, and no spare was opened. */
static bool is_new(const struct account *a)
{
    return origin_stats_is_empty(&a->stats);
}

static void put_recent(struct text *out, const struct account *a)
{
    text_lit(out, "the last ");
    if (a->hour_ms >= 3590 * 1000)
        text_lit(out, "hour");
    else
        words_time(out, (double)a->hour_ms);
}

static bool says_traffic(const struct account *a, struct text *out)
{
    uint64_t carried = savings_carried(&a->stats);

    if (is_new(a)) {
        text_format(out, "No request since the %s, ", beginning(a));
        words_time(out, (double)a->uptime_ms);
        text_lit(out, " ago.");
        return true;
    }
    if (!account_is_whole(a)) {
        text_lit(out, "In ");
        put_recent(out, a);
        text_lit(out, " ");
        put_traffic(out, a->hour.requests, a->hour.refused, a->hour.opened, a->hour.carried);
        text_lit(out, ". ");
    }
    text_format(out, "Since the %s, ", beginning(a));
    words_time(out, (double)a->uptime_ms);
    text_lit(out, " ago, ");
    put_traffic(out, a->stats.requests, a->stats.errors[PROXY_ERROR_LIMIT], a->stats.opened, carried);
    text_lit(out, ".");
    if (carried > 0) {
        text_lit(out, " Direct clients would have opened ");
        words_count(out, carried);
        text_lit(out, ".");
    }
    return true;
}

/* The most frequent one of those that are left; OPENED_FOR_COUNT: none is. */
static enum opened_for most_frequent(const struct account *a, const bool explained[OPENED_FOR_COUNT])
{
    enum opened_for best = OPENED_FOR_COUNT;
    uint64_t most = 0;

    for (unsigned i = 0; i < OPENED_FOR_COUNT; i++) {
        uint64_t n = account_opened_for(a, (enum opened_for)i);

        if (!explained[i] && n > most) {
            most = n;
            best = (enum opened_for)i;
        }
    }
    return best;
}

/* Of what the reasons are told, where it could be the hour or all. */
static void put_reasons_span(struct text *out, const struct account *a)
{
    if (account_is_recent(a)) {
        text_lit(out, " in ");
        put_recent(out, a);
    } else if (!account_is_whole(a)) {
        text_format(out, " since the %s", beginning(a));
    }
}

static bool says_reasons(const struct account *a, struct text *out)
{
    bool explained[OPENED_FOR_COUNT] = {false};
    uint64_t opened = account_opened(a);
    enum opened_for why;

    if (opened == 0)
        return false;
    text_lit(out, "Why ");
    text_string(out, opened == 1 ? "it was opened" : "they were opened");
    put_reasons_span(out, a);
    text_lit(out, ":");
    while ((why = most_frequent(a, explained)) != OPENED_FOR_COUNT) {
        uint64_t n = account_opened_for(a, why);

        explained[why] = true;
        text_lit(out, "\n- ");
        words_count(out, n);
        if (opened >= 10) {
            text_lit(out, " (");
            words_percent(out, n, opened);
            text_lit(out, ")");
        }
        text_lit(out, " ");
        explanation_put_reason(out, a, why);
    }
    return true;
}

/* ... and neither timeouts.free nor Keep-Alive: timeout. */
static bool learned_holds(const struct account *a)
{
    uint64_t limit = a->policy->timeouts.free;

    return a->learned_ms > 0 && a->hint_ms == 0 && (limit == 0 || a->learned_ms < limit);
}

/* Of an agent: its origins' differ. */
static void put_idle_limits(struct text *out, const struct account *a)
{
    if (a->policy->timeouts.free == 0)
        return;
    text_lit(out, " One that has been idle for ");
    words_time(out, (double)a->policy->timeouts.free);
    text_string(out, a->closes_some_sooner
                         ? " is closed (timeouts.free), or sooner where the service closes it sooner."
                         : " is closed (timeouts.free).");
}

static void put_idle_limit(struct text *out, const struct account *a)
{
    uint64_t buffer = a->policy->agentKeepAliveTimeoutBuffer;
    uint64_t hinted = a->hint_ms > buffer ? a->hint_ms - buffer : 0;
    uint64_t limit = a->policy->timeouts.free;

    if (hinted > 0 && (limit == 0 || hinted < limit)) {
        text_lit(out, " It is closed after ");
        words_time(out, (double)hinted);
        text_lit(out, ", before the service does (it says Keep-Alive: timeout=");
        text_format(out, "%llu).", (unsigned long long)(a->hint_ms / 1000));
    } else if (limit > 0 && !learned_holds(a)) {
        text_lit(out, " One that has been idle for ");
        words_time(out, (double)limit);
        text_lit(out, " is closed (timeouts.free).");
    }
}

static bool says_now(const struct account *a, struct text *out)
{
    const struct groups *g = &a->now;

    if (is_new(a))
        return false;
    if (g->active + g->free + g->connecting == 0) {
        text_lit(out, "No connection is open now.");
        return true;
    }
    text_lit(out, "Now ");
    words_counted(out, g->active, "connection");
    text_string(out, g->active == 1 ? " is in use" : " are in use");
    if (g->http2.streams > 0) {
        text_lit(out, " with ");
        words_counted(out, g->http2.streams, "request");
        text_lit(out, " over HTTP/2");
    }
    if (g->connecting > 0)
        text_format(out, ", %u %s being opened", g->connecting, g->connecting == 1 ? "is" : "are");
    if (g->free == 1)
        text_lit(out, ", 1 has been idle for ");
    else
        text_format(out, ", %u are idle", g->free);
    if (g->free > 1)
        text_lit(out, ", the longest for ");
    if (g->free > 0)
        words_time(out, (double)a->longest_idle_ms);
    text_lit(out, ".");
    if (g->free == 0)
        return true;
    if (account_is_of_agent(a))
        put_idle_limits(out, a);
    else
        put_idle_limit(out, a);
    return true;
}

/* The limit that held most of them; an agent's maxTotalSockets before each origin's maxSockets. */
static enum held_by holder_of(const struct account *a)
{
    if (held_lately(a, HELD_BY_STREAMS) * 2 > held_lately_by_limits(a))
        return HELD_BY_STREAMS;
    return held_lately(a, HELD_BY_MAX_TOTAL) > held_lately(a, HELD_BY_MAX_SOCKETS) ? HELD_BY_MAX_TOTAL
                                                                                   : HELD_BY_MAX_SOCKETS;
}

/* Which are too small for so many connections. */
static const char *limits_below(const struct account *a, uint32_t connections)
{
    if (account_is_of_agent(a) || a->policy->maxSockets >= connections)
        return "maxTotalSockets";
    return a->policy->maxTotalSockets >= connections ? "maxSockets" : "maxSockets and maxTotalSockets";
}

static void put_held(struct text *out, const struct account *a)
{
    enum held_by by = holder_of(a);
    uint32_t limit = account_is_of_agent(a) ? a->policy->maxTotalSockets : account_limit(a);
    uint32_t needed = account_needed(a, limit);

    held_put(out, a);
    text_lit(out, ".");
    if (held_by_limits(a) > 0 && held_lately_by_limits(a) == 0)
        text_lit(out, " None has waited for a limit since a reload changed them.");
    /* One limit is the agent's, the other one each origin's. */
    if (held_lately_by_limits(a) == 0 || by == HELD_BY_STREAMS ||
        account_is_of_agent(a) != (by == HELD_BY_MAX_TOTAL))
        return;
    if (held_while_connecting(a, by)) {
        text_lit(out, " None has been open so far: find out why connecting fails or takes so long.");
        return;
    }
    held_put_need(out, a, limit);
    /* Why connections were opened has said it, or that the service is slow. */
    if (account_times_out(a, limit) ||
        (by == HELD_BY_MAX_TOTAL && account_costs(a, replaced(RETIRE_EVICTED))))
        text_lit(out, ".");
    else if (needed <= limit)
        text_format(out, ". Raise %s if they must not wait.", limits_below(a, limit + 1));
    else
        text_format(out, ": raise %s to %u%s.", limits_below(a, needed), needed,
                    a->hour.load.needed > (float)limit ? "" : ", then look again");
}

static bool says_paused(const struct account *a, struct text *out)
{
    if (!a->paused)
        return false;
    text_format(out, "The agent is paused, and %u request%s: carpoolctl resume %s.", a->now.pending,
                a->now.pending == 1 ? " waits" : "s wait", a->agent);
    return true;
}

/* What a pause alone has held is not told while it lasts: who waits now has been. */
static bool says_waiting(const struct account *a, struct text *out)
{
    if ((a->paused ? held_by_limits(a) : held_in_all(a)) == 0)
        return false;
    put_held(out, a);
    return true;
}

static void put_error_words(struct text *out, const struct account *a)
{
    const char *between = "";

    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++) {
        if (a->stats.errors[i] == 0)
            continue;
        text_string(out, between);
        words_count(out, a->stats.errors[i]);
        text_format(out, " %s", proxy_error_word(i));
        between = ", ";
    }
}

static bool says_failed(const struct account *a, struct text *out)
{
    uint64_t all = origin_stats_errors(&a->stats), refused = a->stats.errors[PROXY_ERROR_LIMIT];

    if (all == 0)
        return false;
    words_counted(out, all, "request");
    if (refused == 0)
        text_lit(out, " failed");
    else if (refused < all)
        text_lit(out, " failed or were refused");
    else
        text_string(out, all == 1 ? " was refused" : " were refused");
    text_format(out, " since the %s: ", beginning(a));
    put_error_words(out, a);
    text_format(out, ". The latest: carpoolctl errors %s.", a->agent);
    return true;
}

static bool says_well(const struct account *a, struct text *out)
{
    uint64_t held = 0;

    if (is_new(a) || held_in_all(a) > 0 || a->paused || origin_stats_errors(&a->stats) > 0)
        return false;
    for (unsigned i = 0; i < HELD_BY_COUNT; i++)
        held += a->stats.held[i];
    text_string(out, held > 0 ? "No request waited for a limit in the last hour, and none failed."
                              : "No request waited for a limit, and none failed.");
    return true;
}

static bool says_learned(const struct account *a, struct text *out)
{
    if (!learned_holds(a))
        return false;
    text_lit(out, "Learned: the service closes a used connection that was idle for ");
    words_time(out, (double)a->closes_after_ms);
    text_lit(out, ", so Carpool closes it after ");
    words_time(out, (double)a->learned_ms);
    text_lit(out, ".");
    return true;
}

static bool says_saved(const struct account *a, struct text *out)
{
    if (a->saved.connections == 0)
        return false;
    text_format(out, "Saved since the %s: ", beginning(a));
    words_counted(out, (uint64_t)a->saved.connections, "connection");
    text_lit(out, ", ");
    words_time(out, (double)a->saved.connect_us / 1e3);
    text_lit(out, " of handshakes");
    if (a->connect_us > 0) {
        text_lit(out, " (lately, one took ");
        words_time(out, (double)a->connect_us / 1e3);
        text_lit(out, ")");
    }
    text_lit(out, ".");
    return true;
}

const struct explanation_rule explanation_rules[] = {
    {"traffic", says_traffic}, {"reasons", says_reasons}, {"paused", says_paused},
    {"waiting", says_waiting}, {"failed", says_failed},   {"well", says_well},
    {"now", says_now},         {"learned", says_learned}, {"saved", says_saved},
};
const unsigned explanation_rule_count = sizeof explanation_rules / sizeof explanation_rules[0];

const struct explanation_rule *explanation_rule(const char *name)
{
    for (unsigned i = 0; i < explanation_rule_count; i++)
        if (strcmp(explanation_rules[i].name, name) == 0)
            return &explanation_rules[i];
    assert(!"no such rule");
    return NULL;
}

/* JSON */

/* Each line of a paragraph is an element. */
static void put_lines(struct text *out, struct slice paragraph, const char **separator)
{
    while (paragraph.n > 0) {
        const char *end = memchr(paragraph.p, '\n', paragraph.n);
        size_t n = end ? (size_t)(end - paragraph.p) : paragraph.n;

        text_string(out, *separator);
        text_json(out, (struct slice){paragraph.p, n});
        *separator = ",";
        paragraph = slice_from(paragraph, end ? n + 1 : n);
    }
}

static void put_paragraphs(struct text *out, const struct account *a)
{
    const char *separator = "";
    struct text paragraph = {0};

    text_lit(out, "\"paragraphs\":[");
    for (unsigned i = 0; i < explanation_rule_count; i++) {
        paragraph.n = 0;
        if (explanation_rules[i].says(a, &paragraph) && !paragraph.failed)
            put_lines(out, text_slice(&paragraph), &separator);
    }
    text_lit(out, "]");
    text_free(&paragraph);
}

struct teller {
    const struct history *history;
    uint64_t uptime_ms;
    struct text *out;
};

static void put_origins(const struct teller *t, const struct origin *const *origins, uint32_t count)
{
    struct account a;

    for (uint32_t i = 0; i < count; i++) {
        account_of_origin(t->history, origins[i], t->uptime_ms, &a);
        text_string(t->out, i > 0 ? ",{\"origin\":" : "{\"origin\":");
        text_json(t->out, slice_of(a.origin));
        text_lit(t->out, ",");
        put_paragraphs(t->out, &a);
        text_lit(t->out, "}");
    }
}

static void put_agent(const struct teller *t, const struct agent *agent)
{
    const struct origin *explained[ORIGINS_TOLD];
    uint32_t all = account_busiest(agent, explained, ORIGINS_TOLD), count = min32(all, ORIGINS_TOLD);
    struct account a;

    account_of_agent(t->history, agent, t->uptime_ms, &a);
    text_lit(t->out, "{\"name\":");
    text_json(t->out, slice_of(agent->name));
    text_lit(t->out, ",");
    if (all == 1 && a.stats.requests == explained[0]->stats.requests)
        text_lit(t->out, "\"paragraphs\":[]");
    else
        put_paragraphs(t->out, &a);
    text_lit(t->out, ",\"origins\":[");
    put_origins(t, explained, count);
    text_format(t->out, "],\"more\":%u}", all - count);
}

void explanation_write(const struct history *h, const struct admin_daemon *daemon, const struct agent *only,
                       uint64_t uptime_ms, struct text *out)
{
    const struct teller t = {h, uptime_ms, out};
    const char *separator = "";
    const struct agent *a;

    history_settle(h);
    text_lit(out, "{\"agents\":[");
    TAILQ_FOREACH (a, &daemon->pools[0]->agents, link) {
        if (only && a != only)
            continue;
        text_string(out, separator);
        put_agent(&t, a);
        separator = ",";
    }
    text_lit(out, "]}\n");
}
