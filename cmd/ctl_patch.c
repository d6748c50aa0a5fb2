#include "cmd/ctl_patch.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_command.h"
#include "cmd/ctl_diff.h"

struct patch {
    const char *file;
    char *before, *text; /* as it was, and with what was set */
};

struct patch *patch_begin(const char *file)
{
    size_t n;
    char *text = ctl_read_file(file, &n);
    struct patch *p;

    if (!text)
        return NULL;
    p = ctl_need(calloc(1, sizeof *p));
    p->file = file;
    p->before = text;
    p->text = ctl_need(strdup(text));
    return p;
}

void patch_free(struct patch *p)
{
    if (!p)
        return;
    free(p->before);
    free(p->text);
    free(p);
}

bool patch_print(struct patch *p, FILE *out)
{
    return diff_print(p->file, p->before, p->text, out);
}

/* Values */

static bool is_plain(const char *s)
{
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

    return *s && *s != '-' && *s != '.' && strspn(s, letters) == strlen(s);
}

/* What is not plain is quoted as in JSON, which YAML reads alike. */
const char *patch_key(const char *name, char out[CTL_VALUE_SIZE])
{
    json_t *string = is_plain(name) ? NULL : json_string(name);
    char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

    snprintf(out, CTL_VALUE_SIZE, "%s", quoted ? quoted : name);
    free(quoted);
    json_decref(string);
    return out;
}

const char *patch_value(const json_t *value, char out[CTL_VALUE_SIZE])
{
    if (json_is_string(value))
        return patch_key(json_string_value(value), out);
    snprintf(out, CTL_VALUE_SIZE, "%lld", (long long)json_integer_value(value));
    return out;
}

/* Places */

/* Of a mark, which counts characters. */
static size_t offset_of(const char *text, yaml_mark_t mark)
{
    const char *p = text;

    for (size_t line = 0; line < mark.line && *p; p++)
        line += *p == '\n';
    for (size_t column = 0; column < mark.column && *p; column++)
        for (p++; (*p & 0xc0) == 0x80;)
            p++;
    return (size_t)(p - text);
}

static yaml_node_t *find_value(yaml_document_t *d, const yaml_node_t *map, const char *key, size_t length)
{
    if (map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top; pair++) {
        const yaml_node_t *k = yaml_document_get_node(d, pair->key);

        if (k->type == YAML_SCALAR_NODE && k->data.scalar.length == length &&
            memcmp(k->data.scalar.value, key, length) == 0)
            return yaml_document_get_node(d, pair->value);
    }
    return NULL;
}

static void replace(struct patch *p, size_t from, size_t to, const char *with)
{
    char *text = ctl_format("%.*s%s%s", (int)from, p->text, with, p->text + to);

    free(p->text);
    p->text = text;
}

/* "timeouts.free" with a value, as it stands in braces or in lines of its own. */
static char *written(const char *path, const char *value, bool in_braces, size_t indent)
{
    const char *dot = strchr(path, '.');

    if (!dot)
        return ctl_format(in_braces ? "%s: %s" : "%s: %s\n", path, value);
    if (in_braces)
        return ctl_format("%.*s: {%s: %s}", (int)(dot - path), path, dot + 1, value);
    return ctl_format("%.*s:\n%*s%s: %s\n", (int)(dot - path), path, (int)indent + 2, "", dot + 1, value);
}

static void insert_in_braces(struct patch *p, const yaml_node_t *map, const char *path, const char *value)
{
    bool empty = map->data.mapping.pairs.start == map->data.mapping.pairs.top;
    size_t at = offset_of(p->text, map->start_mark) + 1;
    char *pair = written(path, value, true, 0), *text = ctl_format("%s%s", pair, empty ? "" : ", ");

    replace(p, at, at, text);
    free(text);
    free(pair);
}

/* As the first line of the mapping, indented like what is there. */
static void insert_line(struct patch *p, yaml_document_t *d, const yaml_node_t *map, const char *path,
                        const char *value)
{
    const yaml_node_t *first = yaml_document_get_node(d, map->data.mapping.pairs.start->key);
    size_t indent = first->start_mark.column, at = offset_of(p->text, first->start_mark);
    char *line = written(path, value, false, indent), *text = ctl_format("%s%*s", line, (int)indent, "");

    replace(p, at, at, text);
    free(text);
    free(line);
}

/* What was nothing becomes a mapping. */
static void fill_in(struct patch *p, const yaml_node_t *nothing, const char *path, const char *value)
{
    char *pair = written(path, value, true, 0), *text = ctl_format(" {%s}", pair);

    replace(p, offset_of(p->text, nothing->start_mark), offset_of(p->text, nothing->end_mark), text);
    free(text);
    free(pair);
}

static void set_in(struct patch *p, yaml_document_t *d, const yaml_node_t *map, const char *path,
                   const char *value)
{
    const char *dot = strchr(path, '.');
    size_t n = dot ? (size_t)(dot - path) : strlen(path);
    const yaml_node_t *found = find_value(d, map, path, n);

    if (map->type != YAML_MAPPING_NODE)
        fill_in(p, map, path, value);
    else if (found && dot)
        set_in(p, d, found, dot + 1, value);
    else if (found)
        replace(p, offset_of(p->text, found->start_mark), offset_of(p->text, found->end_mark), value);
    else if (map->data.mapping.style == YAML_FLOW_MAPPING_STYLE)
        insert_in_braces(p, map, path, value);
    else
        insert_line(p, d, map, path, value);
}

/* At the end of a file that has none. */
static void append_defaults(struct patch *p, const char *path, const char *value)
{
    size_t n = strlen(p->text);
    char *lines = written(path, value, false, 2);
    char *text = ctl_format("%sdefaults:\n  %s", n > 0 && p->text[n - 1] != '\n' ? "\n" : "", lines);

    replace(p, n, n, text);
    free(text);
    free(lines);
}

static bool set_in_document(struct patch *p, yaml_document_t *d, const char *agent, const char *path,
                            const char *value)
{
    const yaml_node_t *root = yaml_document_get_root_node(d), *upstreams, *map;
    bool is_default = strcmp(agent, "default") == 0;

    if (root && root->type != YAML_MAPPING_NODE)
        root = NULL;
    upstreams = root ? find_value(d, root, "upstreams", strlen("upstreams")) : NULL;
    if (is_default)
        map = root ? find_value(d, root, "defaults", strlen("defaults")) : NULL;
    else
        map = upstreams ? find_value(d, upstreams, agent, strlen(agent)) : NULL;
    if (map)
        set_in(p, d, map, path, value);
    else if (is_default)
        append_defaults(p, path, value);
    else
        ctl_fail("%s has no upstream '%s': is it the file that carpoold reads?", p->file, agent);
    return map || is_default;
}

bool patch_set(struct patch *p, const char *agent, const char *option, const json_t *value)
{
    char text[CTL_VALUE_SIZE];
    yaml_document_t document;
    yaml_parser_t parser;
    bool good = false;

    if (!yaml_parser_initialize(&parser))
        ctl_need(NULL);
    yaml_parser_set_input_string(&parser, (const unsigned char *)p->text, strlen(p->text));
    if (yaml_parser_load(&parser, &document)) {
        good = set_in_document(p, &document, agent, option, patch_value(value, text));
        yaml_document_delete(&document);
    } else {
        ctl_fail("%s: line %zu: %s", p->file, parser.problem_mark.line + 1, parser.problem);
    }
    yaml_parser_delete(&parser);
    return good;
}
