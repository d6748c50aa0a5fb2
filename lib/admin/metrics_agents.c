/* The families named agent_: one line (or more) an agent and origin. */

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/agents.h"
#include "admin/metrics.h"
#include "wire/h2.h"

/* One agent and origin: what all the families named agent_ have a line (or more) of. */
struct series {
    size_t labels_at, labels_n; /* agent="..",origin=".." in series_list.labels */
    struct groups now;
    const struct origin_stats *stats;
};

struct series_list {
    struct series *items;
    size_t count;
    struct origin_stats *shared; /* of the label "*", one per agent */
    struct text labels;
};

static struct series *add_series(struct series_list *l, const struct agent *a, const char *origin,
                                 const struct origin_stats *stats)
{
    struct series *s = &l->items[l->count++];

    *s = (struct series){.labels_at = l->labels.n, .stats = stats};
    text_lit(&l->labels, "agent=");
    metrics_label_value(&l->labels, slice_of(a->name));
    text_lit(&l->labels, ",origin=");
    metrics_label_value(&l->labels, slice_of(origin));
    s->labels_n = l->labels.n - s->labels_at;
    return s;
}

/* Its exact origins a series each, the rest one together, which is there when it says something, or when
 * nothing else does. */
static void add_agent(struct series_list *l, const struct agent *a, struct origin_stats *shared)
{
    struct groups now, others = {0};
    bool has_exact = false, has_others = false;
    const struct agent *share;
    const struct origin *o;

    for (share = a; share; share = share->next_share)
        origin_stats_add(shared, &share->forgotten);
    AGENT_FOREACH_ORIGIN (a, share, o) {
        origin_groups(o, &now);
        if (o->exact) {
            has_exact = true;
            add_series(l, a, o->key, &o->stats)->now = now;
            continue;
        }
        has_others = true;
        origin_stats_add(shared, &o->stats);
        groups_add(&others, &now);
    }
    if (has_exact && !has_others && origin_stats_is_empty(shared))
        return;
    add_series(l, a, "*", shared)->now = others;
}

static bool collect(const struct pool *p, struct series_list *l)
{
    size_t agents = 0, series = 0;
    const struct agent *a, *share;

    TAILQ_FOREACH (a, &p->agents, link) {
        agents++;
        series++;
        for (share = a; share; share = share->next_share)
            series += HASH_COUNT(share->origins);
    }
    l->items = calloc(series ? series : 1, sizeof *l->items);
    l->shared = calloc(agents ? agents : 1, sizeof *l->shared);
    if (!l->items || !l->shared)
        return false;
    agents = 0;
    TAILQ_FOREACH (a, &p->agents, link)
        add_agent(l, a, &l->shared[agents++]);
    return !l->labels.failed;
}

static void release(struct series_list *l)
{
    free(l->items);
    free(l->shared);
    text_free(&l->labels);
}

/* "carpool_NAME{agent="..",origin=".."EXTRA} NUMBER" */
static void put_series(struct text *t, const struct series_list *l, const struct series *s, struct slice name,
                       struct slice extra, uint64_t number)
{
    text_lit(t, "carpool_");
    text_put(t, name);
    text_lit(t, "{");
    text_put(t, (struct slice){l->labels.p + s->labels_at, s->labels_n});
    text_put(t, extra);
    text_lit(t, "} ");
    text_number(t, number);
    text_lit(t, "\n");
}

#define FOREACH_SERIES(s, l) for (const struct series *s = (l)->items; s < (l)->items + (l)->count; s++)

#define PUT_FIGURE(t, l, name, type, help, expression)               \
    do {                                                             \
        metrics_family(t, name, type, help);                         \
        FOREACH_SERIES (s, l)                                        \
            put_series(t, l, s, SLICE(name), SLICE(""), expression); \
    } while (0)

static void put_gauges(struct text *t, const struct series_list *l)
{
    PUT_FIGURE(t, l, "agent_sockets", "gauge", "Connections that carry a request now.", s->now.active);
    PUT_FIGURE(t, l, "agent_connecting_sockets", "gauge", "Connections that are being opened.",
               s->now.connecting);
    PUT_FIGURE(t, l, "agent_free_sockets", "gauge", "Idle connections that can be reused.", s->now.free);
    PUT_FIGURE(t, l, "agent_pending_requests", "gauge",
               "Requests that wait for a limit or the end of a pause.", s->now.pending);
    PUT_FIGURE(t, l, "agent_streams", "gauge", "Requests in flight over HTTP/2.", s->now.http2.streams);
}

static void put_counters(struct text *t, const struct series_list *l)
{
    metrics_family(t, "agent_requests_total", "counter",
                   "Requests that were given a connection, by whether it was reused; a retry counts again.");
    FOREACH_SERIES (s, l) {
        put_series(t, l, s, SLICE("agent_requests_total"), SLICE(",reused=\"false\""), s->stats->first_uses);
        put_series(t, l, s, SLICE("agent_requests_total"), SLICE(",reused=\"true\""), s->stats->reused);
    }
    PUT_FIGURE(t, l, "agent_sockets_opened_total", "counter", "Connections opened.", s->stats->opened);
    PUT_FIGURE(t, l, "agent_retries_total", "counter",
               "Requests that were sent again because a reused connection was dead.", s->stats->retries);
    PUT_FIGURE(t, l, "agent_client_aborts_total", "counter",
               "Requests whose client left before the response was complete.", s->stats->client_aborts);
    PUT_FIGURE(t, l, "agent_responses_repaired_total", "counter",
               "Responses whose head insecureHTTPParser repaired.", s->stats->repaired);
    PUT_FIGURE(
        t, l, "agent_unprocessed_total", "counter",
        "Requests that were sent again because the origin said that it had not processed them (HTTP/2).",
        s->stats->unprocessed);
    metrics_family(t, "agent_tls_handshakes_total", "counter",
                   "TLS handshakes with origins, by whether a session was resumed.");
    FOREACH_SERIES (s, l) {
        put_series(t, l, s, SLICE("agent_tls_handshakes_total"), SLICE(",resumed=\"false\""),
                   s->stats->handshakes_full);
        put_series(t, l, s, SLICE("agent_tls_handshakes_total"), SLICE(",resumed=\"true\""),
                   s->stats->handshakes_resumed);
    }
}

/* `at` is where a tls_options has the time. Agents without a file have no line. */
static void put_certificate_time(struct text *t, const struct pool *p, const char *name, const char *help,
                                 size_t at)
{
    const struct agent *a;

    metrics_family(t, name, "gauge", help);
    TAILQ_FOREACH (a, &p->agents, link) {
        int64_t seconds = a->upstream ? *(const int64_t *)((const char *)&a->upstream->tls + at) : 0;

        if (seconds <= 0)
            continue;
        text_lit(t, "carpool_");
        text_string(t, name);
        text_lit(t, "{agent=");
        metrics_label_value(t, slice_of(a->name));
        text_lit(t, "} ");
        text_number(t, (uint64_t)seconds);
        text_lit(t, "\n");
    }
}

static void put_certificates(struct text *t, const struct pool *p)
{
    put_certificate_time(t, p, "agent_certificate_not_before_timestamp_seconds",
                         "When the last certificate of tls.ca and tls.cert becomes valid, as Unix time.",
                         offsetof(struct tls_options, not_before));
    put_certificate_time(t, p, "agent_certificate_not_after_timestamp_seconds",
                         "When the first certificate of tls.ca and tls.cert expires, as Unix time.",
                         offsetof(struct tls_options, not_after));
}

/* `what` is the label with its sign and quote, as in ,reason="; `at` is where an origin_stats has the
 * counts, one a word. */
static void put_words(struct text *t, const struct series_list *l, struct slice name, struct slice what,
                      size_t at, unsigned words, const char *(*word)(unsigned))
{
    FOREACH_SERIES (s, l) {
        const uint64_t *counts = (const uint64_t *)((const char *)s->stats + at);

        for (unsigned i = 0; i < words; i++) {
            char extra[64];

            if (counts[i] == 0)
                continue;
            int n = snprintf(extra, sizeof extra, "%.*s%s\"", (int)what.n, what.p, word(i));
            put_series(t, l, s, name, (struct slice){extra, (size_t)n}, counts[i]);
        }
    }
}

static void put_worded_counters(struct text *t, const struct series_list *l)
{
    metrics_family(t, "agent_sockets_opened_for_total", "counter", "Connections opened, by the reason.");
    put_words(t, l, SLICE("agent_sockets_opened_for_total"), SLICE(",reason=\""),
              offsetof(struct origin_stats, opened_for), OPENED_FOR_COUNT, opened_for_word);
    metrics_family(t, "agent_sockets_retired_total", "counter",
                   "Connections closed, and connects that failed, by reason.");
    put_words(t, l, SLICE("agent_sockets_retired_total"), SLICE(",reason=\""),
              offsetof(struct origin_stats, retired), RETIRE_COUNT, retire_word);
    metrics_family(t, "agent_reused_socket_errors_total", "counter",
                   "Reused connections that failed while they carried a request, by error.");
    put_words(t, l, SLICE("agent_reused_socket_errors_total"), SLICE(",code=\""),
              offsetof(struct origin_stats, reused_errors), SOCKET_FAILURE_COUNT, socket_failure_code);
    metrics_family(
        t, "agent_errors_total", "counter",
        "Requests that did not get a complete response of the origin, by Proxy-Status error; connection_limit_reached: refused by a limit.");
    put_words(t, l, SLICE("agent_errors_total"), SLICE(",error=\""), offsetof(struct origin_stats, errors),
              PROXY_ERROR_COUNT, proxy_error_word);
}

/* HTTP/2 */

static void put_http2_counters(struct text *t, const struct series_list *l)
{
    metrics_family(t, "agent_streams_reset_total", "counter",
                   "Streams reset by RST_STREAM (HTTP/2), by sender and error code.");
    put_words(t, l, SLICE("agent_streams_reset_total"), SLICE(",by=\"origin\",code=\""),
              offsetof(struct origin_stats, resets_by_origin), H2_ERROR_COUNT, h2_error_name);
    put_words(t, l, SLICE("agent_streams_reset_total"), SLICE(",by=\"carpool\",code=\""),
              offsetof(struct origin_stats, resets_by_carpool), H2_ERROR_COUNT, h2_error_name);
    metrics_family(t, "agent_goaways_total", "counter",
                   "GOAWAY frames from the origin (HTTP/2), by error code.");
    put_words(t, l, SLICE("agent_goaways_total"), SLICE(",code=\""), offsetof(struct origin_stats, goaways),
              H2_ERROR_COUNT, h2_error_name);
}

/* Histograms */

/* ,le="0.0001" and so on, made once a scrape; the last is +Inf. */
struct bucket_labels {
    char text[HISTOGRAM_BUCKETS][32];
    struct slice label[HISTOGRAM_BUCKETS];
};

static void make_bucket_labels(struct bucket_labels *b)
{
    static const uint32_t bounds[] = HISTOGRAM_BOUNDS;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        int n = i < HISTOGRAM_BUCKETS - 1
                    ? snprintf(b->text[i], sizeof b->text[i], ",le=\"%g\"", bounds[i] / 1e6)
                    : snprintf(b->text[i], sizeof b->text[i], ",le=\"+Inf\"");
        b->label[i] = (struct slice){b->text[i], (size_t)n};
    }
}

struct histogram_names {
    struct slice bucket, sum, count;
};

#define HISTOGRAM_NAMES(name) \
    ((struct histogram_names){SLICE(name "_bucket"), SLICE(name "_sum"), SLICE(name "_count")})

static void put_sum(struct text *t, const struct series_list *l, const struct series *s, struct slice name,
                    uint64_t us)
{
    text_lit(t, "carpool_");
    text_put(t, name);
    text_lit(t, "{");
    text_put(t, (struct slice){l->labels.p + s->labels_at, s->labels_n});
    text_lit(t, "} ");
    text_seconds(t, us);
    text_lit(t, "\n");
}

static void put_histogram(struct text *t, const struct series_list *l, const struct bucket_labels *b,
                          struct histogram_names names, size_t offset)
{
    FOREACH_SERIES (s, l) {
        const struct histogram *h = (const struct histogram *)((const char *)s->stats + offset);
        uint64_t below = 0;

        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
            below += h->bucket[i];
            put_series(t, l, s, names.bucket, b->label[i], below);
        }
        put_sum(t, l, s, names.sum, h->sum_us);
        put_series(t, l, s, names.count, SLICE(""), below);
    }
}

static void put_histograms(struct text *t, const struct series_list *l)
{
    struct bucket_labels b;

    make_bucket_labels(&b);
    metrics_family(
        t, "agent_pending_seconds", "histogram",
        "How long requests waited for a limit or the end of a pause, including those that gave up.");
    put_histogram(t, l, &b, HISTOGRAM_NAMES("agent_pending_seconds"), offsetof(struct origin_stats, pending));
    metrics_family(t, "agent_connect_seconds", "histogram",
                   "How long it took to open a connection (DNS, TCP and TLS).");
    put_histogram(t, l, &b, HISTOGRAM_NAMES("agent_connect_seconds"), offsetof(struct origin_stats, connect));
    metrics_family(t, "agent_ping_seconds", "histogram", "How long origins took to answer a PING (HTTP/2).");
    put_histogram(t, l, &b, HISTOGRAM_NAMES("agent_ping_seconds"), offsetof(struct origin_stats, ping));
    metrics_family(t, "agent_request_seconds", "histogram",
                   "Time from the head of a request to the last byte of the complete response.");
    put_histogram(t, l, &b, HISTOGRAM_NAMES("agent_request_seconds"), offsetof(struct origin_stats, request));
}

void metrics_agents_write(struct text *t, const struct pool *p)
{
    struct series_list l = {0};

    if (collect(p, &l)) {
        text_reserve(t, (l.count + 1) * 8 * 1024); /* a series takes about so much: no growing, no copying */
        put_gauges(t, &l);
        put_counters(t, &l);
        put_worded_counters(t, &l);
        put_http2_counters(t, &l);
        put_certificates(t, p);
        put_histograms(t, &l);
    } else {
        t->failed = true;
    }
    release(&l);
}
