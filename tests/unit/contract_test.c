/* Compares doc/contract.md with the tables of the code: options and their defaults, retirement reasons, and
 * the statuses and errors of Carpool's own answers. */

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "config/options.h"
#include "proxy/reply.h"
#include "source.h"
#include "wire/retire.h"

#define MAX_ROWS 256

/* A line of a table, or an option: what it is called, and what stands beside it. */
struct row {
    char name[160], value[256];
};

struct rows {
    struct row items[MAX_ROWS];
    int count;
};

/* The contract has these, and the code has them not yet: whoever builds one takes it out of here. */
static const char *const being_built[] = {
    "", /* nothing now */
};

static int complaints;

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("doc/contract.md: ", stderr);
    vfprintf(stderr, format, args);
    putc('\n', stderr);
    va_end(args);
    complaints++;
}

static bool is_being_built(const char *name)
{
    for (size_t i = 0; i < sizeof being_built / sizeof being_built[0]; i++)
        if (strcmp(being_built[i], name) == 0)
            return true;
    return false;
}

static const struct row *find(const struct rows *rows, const char *name)
{
    for (int i = 0; i < rows->count; i++)
        if (strcmp(rows->items[i].name, name) == 0)
            return &rows->items[i];
    return NULL;
}

static struct row *add(struct rows *rows, const char *name)
{
    if (rows->count == MAX_ROWS) {
        complain("more than %d rows: raise MAX_ROWS", MAX_ROWS);
        exit(EXIT_FAILURE);
    }
    struct row *row = &rows->items[rows->count++];
    snprintf(row->name, sizeof row->name, "%s", name);
    row->value[0] = '\0';
    return row;
}

/* Between two words that stand in the text one after the other; ends there. */
static char *part(const char *text, const char *from, const char *to)
{
    const char *begin = strstr(text, from), *end = begin ? strstr(begin + strlen(from), to) : NULL;
    if (!end) {
        complain("no '%s' with '%s' behind it", from, to);
        exit(EXIT_FAILURE);
    }
    return strndup(begin + strlen(from), (size_t)(end - begin) - strlen(from));
}

/* ---- options */

static const char *scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

/* "a, b", as the option table writes a list. */
static void put_list(yaml_document_t *document, const yaml_node_t *node, char *out, size_t size)
{
    size_t n = 0;
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "",
                              scalar(yaml_document_get_node(document, *i)));
}

static void flatten(yaml_document_t *document, const yaml_node_t *node, const char *path, struct rows *rows)
{
    if (node->type == YAML_MAPPING_NODE) {
        for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
            char inner[128];
            snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "",
                     scalar(yaml_document_get_node(document, p->key)));
            flatten(document, yaml_document_get_node(document, p->value), inner, rows);
        }
        return;
    }
    struct row *row = add(rows, path);
    if (node->type == YAML_SEQUENCE_NODE)
        put_list(document, node, row->value, sizeof row->value);
    else
        snprintf(row->value, sizeof row->value, "%s", scalar(node));
}

static void read_yaml(const char *text, struct rows *rows)
{
    yaml_parser_t parser;
    yaml_document_t document;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    if (yaml_parser_load(&parser, &document) && yaml_document_get_root_node(&document)) {
        flatten(&document, yaml_document_get_root_node(&document), "", rows);
        yaml_document_delete(&document);
    } else {
        complain("the YAML of section 3: %s", parser.problem ? parser.problem : "there is none");
    }
    yaml_parser_delete(&parser);
}

static const char *scope_prefix(const struct option *o)
{
    return o->scope == SCOPE_TOP ? "" : o->scope == SCOPE_POLICY ? "defaults." : "upstreams.NAME.";
}

static void check_options(const char *contract)
{
    char *section = part(contract, "\n## 3. ", "\n## 4. "), name[160];
    char *process = part(section, "```yaml\n", "```\n");
    char *upstream = part(section, "```yaml\nupstreams:", "```\n"), *whole = NULL;
    struct rows rows = {.count = 0}, known = {.count = 0};
    read_yaml(process, &rows);
    if (asprintf(&whole, "upstreams:%s", upstream) > 0)
        read_yaml(whole, &rows);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        snprintf(name, sizeof name, "%s%s", scope_prefix(o), o->path);
        add(&known, name);
        const struct row *row = find(&rows, name);
        if (!row && o->type != OPTION_TLS)
            complain("section 3 lacks the option %s: %s", name, o->initial);
        else if (row && strcmp(row->value, o->initial) != 0)
            complain("section 3 says %s: %s, its default is %s", name, row->value, o->initial);
    }
    for (int i = 0; i < rows.count; i++)
        if (!find(&known, rows.items[i].name) && !is_being_built(rows.items[i].name))
            complain("section 3 has %s, which is no option", rows.items[i].name);
    free(section);
    free(process);
    free(upstream);
    free(whole);
}

/* ---- tables */

/* The first text in backquotes of a line of a table. */
static bool quoted(const char *line, char *out, size_t size)
{
    const char *begin = strchr(line, '`'), *end = begin ? strchr(begin + 1, '`') : NULL;
    if (!end)
        return false;
    snprintf(out, size, "%.*s", (int)(end - begin - 1), begin + 1);
    return true;
}

static void compare(const struct rows *written, const struct rows *built, const char *where)
{
    for (int i = 0; i < built->count; i++)
        if (!find(written, built->items[i].name))
            complain("%s lacks %s", where, built->items[i].name);
    for (int i = 0; i < written->count; i++)
        if (!find(built, written->items[i].name) && !is_being_built(written->items[i].name))
            complain("%s has %s, which the code has not", where, written->items[i].name);
}

static void check_reasons(const char *contract)
{
    char *section = part(contract, "\n### 5.4 ", "\n### 5.5 "), *save = NULL, word[64];
    struct rows written = {.count = 0}, built = {.count = 0};
    for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (strncmp(line, "| `", 3) == 0 && quoted(line, word, sizeof word))
            add(&written, word);
    for (int r = RETIRE_NONE + 1; r < RETIRE_COUNT; r++)
        add(&built, retire_word((enum retire_reason)r));
    compare(&written, &built, "5.4");
    free(section);
}

/* "connection_refused 502" of each row "| case | 502 | `connection_refused` |" */
static void check_answers(const char *contract)
{
    char *section = part(contract, "\n## 6. ", "\n## 7. "), *save = NULL, word[64], name[80];
    struct rows written = {.count = 0}, built = {.count = 0};
    for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *status = *line == '|' ? strchr(line + 1, '|') : NULL,
             *error = status ? strchr(status + 1, '|') : NULL;
        if (!error || !quoted(error, word, sizeof word))
            continue;
        snprintf(name, sizeof name, "%s %ld", word, strtol(status + 1, NULL, 10));
        add(&written, name);
    }
    for (int f = FAULT_NONE + 1; f < FAULT_COUNT; f++) {
        snprintf(name, sizeof name, "%s %u", fault_error((enum fault)f), fault_status((enum fault)f));
        if (!find(&built, name))
            add(&built, name);
    }
    compare(&written, &built, "6");
    free(section);
}

int main(void)
{
    char *contract = read_source("doc/contract.md");
    check_options(contract);
    check_reasons(contract);
    check_answers(contract);
    free(contract);
    return complaints > 0;
}
