#include "admin/metrics.h"

#include "admin/callers.h"
#include "admin/process.h"
#include "base/decimal.h"
#include "ca/signer.h"

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

void metrics_family(struct text *t, const char *name, const char *type, const char *help)
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
    metrics_family(t, "client_connections", "gauge", "Open connections of clients.");
    put_simple(t, "client_connections", "state", "active", s->clients_open - s->clients_idle);
    put_simple(t, "client_connections", "state", "idle", s->clients_idle);
    metrics_family(t, "client_connections_total", "counter", "Connections of clients that were accepted.");
    put_simple(t, "client_connections_total", NULL, NULL, s->clients_total);
    metrics_family(t, "client_connections_closed_total", "counter",
                   "Connections of clients that were closed, by reason.");
    for (unsigned i = CLIENT_KEPT + 1; i < CLIENT_CLOSE_COUNT; i++)
        put_simple(t, "client_connections_closed_total", "reason", client_close_word((enum client_close)i),
                   s->clients_closed[i]);
}

static void put_client_requests(struct text *t, const struct proxy_stats *s)
{
    char status[DECIMAL_MAX + 1];

    metrics_family(
        t, "client_requests_total", "counter",
        "Requests of clients, by the status that they were answered with (0: none), and connections "
        "beyond server.maxConnections or without memory, as 503.");
    for (unsigned i = 0; i < sizeof s->requests_by_status / sizeof s->requests_by_status[0]; i++) {
        if (s->requests_by_status[i] == 0)
            continue;
        *decimal_put(status, i) = '\0';
        put_simple(t, "client_requests_total", "status", status, s->requests_by_status[i]);
    }
    metrics_family(t, "tunnels", "gauge", "Open tunnels (CONNECT and upgraded connections).");
    put_simple(t, "tunnels", NULL, NULL, s->tunnels_open);
}

/* connectTls */

static void put_connect_tls(struct text *t, const struct admin_daemon *d, const struct proxy_stats *s)
{
    static const char *const results[HANDSHAKE_COUNT] = {
        [HANDSHAKE_OK] = "ok", [HANDSHAKE_UNTRUSTED] = "untrusted", [HANDSHAKE_FAILED] = "failed"};
    const struct signer *signer = d->config(d->ctx)->connectTls.signer;

    metrics_family(
        t, "connect_tls_handshakes_total", "counter",
        "TLS handshakes with clients inside CONNECT; untrusted: the client does not trust Carpool's CA.");
    for (unsigned i = 0; i < HANDSHAKE_COUNT; i++)
        put_simple(t, "connect_tls_handshakes_total", "result", results[i], s->handshakes[i]);
    if (!signer)
        return;
    metrics_family(t, "connect_tls_ca_not_after_seconds", "gauge",
                   "When the CA of connectTls expires, as Unix time.");
    put_simple(t, "connect_tls_ca_not_after_seconds", NULL, NULL, (uint64_t)signer_ca(signer)->not_after);
}

/* The process */

static void put_build(struct text *t, const struct admin_daemon *d)
{
    metrics_family(t, "build_info", "gauge", "Always 1; the labels have version and name.");
    text_lit(t, "carpool_build_info{version=\"" PACKAGE_VERSION "\",name=");
    metrics_label_value(t, slice_of(d->instance));
    text_lit(t, "} 1\n");
    metrics_family(t, "config_last_reload_success", "gauge",
                   "1 if the last reload succeeded (the start counts as one), else 0.");
    put_simple(t, "config_last_reload_success", NULL, NULL, d->last_reload->ok);
    metrics_family(t, "config_last_reload_timestamp_seconds", "gauge",
                   "When the last reload was, as Unix time.");
    text_lit(t, "carpool_config_last_reload_timestamp_seconds ");
    text_seconds(t, d->last_reload->wall_ms * 1000);
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
    PUT_PROCESS(t, "process_max_fds", "gauge", "Maximum number of open file descriptors.",
                p.max_fds == UINT64_MAX ? text_lit(t, "+Inf") : text_number(t, p.max_fds));
    PUT_PROCESS(t, "process_virtual_memory_bytes", "gauge", "Virtual memory size.",
                text_number(t, p.virtual_bytes));
    PUT_PROCESS(t, "process_resident_memory_bytes", "gauge", "Resident memory size.",
                text_number(t, p.resident_bytes));
    PUT_PROCESS(t, "process_start_time_seconds", "gauge", "When the process started, as Unix time.",
                text_seconds(t, d->started_wall_ms * 1000));
    PUT_PROCESS(t, "process_threads", "gauge", "Number of threads.", text_number(t, p.threads));
}

/* With one loop there is nothing to hand over. */
static void put_workers(struct text *t, const struct admin_daemon *d)
{
    char index[DECIMAL_MAX + 1];

    metrics_family(t, "workers", "gauge", "Number of event loops.");
    put_simple(t, "workers", NULL, NULL, d->count);
    if (d->count == 1)
        return;
    metrics_family(t, "worker_handovers_total", "counter",
                   "Clients that a loop handed to the loop of the origin that they asked.");
    for (unsigned i = 0; i < d->count; i++) {
        *decimal_put(index, i) = '\0';
        put_simple(t, "worker_handovers_total", "worker", index, d->proxies[i]->stats.handed_over);
    }
    metrics_family(t, "worker_wakeups_total", "counter", "How often another loop woke this one.");
    for (unsigned i = 0; i < d->count; i++) {
        *decimal_put(index, i) = '\0';
        put_simple(t, "worker_wakeups_total", "worker", index, mailbox_wakes(d->proxies[i]->mailbox));
    }
}

void metrics_write(struct text *t, const struct admin_daemon *d)
{
    struct proxy_stats clients = {0};

    for (unsigned i = 0; i < d->count; i++)
        proxy_stats_add(&clients, &d->proxies[i]->stats);
    put_build(t, d);
    put_workers(t, d);
    put_clients(t, &clients);
    put_client_requests(t, &clients);
    put_connect_tls(t, d, &clients);
    callers_write_metrics(t, d);
    metrics_agents_write(t, d->pools[0]);
    put_process(t, d);
}
