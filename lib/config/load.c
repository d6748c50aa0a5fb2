/* Walks the document by the option table: the table decides how deep, so that neither nesting nor aliases can
 * lead astray. */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "config/env.h"
#include "config/loader.h"
#include "config/yaml.h"

#define ALIASED_MAX  100000 /* visits beyond one a node */
#define EXPANDED_MAX (16u * 1024 * 1024)
#define INITIAL_MAX  16 /* elements of a default list */

struct mark scope_mark(const struct scope *s, const char *path)
{
    const struct option *o = option_find(s->which, path);
    struct mark m = o ? s->marks[option_index(o)] : (struct mark){0};
    return m.line ? m : s->at;
}

static void give_up(struct loader *l, const yaml_node_t *n, const char *why)
{
    l->gave_up = true;
    problem_error(&l->problems, yaml_mark(n), "too much to read: %s", why);
}

/* False when aliases multiplied the file beyond measure. */
static bool may_visit(struct loader *l, const yaml_node_t *n)
{
    const yaml_document_t *d = &l->yaml->document;
    if (!l->gave_up && ++l->visits > (size_t)(d->nodes.top - d->nodes.start) + ALIASED_MAX)
        give_up(l, n, "aliases expand this file by more than a hundred thousand entries");
    return !l->gave_up;
}

static bool has_nul(const yaml_node_t *n)
{
    return memchr(n->data.scalar.value, 0, n->data.scalar.length) != NULL;
}

static const char *node_text(const yaml_node_t *n)
{
    return (const char *)n->data.scalar.value;
}

static yaml_node_t *node_at(const struct loader *l, int index)
{
    return yaml_document_get_node(&l->yaml->document, index);
}

const char *scope_section(struct loader *l, const struct scope *s, const char *prefix)
{
    if (!*prefix)
        return *s->path ? arena_format(l->arena, " in %s", s->path) : "";
    const char *section = arena_text(l->arena, prefix, strlen(prefix) - 1);
    return arena_format(l->arena, " in %s", scope_option_path(l->arena, s, section));
}

/* ---- maps */

struct key_place {
    const char *text;
    int pair;
};

static int by_text(const void *left, const void *right)
{
    const struct key_place *a = left, *b = right;
    int order = strcmp(a->text, b->text);
    return order ? order : a->pair - b->pair;
}

/* Reported: keys that are no text, merge keys, doubles. Returns a flag a pair that may be read. */
static bool *check_keys(struct loader *l, const struct scope *s, const char *prefix, const yaml_node_t *map)
{
    int count = (int)(map->data.mapping.pairs.top - map->data.mapping.pairs.start), n = 0;
    struct key_place *places = arena_array(l->arena, (size_t)count, sizeof *places);
    bool *good = arena_array(l->arena, (size_t)count, sizeof *good);
    for (int i = 0; i < count; i++) {
        const yaml_node_t *key = node_at(l, map->data.mapping.pairs.start[i].key);
        if (!may_visit(l, key))
            break;
        if (key->type != YAML_SCALAR_NODE || has_nul(key)) {
            problem_error(&l->problems, yaml_mark(key), "a key%s must be a name",
                          scope_section(l, s, prefix));
        } else if (strcmp(node_text(key), "<<") == 0) {
            problem_error(&l->problems, yaml_mark(key),
                          "merge keys ('<<') are not supported; every upstream inherits from 'defaults'");
        } else {
            places[n++] = (struct key_place){node_text(key), i};
            good[i] = true;
        }
    }
    if (n)
        qsort(places, (size_t)n, sizeof *places, by_text);
    for (int i = 1, first = 0; i < n; i++) {
        if (strcmp(places[i].text, places[first].text) != 0) {
            first = i;
            continue;
        }
        const yaml_node_t *key = node_at(l, map->data.mapping.pairs.start[places[i].pair].key);
        const yaml_node_t *before = node_at(l, map->data.mapping.pairs.start[places[first].pair].key);
        problem_error(&l->problems, yaml_mark(key), "duplicate key '%.*s'%s (first on line %u)", QUOTED_MAX,
                      places[i].text, scope_section(l, s, prefix), yaml_mark(before).line);
        good[places[i].pair] = false;
    }
    return good;
}

/* What may stand in a section, by the last part of its path; NULL: no example helps. */
static const char *example_of(const char *what)
{
    static const struct {
        const char *section, *example;
    } examples[] = {
        {"admin", "{listen: 127.0.0.1:3129}"},
        {"log", "{level: info}"},
        {"accessLog", "{path: access.log}"},
        {"server", "{maxConnections: 10000}"},
        {"access", "{unmatched: deny}"},
        {"dns", "{staleIfError: 1h}"},
        {"timeouts", "{request: 30s}"},
        {"defaults", "{maxSockets: 50}"},
        {"upstreams", "{NAME: {match: example.com}}"},
        {"connectTls", "{cert: ca.pem, key: ca-key.pem}"},
        {"h2Options", "{useH2c: true}"},
    };
    const char *dot = strrchr(what, '.'), *last = dot ? dot + 1 : what;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++)
        if (strcmp(examples[i].section, last) == 0)
            return examples[i].example;
    return NULL;
}

/* Whether the value is a map; nothing is an empty one. */
static bool is_map(struct loader *l, const char *what, const yaml_node_t *n)
{
    const char *example = example_of(what);
    if (n->type == YAML_MAPPING_NODE)
        return true;
    if (!yaml_is_null(n))
        problem_error(&l->problems, yaml_mark(n), "bad value for %s: must be a map, not %s%s%s", what,
                      yaml_kind(n), example ? "; for example " : "", example ? example : "");
    return false;
}

/* ---- values */

static bool to_item(struct loader *l, const struct scope *s, const struct option *o, const yaml_node_t *n,
                    struct item *item)
{
    const char *complaint = NULL, *path = scope_option_path(l->arena, s, o->path);
    char wants[OPTION_WANTS_SIZE];
    *item = (struct item){.at = yaml_mark(n)};
    if (!may_visit(l, n))
        return false;
    if (n->type != YAML_SCALAR_NODE || yaml_is_null(n)) {
        problem_error(&l->problems, item->at, "bad value for %s: must be %s, not %s", path,
                      option_wants(o, wants), yaml_kind(n));
        return false;
    }
    item->raw = node_text(n);
    item->text = has_nul(n) ? NULL
                            : env_expand(l->arena, arena_text(l->arena, node_text(n), n->data.scalar.length),
                                         &item->from_env, &complaint);
    if (!item->text) {
        problem_error(&l->problems, item->at, "bad value '%.*s' for %s: %s", QUOTED_MAX, item->raw, path,
                      complaint ? complaint : "it holds a NUL");
        return false;
    }
    if (item->from_env)
        l->expanded += strlen(item->text);
    if (l->expanded > EXPANDED_MAX)
        give_up(l, n, "its variables hold more than 16 MiB together");
    return !l->gave_up;
}

static void load_list(struct loader *l, struct scope *s, const struct option *o, const yaml_node_t *value)
{
    size_t count = (size_t)(value->data.sequence.items.top - value->data.sequence.items.start);
    struct item *items = arena_array(l->arena, count, sizeof *items);
    uint32_t n = 0;
    for (size_t i = 0; i < count && !l->gave_up; i++) {
        if (!to_item(l, s, o, node_at(l, value->data.sequence.items.start[i]), &items[n]))
            continue;
        s->from_env[option_index(o)] |= items[n].from_env;
        n++;
    }
    value_set(l, s, o, items, n);
}

static void load_map(struct loader *l, struct scope *s, const char *prefix, const yaml_node_t *map);

static void load_value(struct loader *l, struct scope *s, const struct option *o, const yaml_node_t *value)
{
    struct item item;
    uint32_t errors = l->problems.errors;
    s->from_env[option_index(o)] = false;
    if (o->type == OPTION_TLS && value->type == YAML_MAPPING_NODE) {
        *(bool *)option_field(s, o) = true;
        load_map(l, s, arena_format(l->arena, "%s.", o->path), value);
    } else if (option_is_list(o) && value->type == YAML_SEQUENCE_NODE) {
        load_list(l, s, o, value);
    } else if (to_item(l, s, o, value, &item)) {
        s->from_env[option_index(o)] = item.from_env;
        value_set(l, s, o, &item, 1);
    }
    s->failed[option_index(o)] = l->problems.errors > errors;
}

static void load_key(struct loader *l, struct scope *s, const char *prefix, const yaml_node_t *key,
                     const yaml_node_t *value)
{
    const char *path = arena_format(l->arena, "%s%s", prefix, node_text(key));
    const struct option *o = option_find(s->which, path);
    if (o) {
        s->marks[option_index(o)] = yaml_mark(key);
        load_value(l, s, o, value);
    } else if (option_is_section(s->which, path)) {
        if (is_map(l, scope_option_path(l->arena, s, path), value))
            load_map(l, s, arena_format(l->arena, "%s.", path), value);
    } else {
        tell_unknown_key(l, s, prefix, node_text(key), yaml_mark(key), value->type == YAML_SCALAR_NODE);
    }
}

static bool holds_scope(const struct scope *s, const char *prefix, const char *key)
{
    return (s->which & SCOPE_TOP) && !*prefix &&
           (strcmp(key, OPTION_DEFAULTS) == 0 || strcmp(key, OPTION_UPSTREAMS) == 0);
}

static void load_map(struct loader *l, struct scope *s, const char *prefix, const yaml_node_t *map)
{
    bool *good = check_keys(l, s, prefix, map);
    const yaml_node_pair_t *pairs = map->data.mapping.pairs.start;
    for (int i = 0; i < map->data.mapping.pairs.top - pairs; i++) {
        const yaml_node_t *key = node_at(l, pairs[i].key);
        if (good[i] && !l->gave_up && !holds_scope(s, prefix, node_text(key)))
            load_key(l, s, prefix, key, node_at(l, pairs[i].value));
    }
}

/* ---- upstreams */

/* It is a label of metrics, a word in logs and a segment of the admin API's paths. */
static void check_upstream_name(struct loader *l, const char *name, struct mark at)
{
    const char *why = NULL;
    size_t n = strlen(name);
    if (strcmp(name, "default") == 0 || strcmp(name, "*") == 0)
        why = "this name is reserved for what no upstream matches; choose another";
    else if (n == 0 || n > CONFIG_NAME_MAX)
        why = "a name has 1 to 64 bytes";
    else if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        why = "it cannot be used in a URL of the admin API; use letters, digits, '-', '_' and '.'";
    else if (isspace((unsigned char)name[0]) || isspace((unsigned char)name[n - 1]))
        why = "it ends with white space";
    else if (!utf8_is_text(name))
        why = "it contains a control character";
    if (why)
        problem_error(&l->problems, at, "bad upstream name '%.*s': %s", QUOTED_MAX, name, why);
}

/* A default as items: the list's elements, or the one text. */
static uint32_t initial_items(struct loader *l, const struct option *o, struct item items[INITIAL_MAX])
{
    uint32_t n = 0;
    const char *p = o->initial;
    size_t length = option_is_list(o) ? strcspn(p, ",") : strlen(p);
    while (length || !option_is_list(o)) {
        char *text = arena_text(l->arena, p, length);
        items[n++] = (struct item){.text = text, .raw = text};
        p += length;
        if (!*p)
            break;
        p += 2; /* ", " */
        length = strcspn(p, ",");
    }
    return n;
}

static void set_initial(struct loader *l, struct scope *s, unsigned which)
{
    struct item items[INITIAL_MAX];
    for (size_t i = 0; i < option_count; i++) {
        if (options[i].scope & which)
            value_set(l, s, &options[i], items, initial_items(l, &options[i], items));
    }
}

static void start_upstream(struct loader *l, struct scope *s, struct upstream *u, const char *name)
{
    u->name = arena_text(l->arena, name, strlen(name));
    u->policy = l->config->defaults;
    u->host = arena_text(l->arena, "", 0);
    u->from_env = arena_array(l->arena, option_count, sizeof(bool));
    memcpy(u->from_env, l->config->from_env, option_count * sizeof(bool));
    *s = (struct scope){
        .path = arena_format(l->arena, OPTION_UPSTREAMS ".%s", name),
        .which = SCOPE_POLICY | SCOPE_UPSTREAM,
        .config = l->config,
        .policy = &u->policy,
        .upstream = u,
        .marks = arena_array(l->arena, option_count, sizeof(struct mark)),
        .from_env = u->from_env,
        .failed = arena_array(l->arena, option_count, sizeof(bool)),
    };
    set_initial(l, s, SCOPE_UPSTREAM);
}

/* Of an upstream that is no map, most often an option that is not indented. */
static void tell_outside(struct loader *l, struct scope *s, const char *key)
{
    s->failed[option_index(option_find(SCOPE_UPSTREAM, "match"))] = true;
    problem_error(&l->problems, s->at, "bad value for %s: must be a map, not a value%s", s->path,
                  option_find(SCOPE_UPSTREAM | SCOPE_POLICY, key)
                      ? "; it is an option of an upstream: indent it below the upstream's name"
                      : "; for example {match: example.com}");
}

static void load_upstreams(struct loader *l, const yaml_node_t *map)
{
    struct scope names = {.path = OPTION_UPSTREAMS};
    const yaml_node_pair_t *pairs = map->data.mapping.pairs.start;
    size_t count = (size_t)(map->data.mapping.pairs.top - pairs);
    bool *good = check_keys(l, &names, "", map);
    l->config->upstreams = arena_array(l->arena, count, sizeof(struct upstream));
    l->upstreams = arena_array(l->arena, count, sizeof(struct scope));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *key = node_at(l, pairs[i].key), *value = node_at(l, pairs[i].value);
        if (!good[i] || l->gave_up)
            continue;
        struct scope *s = &l->upstreams[l->config->upstream_count];
        start_upstream(l, s, &l->config->upstreams[l->config->upstream_count++], node_text(key));
        s->at = yaml_mark(key);
        check_upstream_name(l, node_text(key), s->at);
        if (value->type == YAML_SCALAR_NODE && !yaml_is_null(value))
            tell_outside(l, s, node_text(key));
        else if (is_map(l, s->path, value))
            load_map(l, s, "", value);
    }
}

/* ---- the whole */

void load_defaults(struct loader *l)
{
    struct config *c = l->config;
    struct upstream *defaults_only = arena_alloc(l->arena, sizeof *defaults_only);
    struct scope s;
    c->from_env = arena_array(l->arena, option_count, sizeof(bool));
    l->top = (struct scope){.path = "", .which = SCOPE_TOP, .config = c, .from_env = c->from_env};
    l->top.marks = arena_array(l->arena, option_count, sizeof(struct mark));
    l->top.failed = arena_array(l->arena, option_count, sizeof(bool));
    l->defaults = l->top;
    l->defaults.path = OPTION_DEFAULTS;
    l->defaults.which = SCOPE_POLICY;
    l->defaults.policy = &c->defaults;
    set_initial(l, &l->top, SCOPE_TOP);
    set_initial(l, &l->defaults, SCOPE_POLICY);
    start_upstream(l, &s, defaults_only, "");
    c->default_tls = defaults_only->tls;
}

static const yaml_node_t *find_key(const struct loader *l, const yaml_node_t *map, const char *name,
                                   struct mark *at)
{
    for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *key = node_at(l, pair->key);
        if (key->type == YAML_SCALAR_NODE && strcmp(node_text(key), name) == 0) {
            *at = yaml_mark(key);
            return node_at(l, pair->value);
        }
    }
    return NULL;
}

bool load_text(struct loader *l, struct slice text)
{
    if (!yaml_text_read(l->yaml, text, &l->problems))
        return false;
    const yaml_node_t *root = yaml_document_get_root_node(&l->yaml->document), *section;
    struct mark at;
    if (!root || !is_map(l, "the file", root))
        return true;
    l->config->has_keys = root->data.mapping.pairs.top > root->data.mapping.pairs.start;
    load_map(l, &l->top, "", root);
    /* `defaults` first, wherever it stands: upstreams inherit from it. */
    section = find_key(l, root, OPTION_DEFAULTS, &l->defaults.at);
    if (section && is_map(l, OPTION_DEFAULTS, section))
        load_map(l, &l->defaults, "", section);
    section = find_key(l, root, OPTION_UPSTREAMS, &at);
    if (section && is_map(l, OPTION_UPSTREAMS, section))
        load_upstreams(l, section);
    return !l->gave_up;
}
