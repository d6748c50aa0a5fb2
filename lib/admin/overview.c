#include "admin/overview.h"

#include "base/clock.h"

static uint64_t clients_refused(const struct admin_daemon *d)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < d->count; i++)
        n += d->proxies[i]->stats.clients_refused;
    return n;
}

static void put_reload(struct text *t, const struct admin_daemon *d)
{
    char time[CLOCK_RFC3339_SIZE];

    clock_format(*d->reload_wall_ms, time);
    text_format(t, "{\"ok\":%s,\"time\":\"%s\"}", *d->reload_success ? "true" : "false", time);
}

/* A sentence of the list that it stands in. */
static void say(struct text *t, bool *first, const struct text *sentence)
{
    text_put(t, *first ? SLICE("") : SLICE(","));
    text_json(t, (struct slice){sentence->p, sentence->n});
    *first = false;
}

/* What is wrong with the daemon, in words: what concerns one agent stands there. */
static void put_diagnosis(struct text *t, const struct admin_daemon *d, const struct traffic *traffic)
{
    uint64_t refused = traffic_clients_refused(traffic);
    struct text sentence = {0};
    bool first = true;

    text_lit(t, "[");
    if (!*d->reload_success) {
        text_format(&sentence, "the last reload failed: the configuration from before stays in force");
        say(t, &first, &sentence);
    }
    sentence.n = 0;
    if (refused > 0) {
        text_format(&sentence,
                    "%llu clients refused in the last two minutes: %u are connected (server.maxConnections)",
                    (unsigned long long)refused, d->config(d->ctx)->server.maxConnections);
        say(t, &first, &sentence);
    }
    text_lit(t, "]");
    text_free(&sentence);
}

void overview_write(struct text *t, const struct admin_daemon *d, const struct traffic *traffic)
{
    text_format(t, "{\"uptimeMs\":%llu,\"requestsPerSecond\":%.1f,\"errorsPerSecond\":%.1f",
                (unsigned long long)traffic_uptime_ms(traffic), traffic_requests_per_second(traffic),
                traffic_errors_per_second(traffic));
    text_format(t, ",\"clientsRefused\":%llu,\"reload\":", (unsigned long long)clients_refused(d));
    put_reload(t, d);
    text_lit(t, ",\"diagnosis\":");
    put_diagnosis(t, d, traffic);
    text_lit(t, "}");
}
