/* carpoolctl advise: what the daemon advises, as YAML to paste or as a patch of a file. */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ctl_command.h"
#include "cmd/ctl_patch.h"
#include "cmd/ctl_words.h"

#define COLUMNS    80
#define AT_SERVICE "keepAlive at the service"

static const char *field(const json_t *advice, const char *key)
{
    const char *value = json_string_value(json_object_get(advice, key));

    return value ? value : "";
}

static bool is_at_service(const json_t *advice)
{
    return strcmp(field(advice, "option"), AT_SERVICE) == 0;
}

/* A comment of as many lines as it takes. */
static void print_comment(const char *words, size_t indent)
{
    char *text = ctl_need(strdup(words));
    const char *rest = text;

    ctl_disarm(text);
    do {
        const char *line = rest;
        size_t n = ctl_take_line(&rest, COLUMNS - indent - strlen("# "));

        printf("%*s# %.*s\n", (int)indent, "", (int)n, line);
    } while (*rest);
    free(text);
}

/* Of the origin, for a reader of the file. */
static void print_why(const json_t *advice, size_t indent)
{
    const char *origin = field(advice, "origin");
    bool whole = strcmp(origin, "*") == 0;
    size_t size = strlen(origin) + strlen(field(advice, "why")) + 3;
    char *words = ctl_need(malloc(size));

    snprintf(words, size, "%s%s%s", whole ? "" : origin, whole ? "" : ": ", field(advice, "why"));
    print_comment(words, indent);
    free(words);
}

/* Of several origins' values for one option: the largest, since the option is all of theirs. */
static bool goes_before(const json_t *a, const json_t *b)
{
    return json_is_integer(a) && json_is_integer(b) && json_integer_value(a) > json_integer_value(b);
}

static bool is_for(const json_t *advice, const char *agent, const char *option)
{
    return strcmp(field(advice, "agent"), agent) == 0 && strcmp(field(advice, "option"), option) == 0;
}

static const json_t *chosen(const json_t *all, const char *agent, const char *option)
{
    const json_t *best = NULL, *advice;
    size_t i;

    json_array_foreach (all, i, advice) {
        if (is_for(advice, agent, option) &&
            (!best || goes_before(json_object_get(advice, "suggested"), json_object_get(best, "suggested"))))
            best = advice;
    }
    return best;
}

/* Whether none before it is for the same option, or (option false) for the same agent. */
static bool is_first(const json_t *all, size_t index, bool option)
{
    const json_t *this = json_array_get(all, index);

    for (size_t i = 0; i < index; i++) {
        const json_t *other = json_array_get(all, i);

        if (!is_at_service(other) && strcmp(field(other, "agent"), field(this, "agent")) == 0 &&
            (!option || strcmp(field(other, "option"), field(this, "option")) == 0))
            return false;
    }
    return !is_at_service(this);
}

/* YAML */

static void print_option(const json_t *all, const char *agent, const char *option, size_t indent)
{
    const json_t *best = chosen(all, agent, option), *advice;
    const char *dot = strchr(option, '.'), *leaf = dot ? dot + 1 : option;
    char value[CTL_VALUE_SIZE], now[CTL_VALUE_SIZE];
    size_t i;

    if (dot) {
        printf("%*s%.*s:\n", (int)indent, "", (int)(dot - option), option);
        indent += 2;
    }
    json_array_foreach (all, i, advice) {
        if (is_for(advice, agent, option))
            print_why(advice, indent);
    }
    printf("%*s%s: %s # now %s\n", (int)indent, "", leaf,
           patch_value(json_object_get(best, "suggested"), value),
           patch_value(json_object_get(best, "now"), now));
}

static void print_agent(const json_t *all, const char *agent, size_t indent)
{
    const json_t *advice;
    size_t i;

    json_array_foreach (all, i, advice) {
        if (strcmp(field(advice, "agent"), agent) == 0 && is_first(all, i, true))
            print_option(all, agent, field(advice, "option"), indent);
    }
}

/* `defaults` is that of the agent "default", which no upstream may be called. */
static void print_agents(const json_t *all)
{
    const json_t *advice;
    bool named = false;
    size_t i;

    json_array_foreach (all, i, advice) {
        const char *agent = field(advice, "agent");
        char key[CTL_VALUE_SIZE];

        if (!is_first(all, i, false))
            continue;
        if (strcmp(agent, "default") == 0) {
            puts("defaults:");
            print_agent(all, agent, 2);
            continue;
        }
        if (!named)
            puts("upstreams:");
        named = true;
        printf("  %s:\n", patch_key(agent, key));
        print_agent(all, agent, 4);
    }
}

static void print_services(const json_t *all)
{
    const json_t *advice;
    bool first = true;
    size_t i;

    json_array_foreach (all, i, advice) {
        if (!is_at_service(advice))
            continue;
        if (first)
            puts("# At the service, keep-alive instead of close:");
        first = false;
        print_why(advice, 0);
    }
}

static void print_yaml(const json_t *all)
{
    if (json_array_size(all) == 0) {
        puts("nothing to change");
        return;
    }
    puts("# From the last hour. Paste what you want to change, then run: carpoolctl reload");
    print_agents(all);
    print_services(all);
}

/* A patch */

static int print_patch(const json_t *all, const char *file)
{
    struct patch *p = patch_begin(file);
    bool any = false, good = p != NULL;
    const json_t *advice;
    size_t i;

    json_array_foreach (all, i, advice) {
        const char *agent = field(advice, "agent"), *option = field(advice, "option");

        if (!good || !is_first(all, i, true))
            continue;
        any = true;
        good = patch_set(p, agent, option, json_object_get(chosen(all, agent, option), "suggested"));
    }
    if (good && any)
        good = patch_print(p, stdout);
    else if (good)
        fprintf(stderr, "carpoolctl: nothing to change in %s\n", file);
    patch_free(p);
    return good ? CTL_FINE : CTL_FAILED;
}

static int print_advice(const struct ctl_options *o, json_t *answer)
{
    if (!json_is_array(answer))
        return CTL_STRANGE;
    if (o->patch)
        return print_patch(answer, o->patch);
    print_yaml(answer);
    return CTL_FINE;
}

int ctl_advise(const struct ctl_options *o, const char *name)
{
    (void)name;
    return ctl_get(o, "/advice", print_advice);
}
