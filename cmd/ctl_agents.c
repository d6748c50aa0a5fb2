/* carpoolctl agents [NAME]: a row an agent, or all about one. */

#include "cmd/ctl_command.h"
#include "cmd/ctl_errors.h"
#include "cmd/ctl_status.h"
#include "cmd/ctl_table.h"
#include "cmd/ctl_words.h"

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
    pool_table_print_sentences(t, stdout, colours);
    putchar('\n');
}

/* Why connections were closed, the most frequent reason first. */
static void print_retired(const json_t *agent, bool colours)
{
    static const struct table_column columns[] = {{"CLOSED", false}, {"REASON", true}};
    json_t *left = json_deep_copy(json_object_get(agent, "retiredTotal"));
    struct table paper;

    json_object_del(left, "connect-failed"); /* was never open */
    json_object_del(left, "connect-timeout");
    table_begin(&paper, columns, sizeof columns / sizeof columns[0]);
    while (json_object_size(left) > 0) {
        const char *reason, *most = NULL;
        json_t *count;

        json_object_foreach(left, reason, count)
        {
            if (!most || json_integer_value(count) > json_integer_value(json_object_get(left, most)))
                most = reason;
        }
        table_add(&paper, CELL_PLAIN, "%lld", (long long)json_integer_value(json_object_get(left, most)));
        table_add(&paper, CELL_PLAIN, "%s", most);
        json_object_del(left, most);
    }
    if (paper.cell_count > 0) {
        putchar('\n');
        table_print(&paper, stdout, colours);
    }
    table_free(&paper);
    json_decref(left);
}

static void print_one(struct pool_table *t, const struct ctl_options *o)
{
    const struct pool_print how = {false, true, o->wide, ctl_wants_colours()};
    const json_t *agents = json_object_get(t->json, "agents"), *agent = json_array_get(agents, 0);

    print_head(t, agent, how.colours);
    pool_table_sort(t);
    pool_table_print(t, stdout, &how);
    print_retired(agent, how.colours);
    putchar('\n');
    errors_print(agents, stdout, how.colours);
}

int ctl_agents(const struct ctl_options *o, const char *name)
{
    return pool_table_show(o, name, !name, name ? print_one : print_all);
}
