#include "admin/agents.h"

#include "admin/callers.h"
#include "admin/overview.h"
#include "admin/recent_errors.h"
#include "base/clock.h"
#include "base/minmax.h"
#include "base/units.h"

/* `name` is written as it stands: only our own words. */
#define KEY(t, name) text_lit(t, ",\"" name "\":")

static void put_limit(struct text *t, uint32_t limit)
{
    if (limit == COUNT_INFINITE)
        text_lit(t, "null");
    else
        text_number(t, limit);
}

static void put_bool(struct text *t, bool value)
{
    text_put(t, value ? SLICE("true") : SLICE("false"));
}

/* {"word":count,...} of those that are not 0. */
static void put_counts(struct text *t, const uint64_t *counts, unsigned words, const char *(*word)(unsigned))
{
    const char *begin = "\"";

    text_lit(t, "{");
    for (unsigned i = 0; i < words; i++) {
        if (counts[i] == 0)
            continue;
        text_string(t, begin);
        text_string(t, word(i));
        text_lit(t, "\":");
        text_number(t, counts[i]);
        begin = ",\"";
    }
    text_lit(t, "}");
}

static void put_http2_stats(struct text *t, const struct origin_stats *s)
{
    KEY(t, "goaways");
    put_counts(t, s->goaways, H2_ERROR_COUNT, h2_error_name);
    KEY(t, "streamsReset");
    text_lit(t, "{\"origin\":");
    put_counts(t, s->resets_by_origin, H2_ERROR_COUNT, h2_error_name);
    KEY(t, "carpool");
    put_counts(t, s->resets_by_carpool, H2_ERROR_COUNT, h2_error_name);
    text_lit(t, "}");
    KEY(t, "unprocessedTotal");
    text_number(t, s->unprocessed);
}

/* {"count":3,"sumMs":12.5,"recentMaxMs":7.25,"buckets":[...]}; the bounds of the buckets stand once at the
 * end of /agents. */
static void put_histogram(struct text *t, const struct histogram *h)
{
    text_lit(t, "{\"count\":");
    text_number(t, histogram_count(h));
    text_lit(t, ",\"sumMs\":");
    text_ms(t, h->sum_us);
    text_lit(t, ",\"recentMaxMs\":");
    text_ms(t, histogram_recent_max(h));
    text_lit(t, ",\"buckets\":[");
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (i > 0)
            text_lit(t, ",");
        text_number(t, h->bucket[i]);
    }
    text_lit(t, "]}");
}

static void put_stats(struct text *t, const struct origin_stats *s)
{
    KEY(t, "requestsTotal");
    text_number(t, s->requests);
    KEY(t, "socketsOpened");
    text_number(t, s->opened);
    KEY(t, "openedFor");
    put_counts(t, s->opened_for, OPENED_FOR_COUNT, opened_for_word);
    KEY(t, "reusedTotal");
    text_number(t, s->reused);
    KEY(t, "retiredTotal");
    put_counts(t, s->retired, RETIRE_COUNT, retire_word);
    KEY(t, "reusedSocketErrors");
    put_counts(t, s->reused_errors, SOCKET_FAILURE_COUNT, socket_failure_code);
    KEY(t, "retriesTotal");
    text_number(t, s->retries);
    put_http2_stats(t, s);
    KEY(t, "errors");
    put_counts(t, s->errors, PROXY_ERROR_COUNT, proxy_error_word);
    KEY(t, "clientAborts");
    text_number(t, s->client_aborts);
    KEY(t, "responsesRepaired");
    text_number(t, s->repaired);
    KEY(t, "tlsHandshakes");
    text_lit(t, "{\"full\":");
    text_number(t, s->handshakes_full);
    KEY(t, "resumed");
    text_number(t, s->handshakes_resumed);
    text_lit(t, "}");
    KEY(t, "latency");
    text_lit(t, "{\"pending\":");
    put_histogram(t, &s->pending);
    KEY(t, "connect");
    put_histogram(t, &s->connect);
    KEY(t, "request");
    put_histogram(t, &s->request);
    text_lit(t, "}");
}

void agents_write_savings(struct text *t, const struct savings *saved)
{
    const struct savings shown = savings_shown(saved);

    text_lit(t, "{\"connections\":");
    text_number(t, (uint64_t)shown.connections);
    KEY(t, "connectMs");
    text_ms(t, (uint64_t)shown.connect_us);
    text_lit(t, "}");
}

static void put_saved(struct text *t, const struct savings *saved)
{
    KEY(t, "saved");
    agents_write_savings(t, saved);
}

static void put_groups(struct text *t, const struct groups *g, const struct origin_stats *s)
{
    KEY(t, "sockets");
    text_number(t, g->active);
    KEY(t, "connecting");
    text_number(t, g->connecting);
    KEY(t, "freeSockets");
    text_number(t, g->free);
    KEY(t, "requests");
    text_number(t, g->pending);
    KEY(t, "waitedMaxMs");
    text_ms(t, max64(s->pending.max_us, g->oldest_pending_us));
    KEY(t, "streams");
    text_number(t, g->http2.streams);
    KEY(t, "maxStreams");
    text_number(t, g->http2.max_streams);
    KEY(t, "draining");
    text_number(t, g->http2.draining);
}

static void put_learned(struct text *t, const struct origin *o)
{
    uint64_t ms = origin_learned_ms(o);

    KEY(t, "learnedFreeTimeoutMs");
    if (ms > 0)
        text_number(t, ms);
    else
        text_lit(t, "null");
}

void origin_groups(const struct origin *o, struct groups *out)
{
    *out = (struct groups){.active = origin_used(o),
                           .connecting = o->connecting_count,
                           .free = o->free_count,
                           .pending = o->blocked_count,
                           .oldest_pending_us = origin_oldest_pending_us(o)};
    http2_figures_add(&out->http2, o);
}

void groups_add(struct groups *to, const struct groups *from)
{
    to->active += from->active;
    to->connecting += from->connecting;
    to->free += from->free;
    to->pending += from->pending;
    to->oldest_pending_us = max64(to->oldest_pending_us, from->oldest_pending_us);
    to->http2.streams += from->http2.streams;
    to->http2.max_streams += from->http2.max_streams;
    to->http2.draining += from->http2.draining;
    to->http2.active += from->http2.active;
}

uint32_t groups_running(const struct groups *g)
{
    return g->active - g->http2.active + g->http2.streams;
}

static void put_protocol(struct text *t, const struct origin *o)
{
    static const char *const words[] = {
        [PROTOCOL_UNKNOWN] = "null", [PROTOCOL_HTTP1] = "\"http/1.1\"", [PROTOCOL_HTTP2] = "\"h2\""};

    KEY(t, "protocol");
    text_string(t, words[o->protocol]);
}

/* Of one row: how many of the agent's sentences are about it, and what failed within the time that they look
 * at. */
static void put_verdict(struct text *t, const struct verdict *v)
{
    KEY(t, "problems");
    text_number(t, v->problems);
    KEY(t, "failedLately");
    text_number(t, v->failed);
}

void agents_write_rates(struct text *t, const struct traffic_rates *r)
{
    text_format(t, ",\"requestsPerSecond\":%.1f,\"errorsPerSecond\":%.1f,\"refusedPerSecond\":%.1f",
                r->requests_per_second, r->errors_per_second, r->refused_per_second);
}

static void put_origin(struct text *t, const struct origin *o, const struct diagnosis *d)
{
    const struct verdict verdict = diagnosis_of_origin(d, o);
    const struct traffic_rates rates = diagnosis_rates_of_origin(d, o);

    text_lit(t, "{\"origin\":");
    text_json(t, slice_of(o->key));
    struct groups now;
    struct savings saved = {0};
    origin_groups(o, &now);
    savings_add(&saved, &o->stats, &o->connect_times);
    put_groups(t, &now, &o->stats);
    put_protocol(t, o);
    KEY(t, "maxSockets");
    put_limit(t, o->agent->policy->maxSockets);
    put_verdict(t, &verdict);
    agents_write_rates(t, &rates);
    put_learned(t, o);
    put_stats(t, &o->stats);
    put_saved(t, &saved);
    text_lit(t, "}");
}

/* The row of the forgotten ones: they have no socket and no waiting request. */
static void put_forgotten(struct text *t, const struct agent *a, const struct origin_stats *forgotten,
                          const struct savings *saved, const struct diagnosis *d)
{
    const struct verdict verdict = diagnosis_of_forgotten(d, a);
    const struct traffic_rates rates = diagnosis_rates_of_forgotten(d, a);

    text_lit(t, "{\"origin\":\"*\"");
    put_groups(t, &(const struct groups){0}, forgotten);
    KEY(t, "maxSockets");
    put_limit(t, a->policy->maxSockets);
    put_verdict(t, &verdict);
    agents_write_rates(t, &rates);
    put_stats(t, forgotten);
    put_saved(t, saved);
    text_lit(t, "}");
}

static void put_origins(struct text *t, const struct agent *a, const struct diagnosis *d)
{
    struct origin_stats forgotten = {0};
    struct savings saved = {0};
    const struct agent *share;
    const struct origin *o;
    const char *separator = "";

    KEY(t, "origins");
    text_lit(t, "[");
    AGENT_FOREACH_ORIGIN (a, share, o) {
        text_string(t, separator);
        put_origin(t, o, d);
        separator = ",";
    }
    for (share = a; share; share = share->next_share) {
        origin_stats_add(&forgotten, &share->forgotten);
        savings_sum(&saved, &share->forgotten_savings);
    }
    if (!origin_stats_is_empty(&forgotten)) {
        text_string(t, separator);
        put_forgotten(t, a, &forgotten, &saved, d);
    }
    text_lit(t, "]");
}

static void put_timeout(struct text *t, const char *name, uint64_t ms, const char *end)
{
    text_format(t, "\"%s\":", name);
    if (ms == 0)
        text_lit(t, "null");
    else
        text_number(t, ms);
    text_string(t, end);
}

static void put_timeouts(struct text *t, const struct agent_policy *p)
{
    KEY(t, "timeoutsMs");
    text_lit(t, "{");
    put_timeout(t, "connect", p->timeouts.connect, ",");
    put_timeout(t, "pending", p->timeouts.pending, ",");
    put_timeout(t, "socket", p->timeouts.socket, ",");
    put_timeout(t, "request", p->timeouts.request, ",");
    put_timeout(t, "free", p->timeouts.free, "}");
}

static void put_limits(struct text *t, const struct agent_policy *p)
{
    KEY(t, "maxSockets");
    put_limit(t, p->maxSockets);
    KEY(t, "maxFreeSockets");
    put_limit(t, p->maxFreeSockets);
    KEY(t, "minFreeSockets");
    text_number(t, p->minFreeSockets);
    KEY(t, "maxTotalSockets");
    put_limit(t, p->maxTotalSockets);
    KEY(t, "maxPendingRequests");
    put_limit(t, p->maxPendingRequests);
    put_timeouts(t, p);
}

void agent_totals(const struct agent *a, struct agent_totals *out)
{
    const struct agent *share;
    const struct origin *o;

    *out = (struct agent_totals){0};
    for (share = a; share; share = share->next_share) {
        origin_stats_add(&out->stats, &share->forgotten);
        savings_sum(&out->saved, &share->forgotten_savings);
    }
    AGENT_FOREACH_ORIGIN (a, share, o) {
        struct groups now;

        origin_groups(o, &now);
        groups_add(&out->now, &now);
        origin_stats_add(&out->stats, &o->stats);
        savings_add(&out->saved, &o->stats, &o->connect_times);
    }
}

/* {"ms":how much of it is known,...} */
static void put_last_hour(struct text *t, const struct agent *a, const struct diagnosis *d)
{
    const struct history *history = diagnosis_history(d);
    struct span hour;

    history_hour(history, a, NULL, &hour);
    KEY(t, "lastHour");
    text_lit(t, "{\"ms\":");
    text_number(t, history_ms(history));
    span_write(t, &hour);
    text_lit(t, "}");
}

void agents_write_one(struct text *t, const struct agent *a, struct diagnosis *d)
{
    const struct traffic_rates rates = diagnosis_rates_of_agent(d, a);
    struct agent_totals totals;

    agent_totals(a, &totals);
    text_lit(t, "{\"name\":");
    text_json(t, slice_of(a->name));
    KEY(t, "paused");
    put_bool(t, a->paused);
    KEY(t, "removed");
    put_bool(t, a->removed);
    put_limits(t, a->policy);
    put_groups(t, &totals.now, &totals.stats);
    put_stats(t, &totals.stats);
    put_saved(t, &totals.saved);
    put_last_hour(t, a, d);
    KEY(t, "diagnosis");
    diagnosis_write(d, a, t);
    KEY(t, "failedLately");
    text_number(t, diagnosis_failed(d, a));
    agents_write_rates(t, &rates);
    KEY(t, "recentErrors");
    recent_errors_write(t, a);
    put_origins(t, a, d);
    text_lit(t, "}");
}

static bool is_worth_showing(const struct agent *removed)
{
    struct agent_totals totals;

    agent_totals(removed, &totals);
    return removed->total > 0 || totals.now.pending > 0;
}

static void put_agents(struct text *t, const struct admin_daemon *daemon, struct diagnosis *d)
{
    const char *separator = "";
    const struct agent *a;

    TAILQ_FOREACH (a, &daemon->pools[0]->agents, link) {
        text_string(t, separator);
        agents_write_one(t, a, d);
        separator = ",";
    }
    /* What is left of removed ones stands by itself: each loop lets go of its share in its own time. */
    for (unsigned i = 0; i < daemon->count; i++)
        TAILQ_FOREACH (a, &daemon->pools[i]->removed, link) {
            if (!is_worth_showing(a))
                continue;
            text_string(t, separator);
            agents_write_one(t, a, d);
            separator = ",";
        }
}

/* Without the braces around it. */
static void put_all(struct text *t, const struct admin_daemon *daemon, struct diagnosis *d)
{
    static const uint32_t bounds[] = HISTOGRAM_BOUNDS;

    diagnosis_look(d);
    text_lit(t, "\"daemon\":");
    overview_write(t, daemon, diagnosis_traffic(d));
    text_lit(t, ",\"agents\":[");
    put_agents(t, daemon, d);
    text_lit(t, "],\"latencyBoundsMs\":[");
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        text_string(t, i > 0 ? "," : "");
        text_ms(t, bounds[i]);
    }
    text_lit(t, "],\"timeMs\":");
    text_number(t, clock_wall_ms());
}

void agents_write_all(struct text *t, const struct admin_daemon *daemon, struct diagnosis *d)
{
    text_lit(t, "{");
    put_all(t, daemon, d);
    text_lit(t, "}\n");
}

void agents_write_live(struct text *t, const struct admin_daemon *daemon, struct diagnosis *d)
{
    text_lit(t, "{");
    put_all(t, daemon, d);
    text_lit(t, ",");
    callers_put(t, daemon);
    text_lit(t, "}\n");
}
