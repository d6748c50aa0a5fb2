/* carpoolctl callers: who uses Carpool, most requests first. */

#include <jansson.h>
#include <string.h>

#include "cmd/ctl_command.h"
#include "cmd/ctl_counts.h"
#include "cmd/ctl_table.h"
#include "cmd/ctl_words.h"

#define AGENTS_SIZE 1024

/* Callers that were forgotten; which agents they asked is not known. */
#define FORGOTTEN "*"

/* Requests that were refused before an agent was chosen. */
static uint64_t without_agent(const json_t *row)
{
    const char *caller = json_string_value(json_object_get(row, "caller"));
    uint64_t all = counts_get(row, "requests");
    uint64_t with =
        counts_sum(json_object_get(row, "agents")) + counts_sum(json_object_get(row, "notAllowed"));

    return with > all || (caller && strcmp(caller, FORGOTTEN) == 0) ? 0 : all - with;
}

/* Adds "payments 120", and what stands behind it, to what `out` holds; false: there is no room for it. */
static bool append(char out[AGENTS_SIZE], const char *agent, uint64_t requests, const char *behind)
{
    size_t n = strlen(out);
    char count[CTL_WORD_SIZE];
    int k = snprintf(out + n, AGENTS_SIZE - n, "%s%s %s%s", n ? ", " : "", agent, ctl_count(requests, count),
                     behind);

    if (k >= 0 && (size_t)k < AGENTS_SIZE - n)
        return true;
    out[n] = '\0';
    return false;
}

/* The largest first. */
static void append_all(char out[AGENTS_SIZE], const json_t *counts, const char *behind)
{
    json_t *left = json_copy((json_t *)counts);
    const char *agent;

    while ((agent = counts_largest(left)) && append(out, agent, counts_get(left, agent), behind))
        json_object_del(left, agent);
    json_decref(left);
}

/* "payments 120, mail 3, mail 2 (not allowed), (no agent) 4" */
static void put_agents(const json_t *row, char out[AGENTS_SIZE])
{
    uint64_t others = without_agent(row);

    *out = '\0';
    append_all(out, json_object_get(row, "agents"), "");
    append_all(out, json_object_get(row, "notAllowed"), " (not allowed)");
    if (others > 0)
        append(out, "(no agent)", others, "");
}

static void add_row(struct table *t, const json_t *row)
{
    const char *caller = json_string_value(json_object_get(row, "caller"));
    uint64_t waiting = counts_get(row, "waiting"), errors = counts_get(row, "errors");
    char agents[AGENTS_SIZE];

    put_agents(row, agents);
    table_add(t, CELL_PLAIN, "%s", caller ? caller : "-");
    table_add_count(t, CELL_PLAIN, counts_get(row, "connections"));
    table_add_count(t, CELL_PLAIN, counts_get(row, "active"));
    table_add_count(t, waiting > 0 ? CELL_WARN : CELL_PLAIN, waiting);
    table_add_count(t, CELL_PLAIN, counts_get(row, "requests"));
    table_add_count(t, errors > 0 ? CELL_BAD : CELL_PLAIN, errors);
    table_add(t, CELL_PLAIN, "%s", agents);
}

static void print(const json_t *rows)
{
    static const struct table_column columns[] = {
        {"CALLER", true},    {"CONNECTIONS", false},    {"ACTIVE", false}, {"WAITING", false},
        {"REQUESTS", false}, {"FAILED/REFUSED", false}, {"AGENTS", true}};
    struct table paper;
    const json_t *row;
    size_t i;

    if (json_array_size(rows) == 0) {
        puts("no callers: the option callers is off, or no request has come since it was set");
        return;
    }
    table_begin(&paper, columns, sizeof columns / sizeof columns[0]);
    json_array_foreach (rows, i, row) {
        add_row(&paper, row);
    }
    table_print(&paper, stdout, ctl_wants_colours());
    table_free(&paper);
}

static int print_callers(const struct ctl_options *o, json_t *answer)
{
    const json_t *rows = json_object_get(answer, "callers");

    (void)o;
    if (!json_is_array(rows))
        return CTL_STRANGE;
    print(rows);
    return CTL_FINE;
}

int ctl_callers(const struct ctl_options *o, const char *name)
{
    (void)name;
    return ctl_get(o, "/callers", print_callers);
}
