/* The effective configuration as a tree of jansson's, printed as JSON or YAML. */

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "config/loader.h"
#include "config/yaml_print.h"

static json_t *text(const char *value)
{
    json_t *j = json_string(value);
    /* The name of a folder in a path may be any bytes. */
    return j ? j : json_string("(not UTF-8)");
}

static json_t *count(uint32_t value)
{
    return value == COUNT_INFINITE ? text("Infinity") : json_integer(value);
}

/* Where the default is none, as the manual has it. */
static json_t *limit(const struct option *o, uint32_t value)
{
    return value == COUNT_INFINITE && strcmp(o->initial, "0") == 0 ? json_integer(0) : count(value);
}

static json_t *listen_text(const struct listen_address *l)
{
    char address[ADDRESS_TEXT_SIZE], whole[ADDRESS_TEXT_SIZE + 32];
    address_format(&l->address, address);
    if (l->address.sa.any.sa_family == AF_UNIX)
        snprintf(whole, sizeof whole, "%s?mode=%04o%s", address, l->mode, l->by_host ? "&form=host" : "");
    else
        snprintf(whole, sizeof whole, "%s", address);
    return text(whole);
}

static json_t *listens(const struct listen_list *list)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < list->count; i++)
        json_array_append_new(array, listen_text(&list->items[i]));
    return array;
}

/* As it stands in the default, where it does: "::1" and not "::1/128". */
static json_t *network(const struct option *o, const struct cidr *c)
{
    char one[ADDRESS_TEXT_SIZE];
    struct slice rest = slice_of(o->initial), element;
    struct cidr in_default;
    while (slice_next_element(&rest, &element)) {
        if (cidr_parse(&in_default, element) && cidr_equal(&in_default, c))
            return json_stringn(element.p, element.n);
    }
    return text(cidr_format(c, one));
}

static json_t *networks(const struct option *o, const struct cidr_list *list)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < list->count; i++)
        json_array_append_new(array, network(o, &list->items[i]));
    return array;
}

static json_t *hosts(const struct text_list *list)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < list->count; i++)
        json_array_append_new(array, text(list->items[i]));
    return array;
}

static json_t *ports(const struct port_list *list)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_integer(list->items[i]));
    return array;
}

static json_t *allowed(const struct allow_list *list)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < list->count; i++)
        json_array_append_new(array, text(list->items[i].name));
    return array;
}

static json_t *patterns(const struct upstream *u)
{
    assert(u);
    json_t *array = json_array();
    for (uint32_t i = 0; i < u->match_count; i++)
        json_array_append_new(array, text(u->match[i].text));
    return array;
}

static json_t *addresses(const struct address_list *list)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < list->count; i++)
        json_array_append_new(array, text(list->items[i].text));
    return array;
}

static json_t *word(const struct option *o, const void *field)
{
    int place;
    memcpy(&place, field, sizeof place);
    const char *name = o->words[place];
    /* `family` has numbers among its words. */
    return *name >= '0' && *name <= '9' ? json_integer(*name - '0') : text(name);
}

/* A default is printed as the manual has it: "60s" and not "1m". */
static json_t *time_or_size(const struct option *o, uint64_t value)
{
    char out[UNITS_TEXT_SIZE];
    uint64_t initial;
    if (o->type == OPTION_TIME && units_parse_time(slice_of(o->initial), &initial) && initial == value)
        return text(o->initial);
    if (o->type == OPTION_TIME)
        return text(units_format_time(value, out));
    return value % 1024 ? json_integer((json_int_t)value)
           : value      ? text(units_format_size(value, out))
                        : json_integer(0);
}

static json_t *value_of(const struct scope *s, const struct option *o)
{
    const void *field = option_field(s, o);
    switch (o->type) {
    case OPTION_BOOL: return json_boolean(*(const bool *)field);
    case OPTION_TIME:
    case OPTION_SIZE: return time_or_size(o, *(const uint64_t *)field);
    case OPTION_LIMIT: return limit(o, *(const uint32_t *)field);
    case OPTION_COUNT: return count(*(const uint32_t *)field);
    case OPTION_WORKERS: return *(const uint32_t *)field ? count(*(const uint32_t *)field) : text("auto");
    case OPTION_WORD: return word(o, field);
    case OPTION_NAME:
    case OPTION_FILE:
    case OPTION_LOG_FILE:
    case OPTION_HOST:
    case OPTION_LOCAL_ADDRESS:
    case OPTION_PROXY:
    case OPTION_SERVERNAME:
    case OPTION_CIPHERS:
    case OPTION_SECRET: return text(*(char *const *)field);
    case OPTION_LISTEN_LIST: return listens(field);
    case OPTION_LISTEN_ADMIN: {
        const struct listen_list *list = field;
        return list->count ? listen_text(&list->items[0]) : text("off");
    }
    case OPTION_NETWORK_LIST: return networks(o, field);
    case OPTION_HOST_LIST: return hosts(field);
    case OPTION_PORT_LIST: return ports(field);
    case OPTION_CALLER_LIST: return allowed(field);
    case OPTION_MATCH_LIST: return patterns(s->upstream);
    case OPTION_ADDRESS_LIST: return addresses(field);
    case OPTION_TLS: return *(const bool *)field ? json_object() : json_false();
    }
    assert(!"an option of no type");
    return NULL;
}

/* Puts `value` at "section.key", making the section if need be. Takes the value over. */
static void put(json_t *object, const char *path, json_t *value)
{
    char section[64];
    const char *dot = strchr(path, '.');
    if (dot) {
        snprintf(section, sizeof section, "%.*s", (int)(dot - path), path);
        json_t *inner = json_object_get(object, section);
        if (!inner) {
            inner = json_object();
            json_object_set_new(object, section, inner);
        }
        object = inner;
        path = dot + 1;
    }
    json_object_set_new(object, path, value);
}

/* What says nothing in an upstream: an empty list, no host, options of a TLS that is off. */
static bool is_silent(const struct scope *s, const struct option *o, const json_t *value)
{
    if (o->scope != SCOPE_UPSTREAM)
        return false;
    if (strncmp(o->path, "tls.", 4) == 0)
        return s->upstream && !s->upstream->tls.enabled;
    return (json_is_array(value) && json_array_size(value) == 0) ||
           (o->type == OPTION_HOST && !json_string_length(value));
}

static json_t *masked_proxy(const struct agent_policy *p)
{
    char *url = NULL;
    if (!*p->parent.authorization)
        return text(p->proxy);
    if (asprintf(&url, "http://***@%s", p->parent.address) < 0)
        return text("***");
    json_t *value = text(url);
    free(url);
    return value;
}

/* Without what may be a secret. Takes the value over. */
static json_t *masked(const struct scope *s, const struct option *o, json_t *value)
{
    bool is_set = json_string_length(value) > 0;
    if (s->from_env[option_index(o)] || (o->type == OPTION_SECRET && is_set)) {
        json_decref(value);
        return text("***");
    }
    if (o->type != OPTION_PROXY)
        return value;
    json_decref(value);
    return masked_proxy(s->policy);
}

static json_t *scope_tree(const struct scope *s, bool mask, json_t *into)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        if (!(o->scope & s->which))
            continue;
        json_t *value = value_of(s, o);
        if (is_silent(s, o, value)) {
            json_decref(value);
            continue;
        }
        put(into, o->path, mask ? masked(s, o, value) : value);
    }
    return into;
}

static json_t *config_tree(const struct config *c, bool mask)
{
    /* The printer reads only; its scopes are those of the loader, which writes. */
    struct config *whole = (struct config *)c;
    struct scope top = {.which = SCOPE_TOP, .config = whole, .from_env = c->from_env};
    struct scope defaults = {.which = SCOPE_POLICY, .policy = &whole->defaults, .from_env = c->from_env};
    json_t *tree = scope_tree(&top, mask, json_object()), *upstreams = json_object();
    json_object_set_new(tree, OPTION_DEFAULTS, scope_tree(&defaults, mask, json_object()));
    for (uint32_t i = 0; i < c->upstream_count; i++) {
        struct upstream *u = &c->upstreams[i];
        /* what it is for stands before how */
        struct scope s = {
            .which = SCOPE_UPSTREAM, .policy = &u->policy, .upstream = u, .from_env = u->from_env};
        json_t *one = scope_tree(&s, mask, json_object());
        s.which = SCOPE_POLICY;
        json_object_set_new(upstreams, u->name, scope_tree(&s, mask, one));
    }
    json_object_set_new(tree, OPTION_UPSTREAMS, upstreams);
    return tree;
}

char *config_json(const struct config *c, bool mask)
{
    json_t *tree = config_tree(c, mask);
    char *out = json_dumps(tree, JSON_INDENT(2));
    json_decref(tree);
    return out;
}

void config_print(const struct config *c, FILE *out)
{
    json_t *tree = config_tree(c, false);
    yaml_print(tree, out);
    json_decref(tree);
}
