#include "cmd/ctl_pools.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_output.h"

/* Retirements that are nobody's plan. */
static const char *const error_reasons[] = {"connect-failed", "connect-timeout", "error",
                                            "protocol-error", "socket-timeout",  "request-timeout"};

/* Reading */

static uint64_t number(const json_t *o, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(o, key));

    return n > 0 ? (uint64_t)n : 0;
}

static uint64_t sum(const json_t *o)
{
    const char *key;
    json_t *value;
    uint64_t n = 0;

    json_object_foreach((json_t *)o, key, value) n += (uint64_t)json_integer_value(value);
    return n;
}

static void read_retired(const json_t *o, struct pool_row *r)
{
    const json_t *retired = json_object_get(o, "retiredTotal");
    const char *reason;
    json_t *value;

    r->retired = sum(retired);
    json_object_foreach((json_t *)retired, reason, value)
    {
        uint64_t n = (uint64_t)json_integer_value(value);

        if (n > r->main_count) {
            r->main_count = n;
            r->main_reason = reason;
        }
    }
    for (size_t i = 0; i < sizeof error_reasons / sizeof error_reasons[0]; i++)
        r->errors += number(retired, error_reasons[i]);
    r->errors += sum(json_object_get(o, "reusedSocketErrors"));
}

/* `o` is an agent or one of its origins: both have the same figures. */
static void read_row(const json_t *agent, const json_t *o, struct pool_row *r)
{
    const char *name = json_string_value(json_object_get(agent, "name"));
    const char *origin = json_string_value(json_object_get(o, "origin"));
    const json_t *max = json_object_get(o, "maxSockets");

    *r = (struct pool_row){.agent = name ? name : "?", .origin = origin ? origin : "-"};
    r->paused = json_is_true(json_object_get(agent, "paused"));
    r->removed = json_is_true(json_object_get(agent, "removed"));
    r->active = number(o, "sockets");
    r->connecting = number(o, "connecting");
    r->free = number(o, "freeSockets");
    r->pending = number(o, "requests");
    r->max = json_is_integer(max) ? (uint64_t)json_integer_value(max) : UINT64_MAX;
    r->requests = number(o, "requestsTotal");
    r->reused = number(o, "reusedTotal");
    r->opened = number(o, "socketsOpened");
    read_retired(o, r);
}

static void add_rows(struct pool_table *t, const json_t *agent, bool by_agent)
{
    const json_t *origins = json_object_get(agent, "origins");
    size_t count = json_array_size(origins);

    t->rows = ctl_need(realloc(t->rows, (t->count + count + 1) * sizeof *t->rows));
    if (by_agent || count == 0) {
        struct pool_row *r = &t->rows[t->count++];
        const json_t *max = json_object_get(agent, "maxTotalSockets");

        read_row(agent, agent, r);
        if (by_agent)
            r->max = json_is_integer(max) ? (uint64_t)json_integer_value(max) : UINT64_MAX;
        return;
    }
    for (size_t i = 0; i < count; i++)
        read_row(agent, json_array_get(origins, i), &t->rows[t->count++]);
}

bool pool_table_read(struct pool_table *t, const char *body, size_t length, bool by_agent, char *error,
                     size_t error_size)
{
    json_error_t bad;
    const json_t *agents;

    *t = (struct pool_table){.json = json_loadb(body, length, 0, &bad)};
    agents = json_object_get(t->json, "agents");
    if (!json_is_array(agents)) {
        snprintf(error, error_size, "the answer to /agents is not what carpoold says: %s",
                 t->json ? "no agents" : bad.text);
        pool_table_free(t);
        return false;
    }
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

static int descending(double a, double b)
{
    return a < b ? 1 : a > b ? -1 : 0;
}

static double share_in_use(const struct pool_row *r)
{
    return r->max == UINT64_MAX || r->max == 0 ? 0 : (double)(r->active + r->connecting) / (double)r->max;
}

static int compare_load(const void *a, const void *b)
{
    const struct pool_row *x = a, *y = b;
    int order = descending((double)x->pending, (double)y->pending);

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

void pool_table_sort_by_load(struct pool_table *t)
{
    if (t->count > 1)
        qsort(t->rows, t->count, sizeof *t->rows, compare_load);
}

const char *pool_table_sentence(const struct pool_table *t, size_t index)
{
    const json_t *agents = json_object_get(t->json, "agents");

    for (size_t i = 0; i < json_array_size(agents); i++) {
        const json_t *sentences = json_object_get(json_array_get(agents, i), "diagnosis");

        if (index < json_array_size(sentences))
            return json_string_value(json_array_get(sentences, index));
        index -= json_array_size(sentences);
    }
    return NULL;
}

/* Cells */

const char *pool_column_title(enum pool_column c)
{
    static const char *const titles[POOL_COLUMNS] = {"AGENT", "ORIGIN",  "ACTIVE",  "CONNECTING",
                                                     "FREE",  "PENDING", "MAX",     "REQUESTS",
                                                     "REUSE", "OPENED",  "RETIRED", "ERRORS"};

    return titles[c];
}

bool pool_column_is_text(enum pool_column c)
{
    return c == COLUMN_AGENT || c == COLUMN_ORIGIN || c == COLUMN_RETIRED;
}

size_t pool_text_width(const char *text)
{
    size_t n = 0;

    for (const char *p = text; *p; p++)
        n += (*p & 0xc0) != 0x80;
    return n;
}

/* Each control character becomes a `?`, so that a cell keeps its width and a sentence its line. */
static void disarm(char *text)
{
    char *to = text;

    for (const char *p = text; *p;) {
        unsigned control = ctl_control_length(p);

        if (control) {
            *to++ = '?';
            p += control;
        } else {
            *to++ = *p++;
            while ((*p & 0xc0) == 0x80)
                *to++ = *p++;
        }
    }
    *to = '\0';
}

static void put_count(char out[POOL_CELL_SIZE], uint64_t n)
{
    snprintf(out, POOL_CELL_SIZE, "%llu", (unsigned long long)n);
}

static void put_reuse(char out[POOL_CELL_SIZE], const struct pool_row *r)
{
    uint64_t given = r->opened + r->reused;

    if (given == 0)
        snprintf(out, POOL_CELL_SIZE, "-");
    else
        snprintf(out, POOL_CELL_SIZE, "%.1f%%", 100.0 * (double)r->reused / (double)given);
}

static void put_retired(char out[POOL_CELL_SIZE], const struct pool_row *r)
{
    if (!r->main_reason)
        snprintf(out, POOL_CELL_SIZE, "0");
    else if (r->main_count == r->retired)
        snprintf(out, POOL_CELL_SIZE, "%llu %s", (unsigned long long)r->retired, r->main_reason);
    else
        snprintf(out, POOL_CELL_SIZE, "%llu, %llu %s", (unsigned long long)r->retired,
                 (unsigned long long)r->main_count, r->main_reason);
}

const char *pool_cell(const struct pool_row *r, enum pool_column c, char out[POOL_CELL_SIZE])
{
    switch (c) {
    case COLUMN_AGENT:
        snprintf(out, POOL_CELL_SIZE, "%.200s%s%s", r->agent, r->paused ? " (paused)" : "",
                 r->removed ? " (removed)" : "");
        break;
    case COLUMN_ORIGIN: snprintf(out, POOL_CELL_SIZE, "%s", r->origin); break;
    case COLUMN_ACTIVE: put_count(out, r->active); break;
    case COLUMN_CONNECTING: put_count(out, r->connecting); break;
    case COLUMN_FREE: put_count(out, r->free); break;
    case COLUMN_PENDING: put_count(out, r->pending); break;
    case COLUMN_MAX:
        if (r->max == UINT64_MAX)
            snprintf(out, POOL_CELL_SIZE, "-");
        else
            put_count(out, r->max);
        break;
    case COLUMN_REQUESTS: put_count(out, r->requests); break;
    case COLUMN_REUSE: put_reuse(out, r); break;
    case COLUMN_OPENED: put_count(out, r->opened); break;
    case COLUMN_RETIRED: put_retired(out, r); break;
    case COLUMN_ERRORS: put_count(out, r->errors); break;
    }
    disarm(out);
    return out;
}

/* Paper */

#define BOLD   "\033[1m"
#define RED    "\033[31m"
#define YELLOW "\033[33m"
#define PLAIN  "\033[0m"

static const char *colour_of(const struct pool_row *r, enum pool_column c)
{
    if (c == COLUMN_PENDING && r->pending > 0)
        return RED;
    if (c == COLUMN_ACTIVE && r->max != UINT64_MAX && r->active >= r->max && r->max > 0)
        return YELLOW;
    if (c == COLUMN_AGENT && r->paused)
        return YELLOW;
    return c == COLUMN_ERRORS && r->errors > 0 ? YELLOW : NULL;
}

static void print_cell(FILE *out, enum pool_column c, const char *text, size_t width, const char *colour)
{
    int pad = (int)(width - pool_text_width(text));
    bool last = c == POOL_COLUMNS - 1;

    if (!pool_column_is_text(c))
        fprintf(out, "%*s", pad, "");
    if (colour)
        ctl_put_sequence(out, colour);
    fputs(text, out);
    if (colour)
        ctl_put_sequence(out, PLAIN);
    if (pool_column_is_text(c))
        fprintf(out, "%*s", pad, "");
    fputs(last ? "\n" : "  ", out);
}

static void measure(const struct pool_table *t, bool by_agent, size_t widths[POOL_COLUMNS])
{
    char cell[POOL_CELL_SIZE];

    for (unsigned c = 0; c < POOL_COLUMNS; c++) {
        widths[c] = strlen(pool_column_title((enum pool_column)c));
        for (size_t i = 0; i < t->count; i++) {
            size_t n = pool_text_width(pool_cell(&t->rows[i], (enum pool_column)c, cell));

            widths[c] = n > widths[c] ? n : widths[c];
        }
    }
    if (by_agent)
        widths[COLUMN_ORIGIN] = 0;
}

static void print_row(const struct pool_row *r, FILE *out, const size_t widths[POOL_COLUMNS], bool colours)
{
    char cell[POOL_CELL_SIZE];

    for (unsigned c = 0; c < POOL_COLUMNS; c++) {
        if (widths[c] > 0)
            print_cell(out, (enum pool_column)c, pool_cell(r, (enum pool_column)c, cell), widths[c],
                       colours ? colour_of(r, (enum pool_column)c) : NULL);
    }
}

void pool_table_print(const struct pool_table *t, FILE *out, bool by_agent, bool colours)
{
    size_t widths[POOL_COLUMNS];
    char line[1024];
    const char *sentence;

    measure(t, by_agent, widths);
    for (unsigned c = 0; c < POOL_COLUMNS; c++) {
        if (widths[c] > 0)
            print_cell(out, (enum pool_column)c, pool_column_title((enum pool_column)c), widths[c],
                       colours ? BOLD : NULL);
    }
    for (size_t i = 0; i < t->count; i++)
        print_row(&t->rows[i], out, widths, colours);
    for (size_t i = 0; (sentence = pool_table_sentence(t, i)); i++) {
        snprintf(line, sizeof line, "%s", sentence);
        disarm(line);
        fprintf(out, "%s%s\n", i == 0 ? "\n" : "", line);
    }
}
