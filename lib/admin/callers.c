#include "admin/callers.h"

#include <stdlib.h>

#include "admin/metrics.h"
#include "base/hash.h"
#include "proxy/exchange.h"

#define OTHERS     "*"
#define LABELS_MAX 50

struct row {
    UT_hash_handle hh;
    const char *name;
    uint32_t connections, waiting, active;
    uint64_t requests, errors;
    struct caller_served *served; /* by agent */
};

struct rows {
    struct row *table;
    bool failed; /* memory was short */
};

static struct row *row_of(struct rows *r, const char *name)
{
    struct row *row;
    HASH_FIND_STR(r->table, name, row);
    if (row)
        return row;
    row = calloc(1, sizeof *row);
    if (row) {
        row->name = name;
        HASH_ADD_KEYPTR(hh, r->table, row->name, strlen(name), row);
        if (row->hh.tbl)
            return row;
        free(row);
    }
    r->failed = true;
    return NULL;
}

static void add_served(struct rows *r, struct row *row, const struct caller_served *from)
{
    struct caller_served *s;
    size_t n = strlen(from->agent);
    HASH_FIND(hh, row->served, from->agent, n, s);
    if (!s && (s = calloc(1, sizeof *s + n + 1))) {
        memcpy(s->agent, from->agent, n);
        HASH_ADD_KEYPTR(hh, row->served, s->agent, n, s);
        if (!s->hh.tbl) {
            free(s);
            s = NULL;
        }
    }
    if (s) {
        s->requests += from->requests;
        s->not_allowed += from->not_allowed;
    }
    r->failed |= s == NULL;
}

static void add_counts(struct rows *r, const struct caller *caller)
{
    const struct caller_served *s;
    struct row *row = row_of(r, caller->name);
    if (!row)
        return;
    row->requests += caller->requests;
    row->errors += caller->errors;
    for (s = caller->served; s; s = s->hh.next)
        add_served(r, row, s);
}

static void add_client(struct rows *r, const struct client *c)
{
    struct row *row = c->caller ? row_of(r, c->caller->name) : NULL;
    if (!row)
        return;
    bool waits = c->exchange && c->exchange->state == EXCHANGE_WAITING;
    row->connections++;
    row->waiting += waits;
    row->active += (c->exchange || c->tunnel) && !waits;
}

static void add_forgotten(struct rows *r, const struct caller_totals *totals)
{
    struct row *row = totals->requests ? row_of(r, OTHERS) : NULL;
    if (!row)
        return;
    row->requests += totals->requests;
    row->errors += totals->errors;
}

static void add_clients(struct rows *r, const struct proxy *p)
{
    const struct client *c;
    if (!p->callers.table && p->callers.unknown.refs == 0)
        return; /* none has a caller, and there may be very many */
    TAILQ_FOREACH (c, &p->clients, link)
        add_client(r, c);
}

static void add_loop(struct rows *r, const struct proxy *p)
{
    const struct caller *caller;
    for (caller = p->callers.table; caller; caller = caller->hh.next)
        add_counts(r, caller);
    if (p->callers.unknown.requests)
        add_counts(r, &p->callers.unknown);
    add_clients(r, p);
    add_forgotten(r, &p->callers.forgotten);
}

static int busiest_first(const struct row *a, const struct row *b)
{
    if (a->requests != b->requests)
        return a->requests > b->requests ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void gather(struct rows *r, const struct admin_daemon *d)
{
    *r = (struct rows){.table = NULL};
    if (d->config(d->ctx)->callers == CALLERS_OFF)
        return; /* the figures from before a reload stand still */
    for (unsigned i = 0; i < d->count; i++)
        add_loop(r, d->proxies[i]);
    HASH_SORT(r->table, busiest_first);
}

static void free_rows(struct rows *r)
{
    struct row *row, *next_row;
    struct caller_served *s, *next;
    HASH_ITER (hh, r->table, row, next_row) {
        HASH_ITER (hh, row->served, s, next) {
            HASH_DEL(row->served, s); /* NOLINT(clang-analyzer-unix.Malloc): the last one empties the table */
            free(s);
        }
        HASH_DEL(r->table, row);
        free(row);
    }
}

static uint64_t served(const struct caller_served *s)
{
    return s->requests;
}

static uint64_t not_allowed(const struct caller_served *s)
{
    return s->not_allowed;
}

/* {NAME: count} of those that are not 0. */
static void put_by_agent(struct text *t, const struct row *row,
                         uint64_t (*count)(const struct caller_served *s))
{
    const struct caller_served *s;
    const char *between = "";
    text_lit(t, "{");
    for (s = row->served; s; s = s->hh.next) {
        if (count(s) == 0)
            continue;
        text_string(t, between);
        text_json(t, slice_of(s->agent));
        text_lit(t, ":");
        text_number(t, count(s));
        between = ",";
    }
    text_lit(t, "}");
}

static void put_row(struct text *t, const struct row *row)
{
    text_lit(t, "{\"caller\":");
    text_json(t, slice_of(row->name));
    text_format(
        t, ",\"connections\":%u,\"requests\":%llu,\"waiting\":%u,\"active\":%u,\"errors\":%llu,\"agents\":",
        row->connections, (unsigned long long)row->requests, row->waiting, row->active,
        (unsigned long long)row->errors);
    put_by_agent(t, row, served);
    text_lit(t, ",\"notAllowed\":");
    put_by_agent(t, row, not_allowed);
    text_lit(t, "}");
}

void callers_put(struct text *t, const struct admin_daemon *d)
{
    struct rows r;
    gather(&r, d);
    text_lit(t, "\"callers\":[");
    for (const struct row *row = r.table; row; row = row->hh.next) {
        if (row != r.table)
            text_lit(t, ",");
        put_row(t, row);
    }
    text_lit(t, "]");
    t->failed |= r.failed;
    free_rows(&r);
}

void callers_write(struct text *t, const struct admin_daemon *d)
{
    text_lit(t, "{");
    callers_put(t, d);
    text_lit(t, "}\n");
}

/* ---- metrics */

static void put_metric(struct text *t, const char *name, const char *caller, uint64_t value)
{
    text_string(t, name);
    text_lit(t, "{caller=");
    metrics_label_value(t, slice_of(caller));
    text_lit(t, "} ");
    text_number(t, value);
    text_lit(t, "\n");
}

static uint64_t requests_of(const struct row *row)
{
    return row->requests;
}

static uint64_t connections_of(const struct row *row)
{
    return row->connections;
}

static void put_family(struct text *t, const struct rows *r, const char *name,
                       uint64_t (*figure)(const struct row *row))
{
    unsigned shown = 0;
    uint64_t others = 0;
    for (const struct row *row = r->table; row; row = row->hh.next) {
        if (shown < LABELS_MAX && strcmp(row->name, OTHERS) != 0) {
            put_metric(t, name, row->name, figure(row));
            shown++;
        } else {
            others += figure(row);
        }
    }
    if (HASH_COUNT(r->table) > shown)
        put_metric(t, name, OTHERS, others);
}

void callers_write_metrics(struct text *t, const struct admin_daemon *d)
{
    struct rows r;
    gather(&r, d);
    if (r.table) {
        metrics_family(t, "caller_requests_total", "counter",
                       "Requests by caller: the 50 with most, others under *.");
        put_family(t, &r, "carpool_caller_requests_total", requests_of);
        metrics_family(t, "caller_connections", "gauge", "Open connections of clients by caller.");
        put_family(t, &r, "carpool_caller_connections", connections_of);
    }
    t->failed |= r.failed;
    free_rows(&r);
}
