/* carpoolctl explain [NAME]: what the daemon says of its pools, in lines of 80 columns. */

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cmd/ctl_command.h"
#include "cmd/ctl_table.h"
#include "cmd/ctl_words.h"

#define COLUMNS 80
#define INDENT  2

static void print_words(const char *words, size_t indent, size_t hanging)
{
    const struct wrapping w = {
        .columns = COLUMNS, .first = indent, .others = indent + hanging, .colours = ctl_wants_colours()};

    table_print_wrapped(stdout, words, &w);
}

static bool is_item(const char *line)
{
    return strncmp(line, "- ", 2) == 0;
}

static void print_paragraphs(const json_t *paragraphs)
{
    const json_t *line;
    size_t i;

    json_array_foreach (paragraphs, i, line) {
        const char *words = json_string_value(line);

        if (words)
            print_words(words, INDENT, is_item(words) ? 2 : 0);
    }
}

static void print_title(const char *agent, const char *origin, bool *first)
{
    char title[512];

    if (!*first)
        putchar('\n');
    *first = false;
    snprintf(title, sizeof title, "%s%s%s", agent ? agent : "?", origin ? " " : "", origin ? origin : "");
    ctl_disarm(title);
    table_print_styled(stdout, title, CELL_HEAD, ctl_wants_colours());
    putchar('\n');
}

static void print_agent(const json_t *agent, bool *first)
{
    const char *name = json_string_value(json_object_get(agent, "name"));
    const json_t *own = json_object_get(agent, "paragraphs"), *origin;
    json_int_t more = json_integer_value(json_object_get(agent, "more"));
    char line[128];
    size_t i;

    if (json_array_size(own) > 0) {
        print_title(name, NULL, first);
        print_paragraphs(own);
    }
    json_array_foreach (json_object_get(agent, "origins"), i, origin) {
        print_title(name, json_string_value(json_object_get(origin, "origin")), first);
        print_paragraphs(json_object_get(origin, "paragraphs"));
    }
    if (more > 0) {
        snprintf(line, sizeof line, "... and %lld more origin%s: carpoolctl status lists all.",
                 (long long)more, more == 1 ? "" : "s");
        putchar('\n');
        print_words(line, 0, 0);
    }
}

static int print_explanation(const struct ctl_options *o, json_t *answer)
{
    const json_t *agents = json_object_get(answer, "agents"), *agent;
    bool first = true;
    size_t i;

    (void)o;
    if (!json_is_array(agents))
        return CTL_STRANGE;
    json_array_foreach (agents, i, agent) {
        print_agent(agent, &first);
    }
    return CTL_FINE;
}

int ctl_explain(const struct ctl_options *o, const char *name)
{
    return name ? ctl_ask_agent(o, "GET", name, "explain", print_explanation)
                : ctl_get(o, "/explain", print_explanation);
}
