/* carpoolctl agents [NAME]: a row an agent, or all about one. */

#include "base/units.h"
#include "cmd/ctl_cells.h"
#include "cmd/ctl_command.h"
#include "cmd/ctl_counts.h"
#include "cmd/ctl_errors.h"
#include "cmd/ctl_status.h"
#include "cmd/ctl_table.h"

static void print_all(struct pool_table *t, const struct ctl_options *o)
{
    const struct pool_print how = {true, false, o->wide, ctl_wants_colours()};

    pool_table_sort(t);
    pool_table_print(t, stdout, &how);
}

static void print_limit(const json_t *agent, const char *key, const char *end)
{
    const json_t *value = json_object_get(agent, key);

    if (json_is_integer(value))
        printf("%s %lld%s", key, (long long)json_integer_value(value), end);
    else
        printf("%s Infinity%s", key, end);
}

/* A time limit of /agents, as the configuration writes it. */
static void print_timeout(const json_t *timeouts, const char *key, const char *end)
{
    char text[UNITS_TEXT_SIZE];

    printf("%s %s%s", key, units_format_time(counts_get(timeouts, key), text), end);
}

static void print_timeouts(const json_t *timeouts)
{
    fputs("timeouts: ", stdout);
    print_timeout(timeouts, "connect", ", ");
    print_timeout(timeouts, "pending", ", ");
    print_timeout(timeouts, "socket", ", ");
    print_timeout(timeouts, "request", ", ");
    print_timeout(timeouts, "free", "\n");
}

static void print_head(const struct pool_table *t, const json_t *agent, bool colours)
{
    char name[POOL_NAME_SIZE];
    const struct pool_row row = {.agent = json_string_value(json_object_get(agent, "name")),
                                 .paused = json_is_true(json_object_get(agent, "paused")),
                                 .removed = json_is_true(json_object_get(agent, "removed"))};

    table_print_styled(stdout, pool_agent_name(&row, name), CELL_HEAD, colours);
    fputs(": ", stdout);
    print_limit(agent, "maxSockets", ", ");
    print_limit(agent, "maxTotalSockets", ", ");
    print_limit(agent, "maxFreeSockets", ", ");
    print_limit(agent, "maxPendingRequests", "\n");
    if (json_object_get(agent, "timeoutsMs"))
        print_timeouts(json_object_get(agent, "timeoutsMs"));
    putchar('\n');
    if (pool_table_sentence_count(t) == 0)
        return;
    pool_table_print_sentences(t, row.agent, stdout, colours);
    putchar('\n');
}

/* A row for each word, the most frequent first, with this before it. Eats `counts`. */
static void add_counts(struct table *t, json_t *counts, const char *before)
{
    while (json_object_size(counts) > 0) {
        const char *most = counts_largest(counts);

        table_add_count(t, CELL_PLAIN, counts_get(counts, most));
        table_add(t, CELL_PLAIN, "%s%s", before, most);
        json_object_del(counts, most);
    }
    json_decref(counts);
}

static void print_counts(struct table *t, bool colours)
{
    if (t->cell_count > 0) {
        putchar('\n');
        table_print(t, stdout, colours);
    }
    table_free(t);
}

static void print_retired(const json_t *agent, bool colours)
{
    static const struct table_column columns[] = {{"CLOSED", false}, {"REASON", true}};
    json_t *left = json_deep_copy(json_object_get(agent, "retiredTotal"));
    struct table paper;

    json_object_del(left, "connect-failed"); /* was never open */
    json_object_del(left, "connect-timeout");
    table_begin(&paper, columns, sizeof columns / sizeof columns[0]);
    add_counts(&paper, left, "");
    print_counts(&paper, colours);
}

/* What went otherwise than it should, though it may have cost nothing. */
static void print_http2(const json_t *agent, bool colours)
{
    static const struct table_column columns[] = {{"COUNT", false}, {"HTTP/2", true}};
    const json_t *resets = json_object_get(agent, "streamsReset");
    uint64_t repeated = counts_get(agent, "unprocessedTotal");
    struct table paper;

    table_begin(&paper, columns, sizeof columns / sizeof columns[0]);
    add_counts(&paper, json_deep_copy(json_object_get(agent, "goaways")), "GOAWAY from the origin: ");
    add_counts(&paper, json_deep_copy(json_object_get(resets, "origin")), "stream reset by the origin: ");
    add_counts(&paper, json_deep_copy(json_object_get(resets, "carpool")), "stream reset by Carpool: ");
    if (repeated > 0) {
        table_add_count(&paper, CELL_PLAIN, repeated);
        table_add(&paper, CELL_PLAIN, "requests repeated, since the origin had not processed them");
    }
    print_counts(&paper, colours);
}

static void print_one(struct pool_table *t, const struct ctl_options *o)
{
    const struct pool_print how = {false, true, o->wide, ctl_wants_colours()};
    const json_t *agents = json_object_get(t->json, "agents"), *agent = json_array_get(agents, 0);

    print_head(t, agent, how.colours);
    pool_table_sort(t);
    pool_table_print(t, stdout, &how);
    print_retired(agent, how.colours);
    print_http2(agent, how.colours);
    putchar('\n');
    errors_print(agents, false, stdout, how.colours);
}

int ctl_agents(const struct ctl_options *o, const char *name)
{
    return pool_table_show(o, name, !name, name ? print_one : print_all);
}
