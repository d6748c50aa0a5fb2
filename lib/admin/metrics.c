#include "admin/metrics.h"

#include <stdlib.h>

#include "admin/process.h"

/* One agent and origin: what all the families named agent_ have a line (or more) of. */
struct series {
    size_t labels_at, labels_n; /* agent="..",origin=".." in series_list.labels */
    uint32_t active, connecting, free, pending;
    const struct origin_stats *stats;
};

struct series_list {
    struct series *items;
    size_t count;
    struct origin_stats *shared; /* of the label "*", one an agent */
    struct text labels;
};

void metrics_label_value(struct text *t, struct slice value)
{
    text_lit(t, "\"");
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];

        if (c == '\n')
            text_lit(t, "\\n");
        else if (c == '"' || c == '\\')
            text_put(t, (struct slice){(const char[2]){'\\', c}, 2});
        else
            text_put(t, (unsigned char)c < ' ' || c == 0x7f ? SLICE("?") : (struct slice){&c, 1});
    }
    text_lit(t, "\"");
}

/* The beginning of a family: `name` without the prefix. */
static void put_family(struct text *t, const char *name, const char *type, const char *help)
{
    text_lit(t, "# HELP carpool_");
    text_string(t, name);
    text_lit(t, " ");
    text_string(t, help);
    text_lit(t, "\n# TYPE carpool_");
    text_string(t, name);
    text_lit(t, " ");
    text_string(t, type);
    text_lit(t, "\n");
}

/* A line with one label whose value needs no escape; label NULL: none. */
static void put_simple(struct text *t, const char *name, const char *label, const char *value,
                       uint64_t number)
{
    text_lit(t, "carpool_");
    text_string(t, name);
    if (label) {
        text_lit(t, "{");
        text_string(t, label);
        text_lit(t, "=\"");
        text_string(t, value);
        text_lit(t, "\"}");
    }
    text_lit(t, " ");
    text_number(t, number);
    text_lit(t, "\n");
}

/* The clients' side */

static void put_clients(struct text *t, const struct proxy_stats *s)
{
    put_family(t, "client_connections", "gauge", "Open connections of clients.");
    put_simple(t, "client_connections", "state", "active", s->clients_open - s->clients_idle);
    put_simple(t, "client_connections", "state", "idle", s->clients_idle);
    put_family(t, "client_connections_total", "counter", "Connections of clients that were accepted.");
    put_simple(t, "client_connections_total", NULL, NULL, s->clients_total);
    put_family(t, "client_connections_closed_total", "counter",
               "Connections of clients that were closed, by reason.");
    for (unsigned i = 0; i < CLIENT_CLOSE_COUNT; i++)
        put_simple(t, "client_connections_closed_total", "reason", client_close_word((enum client_close)i),
                   s->clients_closed[i]);
}

static void put_client_requests(struct text *t, const struct proxy_stats *s)
{
    char status[DIGITS_SIZE + 1];

    put_family(t, "client_requests_total", "counter",
               "Requests of clients, by the status of the response (0: there was none).");
    for (unsigned i = 0; i < sizeof s->requests_by_status / sizeof s->requests_by_status[0]; i++) {
        if (s->requests_by_status[i] == 0)
            continue;
        status[digits_put(status, i)] = '\0';
        put_simple(t, "client_requests_total", "status", status, s->requests_by_status[i]);
    }
    put_family(t, "tunnels", "gauge", "Open tunnels (CONNECT and upgraded connections).");
    put_simple(t, "tunnels", NULL, NULL, s->tunnels_open);
}

/* Agents and origins */

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

static void add_figures(struct series *s, const struct origin *o)
{
    s->active += o->active_count;
    s->connecting += o->connecting_count;
    s->free += o->free_count;
    s->pending += o->blocked_count;
}

/* Its exact origins a series each, the rest one together, which is there when it says something, or when
 * nothing else does. */
static void add_agent(struct series_list *l, const struct agent *a, struct origin_stats *shared)
{
    struct series figures = {0}, *rest;
    bool has_exact = false, has_others = false;
    const struct agent *share;
    const struct origin *o;

    for (share = a; share; share = share->next_share)
        origin_stats_add(shared, &share->forgotten);
    AGENT_FOREACH_ORIGIN(a, share, o)
    {
        if (o->exact) {
            has_exact = true;
            add_figures(add_series(l, a, o->key, &o->stats), o);
            continue;
        }
        has_others = true;
        origin_stats_add(shared, &o->stats);
        add_figures(&figures, o);
    }
    if (has_exact && !has_others && origin_stats_is_empty(shared))
        return;
    rest = add_series(l, a, "*", shared);
    rest->active = figures.active;
    rest->connecting = figures.connecting;
    rest->free = figures.free;
    rest->pending = figures.pending;
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

#define PUT_FIGURE(t, l, name, type, help, expression)           \
    do {                                                         \
        put_family(t, name, type, help);                         \
        FOREACH_SERIES(s, l)                                     \
        put_series(t, l, s, SLICE(name), SLICE(""), expression); \
    } while (0)

static void put_gauges(struct text *t, const struct series_list *l)
{
    PUT_FIGURE(t, l, "agent_sockets", "gauge", "Sockets that carry an exchange.", s->active);
    PUT_FIGURE(t, l, "agent_connecting_sockets", "gauge", "Sockets that are being opened.", s->connecting);
    PUT_FIGURE(t, l, "agent_free_sockets", "gauge", "Idle sockets that can be reused.", s->free);
    PUT_FIGURE(t, l, "agent_pending_requests", "gauge", "Requests that a limit or a pause holds back.",
               s->pending);
}

static void put_counters(struct text *t, const struct series_list *l)
{
    put_family(t, "agent_requests_total", "counter",
               "Exchanges begun on a socket, by whether it had carried one before (a repeat counts again).");
    FOREACH_SERIES(s, l)
    {
        put_series(t, l, s, SLICE("agent_requests_total"), SLICE(",reused=\"false\""), s->stats->first_uses);
        put_series(t, l, s, SLICE("agent_requests_total"), SLICE(",reused=\"true\""), s->stats->reused);
    }
    PUT_FIGURE(t, l, "agent_sockets_opened_total", "counter", "Sockets established.", s->stats->opened);
    PUT_FIGURE(t, l, "agent_retries_total", "counter", "Requests that were sent again after a stale socket.",
               s->stats->retries);
    put_family(t, "agent_tls_handshakes_total", "counter",
               "TLS handshakes of new sockets, by whether a session was resumed.");
    FOREACH_SERIES(s, l)
    {
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

    put_family(t, name, "gauge", help);
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
                         "From when on all certificates of tls.ca and tls.cert are valid, since 1970.",
                         offsetof(struct tls_options, not_before));
    put_certificate_time(t, p, "agent_certificate_not_after_timestamp_seconds",
                         "When the first certificate of tls.ca and tls.cert expires, since 1970.",
                         offsetof(struct tls_options, not_after));
}

/* `what` is the label with its sign and quote, as in ,reason=" */
static void put_words(struct text *t, const struct series_list *l, struct slice name, struct slice what,
                      const uint64_t *(*counts)(const struct origin_stats *), unsigned words,
                      const char *(*word)(unsigned))
{
    FOREACH_SERIES(s, l)
    {
        for (unsigned i = 0; i < words; i++) {
            char extra[64];

            if (counts(s->stats)[i] == 0)
                continue;
            int n = snprintf(extra, sizeof extra, "%.*s%s\"", (int)what.n, what.p, word(i));
            put_series(t, l, s, name, (struct slice){extra, (size_t)n}, counts(s->stats)[i]);
        }
    }
}

static const uint64_t *retired_of(const struct origin_stats *s)
{
    return s->retired;
}

static const char *retired_word_of(unsigned i)
{
    return retire_word((enum retire_reason)i);
}

static const uint64_t *reused_errors_of(const struct origin_stats *s)
{
    return s->reused_errors;
}

static const char *failure_code_of(unsigned i)
{
    return socket_failure_code((enum socket_failure)i);
}

static void put_worded_counters(struct text *t, const struct series_list *l)
{
    put_family(t, "agent_sockets_retired_total", "counter",
               "Sockets that were closed, and connects that failed, by reason.");
    put_words(t, l, SLICE("agent_sockets_retired_total"), SLICE(",reason=\""), retired_of, RETIRE_COUNT,
              retired_word_of);
    put_family(t, "agent_reused_socket_errors_total", "counter",
               "Reused sockets that failed under a request, by error.");
    put_words(t, l, SLICE("agent_reused_socket_errors_total"), SLICE(",code=\""), reused_errors_of,
              SOCKET_FAILURE_COUNT, failure_code_of);
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
    FOREACH_SERIES(s, l)
    {
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
    put_family(t, "agent_pending_seconds", "histogram", "How long requests waited for a socket.");
    put_histogram(t, l, &b, HISTOGRAM_NAMES("agent_pending_seconds"), offsetof(struct origin_stats, pending));
    put_family(t, "agent_connect_seconds", "histogram",
               "How long it took to open a socket (DNS, TCP and TLS).");
    put_histogram(t, l, &b, HISTOGRAM_NAMES("agent_connect_seconds"), offsetof(struct origin_stats, connect));
    put_family(t, "agent_request_seconds", "histogram",
               "From a request's head to the last byte of its response.");
    put_histogram(t, l, &b, HISTOGRAM_NAMES("agent_request_seconds"), offsetof(struct origin_stats, request));
}

/* The process */

static void put_build(struct text *t, const struct admin_daemon *d)
{
    put_family(t, "build_info", "gauge", "Always 1; the labels say what runs.");
    text_lit(t, "carpool_build_info{version=\"" PACKAGE_VERSION "\",name=");
    metrics_label_value(t, slice_of(d->instance));
    text_lit(t, "} 1\n");
    put_family(t, "config_last_reload_success", "gauge",
               "Whether the last reload took (the start counts as one).");
    put_simple(t, "config_last_reload_success", NULL, NULL, *d->reload_success);
    put_family(t, "config_last_reload_timestamp_seconds", "gauge", "When the last reload was, since 1970.");
    text_lit(t, "carpool_config_last_reload_timestamp_seconds ");
    text_seconds(t, *d->reload_wall_ms * 1000);
    text_lit(t, "\n");
}

#define PUT_PROCESS(t, name, type, help, value)                                       \
    do {                                                                              \
        text_lit(t, "# HELP " name " " help "\n# TYPE " name " " type "\n" name " "); \
        value;                                                                        \
        text_lit(t, "\n");                                                            \
    } while (0)

static void put_process(struct text *t, const struct admin_daemon *d)
{
    struct process_figures p;

    process_figures(&p);
    PUT_PROCESS(t, "process_cpu_seconds_total", "counter", "User and system CPU time.",
                text_seconds(t, p.cpu_us));
    PUT_PROCESS(t, "process_open_fds", "gauge", "Open file descriptors.", text_number(t, p.open_fds));
    PUT_PROCESS(t, "process_max_fds", "gauge", "How many may be open.",
                p.max_fds == UINT64_MAX ? text_lit(t, "+Inf") : text_number(t, p.max_fds));
    PUT_PROCESS(t, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
                text_number(t, p.virtual_bytes));
    PUT_PROCESS(t, "process_resident_memory_bytes", "gauge", "Resident memory.",
                text_number(t, p.resident_bytes));
    PUT_PROCESS(t, "process_start_time_seconds", "gauge", "When the process started, since 1970.",
                text_seconds(t, d->started_wall_ms * 1000));
    PUT_PROCESS(t, "process_threads", "gauge", "Threads.", text_number(t, p.threads));
}

/* With one loop there is nothing to hand over. */
static void put_workers(struct text *t, const struct admin_daemon *d)
{
    char index[DIGITS_SIZE + 1];

    put_family(t, "workers", "gauge", "Event loops.");
    put_simple(t, "workers", NULL, NULL, d->count);
    if (d->count == 1)
        return;
    put_family(t, "worker_handovers_total", "counter",
               "Clients that a loop gave to another one, where the origin of their request lives.");
    for (unsigned i = 0; i < d->count; i++) {
        index[digits_put(index, i)] = '\0';
        put_simple(t, "worker_handovers_total", "worker", index, d->proxies[i]->stats.handed_over);
    }
    put_family(t, "worker_wakeups_total", "counter", "How often a loop was woken by another one.");
    for (unsigned i = 0; i < d->count; i++) {
        index[digits_put(index, i)] = '\0';
        put_simple(t, "worker_wakeups_total", "worker", index, mailbox_wakes(d->proxies[i]->mailbox));
    }
}

void metrics_write(struct text *t, const struct admin_daemon *d)
{
    struct series_list l = {0};
    struct proxy_stats clients = {0};

    for (unsigned i = 0; i < d->count; i++)
        proxy_stats_add(&clients, &d->proxies[i]->stats);
    if (!collect(d->pools[0], &l)) {
        release(&l);
        t->failed = true;
        return;
    }
    text_reserve(t, (l.count + 1) * 8 * 1024); /* a series takes about so much: no growing, no copying */
    put_build(t, d);
    put_workers(t, d);
    put_clients(t, &clients);
    put_client_requests(t, &clients);
    put_gauges(t, &l);
    put_counters(t, &l);
    put_worded_counters(t, &l);
    put_certificates(t, d->pools[0]);
    put_histograms(t, &l);
    put_process(t, d);
    release(&l);
}
