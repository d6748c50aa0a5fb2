/* carpoolctl errors [NAME]: how often each error occurred, and the recent ones. */

#include "cmd/ctl_errors.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/ctl_cells.h"
#include "cmd/ctl_command.h"
#include "cmd/ctl_counts.h"
#include "cmd/ctl_status.h"
#include "cmd/ctl_table.h"

/* Recent errors of one agent that say the same. */
struct group {
    const char *agent, *origin, *error, *text, *last;
    unsigned count;
    bool more; /* perhaps: the agent had more of this error than are kept */
};

struct group_list {
    struct group *items;
    size_t count;
};

static const char *string(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));

    return value ? value : "-";
}

static struct group *find(const struct group_list *l, const struct group *like)
{
    for (size_t i = 0; i < l->count; i++) {
        struct group *g = &l->items[i];

        if (strcmp(g->agent, like->agent) == 0 && strcmp(g->origin, like->origin) == 0 &&
            strcmp(g->error, like->error) == 0 && strcmp(g->text, like->text) == 0)
            return g;
    }
    return NULL;
}

/* Not all that the agent had of this error since the start are among the recent ones. */
static bool lacks_some(const json_t *agent, const json_t *recent, const char *error)
{
    json_int_t all = json_integer_value(json_object_get(json_object_get(agent, "errors"), error));
    const json_t *e;
    size_t i;

    json_array_foreach (recent, i, e) {
        all -= strcmp(string(e, "error"), error) == 0;
    }
    return all > 0;
}

/* They come oldest first. */
static void gather(struct group_list *l, const json_t *agent)
{
    const json_t *recent = json_object_get(agent, "recentErrors"), *e;
    size_t i;

    json_array_foreach (recent, i, e) {
        struct group one = {string(agent, "name"),
                            string(e, "origin"),
                            string(e, "error"),
                            string(e, "text"),
                            string(e, "time"),
                            1,
                            lacks_some(agent, recent, string(e, "error"))};
        struct group *known = find(l, &one);

        if (known) {
            known->count++;
            known->last = one.last;
            continue;
        }
        l->items = ctl_need(reallocarray(l->items, l->count + 1, sizeof *l->items));
        l->items[l->count++] = one;
    }
}

static int newest_first(const void *a, const void *b)
{
    const struct group *x = a, *y = b;

    return strcmp(y->last, x->last);
}

/* "01:31:04" of "2026-11-28T01:31:04.123Z" */
static void put_time(const char *time, char out[9])
{
    snprintf(out, 9, "%.8s", strlen(time) > 19 ? time + 11 : time);
}

#define TIMES_SIZE 16

static bool any_may_be_more(const struct group_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->items[i].count > 1 && l->items[i].more)
            return true;
    }
    return false;
}

/* "x14", "x20+" where there may have been more, or nothing for once. Returns `out`. */
static const char *put_times(const struct group *g, char out[TIMES_SIZE])
{
    out[0] = '\0';
    if (g->count > 1)
        snprintf(out, TIMES_SIZE, "x%u%s", g->count, g->more ? "+" : "");
    return out;
}

static void print_recent(const json_t *agents, bool with_agent, FILE *out, bool colours)
{
    static const struct table_column of_all[] = {
        {"TIME (UTC)", true}, {"TIMES", false}, {"AGENT", true}, {"ORIGIN", true}, {"WHAT", true}};
    static const struct table_column of_one[] = {
        {"TIME (UTC)", true}, {"TIMES", false}, {"ORIGIN", true}, {"WHAT", true}};
    struct group_list l = {0};
    struct table paper;
    char time[9], times[TIMES_SIZE], origin[POOL_NAME_SIZE];
    const json_t *agent;
    size_t i;

    json_array_foreach (agents, i, agent) {
        gather(&l, agent);
    }
    if (l.count == 0)
        return;
    qsort(l.items, l.count, sizeof *l.items, newest_first);
    table_begin(&paper, with_agent ? of_all : of_one, with_agent ? 5 : 4);
    paper.wrapped = ctl_columns();
    for (i = 0; i < l.count; i++) {
        const struct group *g = &l.items[i];

        put_time(g->last, time);
        table_add(&paper, CELL_PLAIN, "%s", time);
        table_add(&paper, CELL_PLAIN, "%s", put_times(g, times));
        if (with_agent)
            table_add(&paper, CELL_PLAIN, "%s", g->agent);
        table_add(&paper, CELL_PLAIN, "%s",
                  pool_origin_name(&(const struct pool_row){.origin = g->origin}, origin));
        table_add(&paper, CELL_PLAIN, "%s: %s", g->error, g->text);
    }
    fprintf(out, "\nlatest errors, newest first (at most 20 per agent%s):\n",
            any_may_be_more(&l) ? "; a plus: so many or more" : "");
    table_print(&paper, out, colours);
    table_free(&paper);
    free(l.items);
}

static void add_counts(struct table *t, bool with_agent, const json_t *agent, const json_t *origin)
{
    char name[POOL_NAME_SIZE];
    const char *error;
    json_t *count;

    json_object_foreach (json_object_get(origin, "errors"), error, count) {
        if (with_agent)
            table_add(t, CELL_PLAIN, "%s", string(agent, "name"));
        table_add(t, CELL_PLAIN, "%s",
                  pool_origin_name(&(const struct pool_row){.origin = string(origin, "origin")}, name));
        table_add(t, CELL_PLAIN, "%s", error);
        table_add_count(t, CELL_PLAIN, (uint64_t)json_integer_value(count));
    }
}

/* False: there were none. */
static bool print_counts(const json_t *agents, bool with_agent, FILE *out, bool colours)
{
    static const struct table_column columns[] = {
        {"AGENT", true}, {"ORIGIN", true}, {"ERROR", true}, {"SINCE START", false}};
    struct table paper;
    const json_t *agent, *origin;
    size_t i, k;
    bool any;

    table_begin(&paper, columns + !with_agent, sizeof columns / sizeof columns[0] - !with_agent);
    json_array_foreach (agents, i, agent) {
        json_array_foreach (json_object_get(agent, "origins"), k, origin) {
            add_counts(&paper, with_agent, agent, origin);
        }
    }
    any = paper.cell_count > 0;
    if (any)
        table_print(&paper, out, colours);
    table_free(&paper);
    return any;
}

/* The row of origins that were forgotten is among what was counted. */
static bool has_forgotten(const json_t *agents)
{
    const json_t *agent, *origin;
    size_t i, k;

    json_array_foreach (agents, i, agent) {
        json_array_foreach (json_object_get(agent, "origins"), k, origin) {
            if (strcmp(string(origin, "origin"), "*") == 0 &&
                json_object_size(json_object_get(origin, "errors")) > 0)
                return true;
        }
    }
    return false;
}

void errors_print(const json_t *agents, bool with_agent, FILE *out, bool colours)
{
    if (!print_counts(agents, with_agent, out, colours))
        fputs("no errors since the start\n", out);
    else if (with_agent && has_forgotten(agents))
        fprintf(out, "\n%s", pool_forgotten_legend);
    print_recent(agents, with_agent, out, colours);
}

static void print_errors(struct pool_table *t, const struct ctl_options *o)
{
    (void)o;
    errors_print(json_object_get(t->json, "agents"), true, stdout, ctl_wants_colours());
}

int ctl_errors(const struct ctl_options *o, const char *name)
{
    return pool_table_show(o, name, true, print_errors);
}
