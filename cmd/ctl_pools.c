#include "cmd/ctl_pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/minmax.h"
#include "cmd/ctl_client.h"
#include "cmd/ctl_counts.h"
#include "cmd/ctl_words.h"

#define LIMIT_ERROR "connection_limit_reached"

/* Reading */

/* A failed connect stands there too, though nothing was open. */
static void read_retired(const json_t *retired, struct pool_row *r)
{
    const char *reason;
    json_t *value;

    json_object_foreach ((json_t *)retired, reason, value) {
        uint64_t n = (uint64_t)json_integer_value(value);

        if (strcmp(reason, "connect-failed") == 0 || strcmp(reason, "connect-timeout") == 0)
            continue;
        r->retired += n;
        if (n > r->main_count) {
            r->main_count = n;
            r->main_reason = reason;
        }
    }
}

static bool speaks_http2(const json_t *o)
{
    const char *protocol = json_string_value(json_object_get(o, "protocol"));

    return (protocol && strcmp(protocol, "h2") == 0) ||
           counts_get(o, "streams") + counts_get(o, "draining") > 0;
}

static bool some_speaks_http2(const json_t *origins)
{
    const json_t *o;
    size_t i;

    json_array_foreach (origins, i, o) {
        if (speaks_http2(o))
            return true;
    }
    return false;
}

/* An agent has no `protocol`, but origins; an origin the other way round. */
static void read_http2(const json_t *o, struct pool_row *r)
{
    const char *protocol = json_string_value(json_object_get(o, "protocol"));

    r->protocol = protocol ? protocol : "-";
    r->speaks_http2 = speaks_http2(o) || some_speaks_http2(json_object_get(o, "origins"));
    r->streams = counts_get(o, "streams");
    r->max_streams = counts_get(o, "maxStreams");
    r->max_in_flight = json_object_get(o, "origin") ? r->max : UINT64_MAX;
    r->draining = counts_get(o, "draining");
    r->goaways = counts_sum(json_object_get(o, "goaways"));
}

static uint64_t limit(const json_t *o, const char *key)
{
    const json_t *max = json_object_get(o, key);

    return json_is_integer(max) ? (uint64_t)json_integer_value(max) : UINT64_MAX;
}

/* What bounds one origin's connections. */
static uint64_t max_of_origin(const json_t *agent)
{
    uint64_t own = limit(agent, "maxSockets"), all = limit(agent, "maxTotalSockets");

    return min64(own, all);
}

/* Sentences about an agent that are about none of its origins alone. */
static size_t problems_of_all(const json_t *agent)
{
    size_t all = json_array_size(json_object_get(agent, "diagnosis")), i;
    const json_t *origin;
    uint64_t own = 0;

    json_array_foreach (json_object_get(agent, "origins"), i, origin) {
        own += counts_get(origin, "problems");
    }
    return all > own ? all - (size_t)own : 0;
}

static uint64_t count_full(const json_t *agent)
{
    uint64_t max = max_of_origin(agent), n = 0;
    const json_t *origin;
    size_t i;

    json_array_foreach (json_object_get(agent, "origins"), i, origin) {
        n += max > 0 && counts_get(origin, "sockets") >= max;
    }
    return n;
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void read_rates(const json_t *o, struct pool_row *r)
{
    double errors = number(o, "errorsPerSecond");

    r->request_rate = number(o, "requestsPerSecond");
    r->refused_rate = number(o, "refusedPerSecond");
    r->error_rate = errors > r->refused_rate ? errors - r->refused_rate : 0;
}

/* Refusals are none. */
static uint64_t failures_of(const json_t *o)
{
    const json_t *errors = json_object_get(o, "errors");

    return counts_sum(errors) - counts_get(errors, LIMIT_ERROR);
}

/* `o` is an agent or one of its origins: both have the same figures but for the problems. */
static void read_row(const json_t *agent, const json_t *o, size_t problems, struct pool_row *r)
{
    const char *name = json_string_value(json_object_get(agent, "name"));
    const char *origin = json_string_value(json_object_get(o, "origin"));
    bool has_several = o == agent && json_array_size(json_object_get(agent, "origins")) > 1;

    *r = (struct pool_row){.agent = name ? name : "?", .origin = origin ? origin : "-"};
    r->paused = json_is_true(json_object_get(agent, "paused"));
    r->removed = json_is_true(json_object_get(agent, "removed"));
    r->problems = problems;
    r->lately = counts_get(o, "failedLately");
    r->active = counts_get(o, "sockets");
    r->connecting = counts_get(o, "connecting");
    r->free = counts_get(o, "freeSockets");
    r->waiting = counts_get(o, "requests");
    r->max = has_several ? limit(agent, "maxTotalSockets") : max_of_origin(agent);
    r->full = has_several ? count_full(agent) : 0;
    r->waited_max_ms = json_number_value(json_object_get(o, "waitedMaxMs"));
    r->requests = counts_get(o, "requestsTotal");
    r->reused = counts_get(o, "reusedTotal");
    r->opened = counts_get(o, "socketsOpened");
    r->refused = counts_get(json_object_get(o, "errors"), LIMIT_ERROR);
    r->errors = failures_of(o);
    read_rates(o, r);
    read_retired(json_object_get(o, "retiredTotal"), r);
    read_http2(o, r);
}

static void add_rows(struct pool_table *t, const json_t *agent, bool by_agent)
{
    const json_t *origins = json_object_get(agent, "origins");
    size_t count = json_array_size(origins), of_all = problems_of_all(agent);

    t->rows = ctl_need(reallocarray(t->rows, t->count + count + 1, sizeof *t->rows));
    if (by_agent || count == 0) {
        read_row(agent, agent, json_array_size(json_object_get(agent, "diagnosis")), &t->rows[t->count++]);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *o = json_array_get(origins, i);

        read_row(agent, o, (size_t)counts_get(o, "problems") + of_all, &t->rows[t->count++]);
    }
}

/* /agents/NAME is read as if it were all. */
static json_t *as_all(json_t *json)
{
    json_t *all;

    if (!json_is_array(json_object_get(json, "origins")) || json_object_get(json, "agents"))
        return json;
    all = ctl_need(json_object());
    json_object_set_new(all, "agents", json_array());
    json_array_append_new(json_object_get(all, "agents"), json);
    return all;
}

/* Lately, and in the last hour: requests that failed or were refused. */
static bool fails_more(const json_t *a, const json_t *b)
{
    uint64_t x = counts_get(a, "failedLately"), y = counts_get(b, "failedLately");
    const json_t *p = json_object_get(a, "lastHour"), *q = json_object_get(b, "lastHour");

    if (x != y)
        return x > y;
    return counts_get(p, "errors") + counts_get(p, "refused") >
           counts_get(q, "errors") + counts_get(q, "refused");
}

/* Whose problems are said first: agents whose requests fail, by how many; the others as the file has them. */
static void sort_agents(const json_t *all)
{
    json_t *agents = json_object_get(all, "agents");

    for (size_t i = 1; i < json_array_size(agents); i++) {
        json_t *agent = json_incref(json_array_get(agents, i));
        size_t at = i;

        while (at > 0 && fails_more(agent, json_array_get(agents, at - 1)))
            at--;
        json_array_remove(agents, i);
        json_array_insert_new(agents, at, agent);
    }
}

bool pool_table_read(struct pool_table *t, const char *body, size_t length, bool by_agent, char *error,
                     size_t error_size)
{
    json_error_t bad;
    const json_t *agents;

    *t = (struct pool_table){.json = as_all(json_loadb(body, length, 0, &bad))};
    agents = json_object_get(t->json, "agents");
    if (!json_is_array(agents)) {
        snprintf(error, error_size, "the answer to /agents is not what carpoold says: %s",
                 t->json ? "no agents" : bad.text);
        pool_table_free(t);
        return false;
    }
    sort_agents(t->json);
    for (size_t i = 0; i < json_array_size(agents); i++)
        add_rows(t, json_array_get(agents, i), by_agent);
    return true;
}

void pool_table_free(struct pool_table *t)
{
    json_decref(t->json);
    free(t->rows);
    *t = (struct pool_table){0};
}

/* Order */

static int descending(double a, double b)
{
    return a < b ? 1 : a > b ? -1 : 0;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole == UINT64_MAX || whole == 0 ? 0 : (double)part / (double)whole;
}

static double share_in_use(const struct pool_row *r)
{
    double sockets = share(r->active + r->connecting, r->max), streams = share(r->streams, r->max_in_flight);

    return sockets > streams ? sockets : streams;
}

static bool is_forgotten(const struct pool_row *r)
{
    return strcmp(r->origin, "*") == 0;
}

static int compare(const void *a, const void *b)
{
    const struct pool_row *x = a, *y = b;
    int order = descending(x->problems > 0, y->problems > 0);

    if (order == 0)
        order = descending((double)x->lately, (double)y->lately);
    if (order == 0)
        order = descending(!is_forgotten(x), !is_forgotten(y));
    if (order == 0)
        order = descending((double)x->waiting, (double)y->waiting);
    if (order == 0)
        order = descending((double)(x->errors + x->refused), (double)(y->errors + y->refused));
    if (order == 0)
        order = descending(share_in_use(x), share_in_use(y));
    if (order == 0)
        order = descending((double)x->active, (double)y->active);
    if (order == 0)
        order = descending((double)x->requests, (double)y->requests);
    if (order == 0)
        order = strcmp(x->agent, y->agent);
    return order != 0 ? order : strcmp(x->origin, y->origin);
}

void pool_table_sort(struct pool_table *t)
{
    if (t->count > 1)
        qsort(t->rows, t->count, sizeof *t->rows, compare);
}

/* Sentences */

static const json_t *diagnosis_of(const struct pool_table *t, size_t place)
{
    const json_t *owner = place == 0 ? json_object_get(t->json, "daemon")
                                     : json_array_get(json_object_get(t->json, "agents"), place - 1);

    return json_object_get(owner, "diagnosis");
}

const char *pool_table_sentence(const struct pool_table *t, size_t index)
{
    size_t places = json_array_size(json_object_get(t->json, "agents")) + 1;

    for (size_t i = 0; i < places; i++) {
        const json_t *sentences = diagnosis_of(t, i);

        if (index < json_array_size(sentences))
            return json_string_value(json_array_get(sentences, index));
        index -= json_array_size(sentences);
    }
    return NULL;
}

size_t pool_table_sentence_count(const struct pool_table *t)
{
    size_t places = json_array_size(json_object_get(t->json, "agents")) + 1, n = 0;

    for (size_t i = 0; i < places; i++)
        n += json_array_size(diagnosis_of(t, i));
    return n;
}

/* One line over all */

/* Milliseconds since then, by the daemon's clock; negative: it is not known. */
static double age_ms(const struct pool_table *t, const char *time)
{
    struct tm tm = {0};
    double now = json_number_value(json_object_get(t->json, "timeMs"));
    const char *fraction = time ? strptime(time, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

    if (!fraction || now <= 0)
        return -1;
    return now - ((double)timegm(&tm) + strtod(fraction, NULL)) * 1e3;
}

static void put_reload(const struct pool_table *t, const json_t *daemon, char *out, size_t size)
{
    const json_t *reload = json_object_get(daemon, "reload");
    double age = age_ms(t, json_string_value(json_object_get(reload, "time")));
    bool failed = json_is_false(json_object_get(reload, "ok"));
    char ago[CTL_WORD_SIZE];

    if (json_number_value(json_object_get(daemon, "reloads")) == 0)
        snprintf(out, size, "no reload since");
    else if (age < 0)
        snprintf(out, size, "last reload unknown");
    else
        snprintf(out, size, "last reload %s%s ago", failed ? "FAILED " : "", ctl_long_time(age, ago));
}

/* Since the start, of the agents that there are. */
static uint64_t known_failures(const struct pool_table *t)
{
    const json_t *agent;
    uint64_t n = 0;
    size_t i;

    json_array_foreach (json_object_get(t->json, "agents"), i, agent) {
        n += failures_of(agent);
    }
    return n;
}

/* What a reload removed is among what failed, and carpoolctl errors does not list it. */
static const char *where_failures_are(uint64_t failed, uint64_t known)
{
    if (known == 0)
        return ", of agents that a reload removed";
    if (known < failed)
        return ", some of agents that a reload removed (the others: carpoolctl errors)";
    return " (carpoolctl errors)";
}

static void put_verdict(const struct pool_table *t, char *out, size_t size)
{
    uint64_t failed = counts_get(json_object_get(t->json, "daemon"), "failedLately");
    size_t problems = pool_table_sentence_count(t);
    char count[CTL_WORD_SIZE];

    if (problems > 0)
        snprintf(out, size, "%zu problem%s", problems, problems == 1 ? "" : "s");
    else if (failed > 0)
        snprintf(out, size, "no problems, but %s request%s failed in the last two minutes%s",
                 ctl_count(failed, count), failed == 1 ? "" : "s",
                 where_failures_are(failed, known_failures(t)));
    else
        snprintf(out, size, "no problems");
}

const char *pool_table_summary(const struct pool_table *t, char *out, size_t size)
{
    const json_t *daemon = json_object_get(t->json, "daemon"), *agent;
    size_t i;
    uint64_t active = 0, waiting = 0;
    char up[CTL_WORD_SIZE], refused[CTL_WORD_SIZE] = "", reload[64], verdict[192];
    double refused_rate = json_number_value(json_object_get(daemon, "refusedPerSecond"));
    double error_rate = json_number_value(json_object_get(daemon, "errorsPerSecond")) - refused_rate;

    json_array_foreach (json_object_get(t->json, "agents"), i, agent) {
        active += counts_get(agent, "sockets");
        waiting += counts_get(agent, "requests");
    }
    put_verdict(t, verdict, sizeof verdict);
    if (refused_rate > 0)
        snprintf(refused, sizeof refused, ", %.1f refused/s", refused_rate);
    put_reload(t, daemon, reload, sizeof reload);
    snprintf(out, size, "%s; now %.1f requests/s, %llu active, %llu waiting, %.1f errors/s%s; up %s, %s",
             verdict, json_number_value(json_object_get(daemon, "requestsPerSecond")),
             (unsigned long long)active, (unsigned long long)waiting, error_rate > 0 ? error_rate : 0,
             refused, ctl_long_time(json_number_value(json_object_get(daemon, "uptimeMs")), up), reload);
    return out;
}

const char *pool_table_savings(const struct pool_table *t, char *out, size_t size)
{
    char count[CTL_WORD_SIZE], span[CTL_WORD_SIZE];
    const json_t *saved = json_object_get(json_object_get(t->json, "daemon"), "saved");
    uint64_t connections = counts_get(saved, "connections");
    double ms = json_number_value(json_object_get(saved, "connectMs"));

    snprintf(out, size, "saved since start: %s connection%s, %s of handshakes", ctl_count(connections, count),
             connections == 1 ? "" : "s", ctl_span(ms, span));
    return out;
}

bool pool_table_has_forgotten(const struct pool_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (is_forgotten(&t->rows[i]))
            return true;
    }
    return false;
}

bool pool_table_has_http2(const struct pool_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->rows[i].speaks_http2 || t->rows[i].goaways > 0)
            return true;
    }
    return false;
}
