/* From the texts of the file to the fields of the structs, one function a kind of option. */

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "config/allow.h"
#include "config/hostname.h"
#include "config/loader.h"
#include "config/parent.h"
#include "http/uri.h"

static void reject(struct loader *l, const struct scope *s, const struct option *o, const struct item *item)
{
    char wants[OPTION_WANTS_SIZE];
    const char *must = option_wants(o, wants);
    if (strstr(must, "host:port") && hostname_has_bad_port(item->text))
        must = "host:port with a port from 1 to 65535";
    else if (strncmp(must, "host:port", strlen("host:port")) == 0 && hostname_lacks_port(item->text))
        must = "host:port; the port is missing";
    problem_error(&l->problems, item->at, "bad value '%.*s' for %s: must be %s", QUOTED_MAX, item->raw,
                  scope_option_path(l->arena, s, o->path), must);
}

static void reject_because(struct loader *l, const struct scope *s, const struct option *o,
                           const struct item *item, const char *why)
{
    problem_error(&l->problems, item->at, "bad value '%.*s' for %s: %s", QUOTED_MAX, item->raw,
                  scope_option_path(l->arena, s, o->path), why);
}

static void reject_url(struct loader *l, const struct scope *s, const struct option *o,
                       const struct item *item)
{
    bool is_address = o->type == OPTION_ADDRESS_LIST,
         can_have_tls = is_address || o->type == OPTION_MATCH_LIST;
    reject_because(l, s, o, item,
                   arena_format(l->arena, "a URL is not accepted: write only %s%s",
                                is_address ? "host:port" : "the host",
                                can_have_tls ? ", and tls: true if it is reached by https" : ""));
}

/* Of a host, with or without a port or "*." before it. */
static void reject_host(struct loader *l, const struct scope *s, const struct option *o,
                        const struct item *item)
{
    struct slice host = {item->text, strcspn(item->text, ":")};
    struct in_addr ip;
    if (strstr(item->text, "://"))
        reject_url(l, s, o, item);
    else if (uri_ends_in_number(host) && inet_pton(AF_INET, arena_text(l->arena, host.p, host.n), &ip) != 1)
        reject_because(
            l, s, o, item,
            "a host that ends in a number must be an IPv4 address: four numbers from 0 to 255, such as 127.0.0.1");
    else
        reject(l, s, o, item);
}

void *option_field(const struct scope *s, const struct option *o)
{
    char *base = NULL;
    switch (o->scope) {
    case SCOPE_TOP: base = (char *)s->config; break;
    case SCOPE_POLICY: base = (char *)s->policy; break;
    case SCOPE_UPSTREAM: base = (char *)s->upstream; break;
    }
    return base + o->offset;
}

const char *scope_option_path(struct arena *a, const struct scope *s, const char *path)
{
    return *s->path ? arena_format(a, "%s.%s", s->path, path) : path;
}

char *loader_absolute(struct loader *l, const char *path)
{
    if (path[0] == '/')
        return arena_text(l->arena, path, strlen(path));
    return arena_format(l->arena, "%s/%s", l->directory, path);
}

static bool set_bool(const char *text, bool *field)
{
    bool is_true = strcmp(text, "true") == 0 || strcmp(text, "True") == 0 || strcmp(text, "TRUE") == 0;
    bool is_false = strcmp(text, "false") == 0 || strcmp(text, "False") == 0 || strcmp(text, "FALSE") == 0;
    if (is_true || is_false)
        *field = is_true;
    return is_true || is_false;
}

static bool set_quantity(const struct option *o, const char *text, uint64_t *field)
{
    uint64_t value;
    bool parsed = o->type == OPTION_TIME ? units_parse_time(slice_of(text), &value)
                                         : units_parse_size(slice_of(text), &value);
    if (!parsed)
        return false;
    bool off = o->type == OPTION_TIME && value == 0;
    if ((value < o->min && !off) || value > o->max)
        return false;
    *field = value;
    return true;
}

static bool set_count(const struct option *o, const char *text, uint32_t *field)
{
    uint32_t value;
    if (!units_parse_count(slice_of(text), &value))
        return false;
    if (o->type == OPTION_LIMIT)
        value = value ? value : COUNT_INFINITE;
    else if (value < o->min || value > o->max)
        return false;
    *field = value;
    return true;
}

static bool set_workers(const struct option *o, const char *text, uint32_t *field)
{
    uint32_t value = 0;
    bool is_auto = strcmp(text, "auto") == 0;
    if (!is_auto && (!units_parse_count(slice_of(text), &value) || value < o->min || value > o->max))
        return false;
    *field = value;
    return true;
}

static bool set_word(const struct option *o, const char *text, void *field)
{
    for (int i = 0; o->words[i]; i++) {
        if (strcmp(text, o->words[i]) == 0) {
            memcpy(field, &i, sizeof i);
            return true;
        }
    }
    return false;
}

/* The pseudonym of Via is a token (RFC 9110 7.6.3); fewer bytes than that, so that logs stay easy to
 * read. */
static bool is_name(const char *text)
{
    size_t n = strlen(text);
    return n <= CONFIG_NAME_MAX &&
           n == strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~");
}

static bool is_host(const char *text)
{
    char host[HOSTNAME_SIZE];
    uint16_t port;
    return !*text || hostname_parse_port(slice_of(text), host, &port);
}

static bool is_servername(const char *text)
{
    char host[HOSTNAME_SIZE];
    return !*text || hostname_parse(slice_of(text), host);
}

static bool set_local_address(struct loader *l, struct scope *s, const struct option *o, const char *text)
{
    struct address *parsed = &s->policy->local;
    struct address address = {0};
    if (*text && !address_from_ip(&address, slice_of(text), 0))
        return false;
    *parsed = address;
    *(char **)option_field(s, o) = arena_text(l->arena, text, strlen(text));
    return true;
}

/* What is wrong with it is said without quoting it: a password may be in there. */
static void set_proxy(struct loader *l, struct scope *s, const struct option *o, const struct item *item)
{
    struct parent_proxy parent;
    const char *why = parent_parse(l->arena, item->text, &parent);
    if (why) {
        problem_error(&l->problems, item->at, "bad value for %s: %s; write http://[user:password@]host:port",
                      scope_option_path(l->arena, s, o->path), why);
        return;
    }
    s->policy->parent = parent;
    *(char **)option_field(s, o) = item->text;
}

static bool set_text(struct scope *s, const struct option *o, const struct item *item, bool legal)
{
    if (legal)
        *(char **)option_field(s, o) = item->text;
    return legal;
}

static void set_host(struct loader *l, struct scope *s, const struct option *o, const struct item *item,
                     bool legal)
{
    if (!set_text(s, o, item, legal))
        reject_host(l, s, o, item);
}

static bool set_file(struct loader *l, struct scope *s, const struct option *o, const char *text)
{
    char **field = option_field(s, o);
    bool word = o->type == OPTION_LOG_FILE && (strcmp(text, "off") == 0 || strcmp(text, "-") == 0);
    if (o->type == OPTION_LOG_FILE && !*text)
        return false;
    *field = word || !*text ? arena_text(l->arena, text, strlen(text)) : loader_absolute(l, text);
    return true;
}

static bool parse_mode(const char *text, unsigned *mode)
{
    static const char key[] = "mode=";
    const char *digits = text + sizeof key - 1;
    if (strncmp(text, key, sizeof key - 1) != 0 || !*digits || strlen(digits) > 4 ||
        strspn(digits, "01234567") != strlen(digits))
        return false;
    *mode = (unsigned)strtoul(digits, NULL, 8);
    return *mode <= 0777;
}

/* Cuts "?mode=0660&form=host" off; NULL, or what is wrong with it. */
static const char *cut_query(char *path, struct listen_address *out, bool is_proxy)
{
    char *rest = strchr(path, '?'), *part;
    if (rest)
        *rest++ = 0;
    while ((part = strsep(&rest, "&"))) {
        bool by_host = strcmp(part, "form=host") == 0;
        if (by_host && !is_proxy)
            return "form=host is for the top-level listen";
        if (!by_host && !parse_mode(part, &out->mode))
            return "after '?' only mode=0660 (octal, at most 0777) and form=host are allowed, joined by &";
        out->by_host |= by_host;
    }
    return NULL;
}

/* NULL when `text` is an absolute or relative path that fits into an address, else what is wrong with it. */
static const char *parse_unix(struct loader *l, const char *path, struct address *out)
{
    if (!*path)
        return "the path of the socket is missing";
    if (*path == '@')
        return "abstract sockets have no permissions and are not supported; name a file";
    const char *whole = arena_format(l->arena, "unix:%s", loader_absolute(l, path));
    if (strlen(whole) - 5 >= sizeof out->sa.unix_.sun_path)
        return "the path is too long for a socket (at most 107 bytes)";
    return address_parse(out, slice_of(whole)) ? NULL : "not a path for a socket";
}

static bool parse_listen_tcp(struct loader *l, const char *text, struct address *out)
{
    static const char localhost[] = "localhost:";
    if (strncasecmp(text, localhost, sizeof localhost - 1) == 0)
        text = arena_format(l->arena, "127.0.0.1:%s", text + sizeof localhost - 1);
    return address_parse(out, slice_of(text)) && address_port(out) != 0;
}

static void forget_listeners(struct loader *l, const struct listen_list *owner)
{
    for (struct listener_note **at = &l->listeners; *at;) {
        if ((*at)->owner == owner) {
            *at = (*at)->next;
            l->listener_count--;
        } else {
            at = &(*at)->next;
        }
    }
}

static void note_listener(struct loader *l, struct scope *s, const struct option *o,
                          const struct listen_list *owner, const struct listen_address *listen,
                          struct mark at)
{
    struct listener_note *note = arena_alloc(l->arena, sizeof *note);
    *note = (struct listener_note){.next = l->listeners,
                                   .owner = owner,
                                   .listen = listen,
                                   .path = scope_option_path(l->arena, s, o->path),
                                   .at = at,
                                   .admin = o->type == OPTION_LISTEN_ADMIN};
    l->listeners = note;
    l->listener_count++;
}

/* False when it was bad, and reported. */
static bool parse_listen(struct loader *l, struct scope *s, const struct option *o, const struct item *item,
                         struct listen_address *out)
{
    out->mode = o->type == OPTION_LISTEN_ADMIN ? 0600 : 0666;
    out->line = item->at.line;
    out->column = item->at.column;
    out->text = item->text;
    if (strncmp(item->text, "unix:", 5) == 0) {
        char *path = arena_text(l->arena, item->text + 5, strlen(item->text + 5));
        const char *why = cut_query(path, out, o->scope == SCOPE_TOP && o->type == OPTION_LISTEN_LIST);
        if (!why)
            why = parse_unix(l, path, &out->address);
        if (why)
            reject_because(l, s, o, item, why);
        return !why;
    }
    if (parse_listen_tcp(l, item->text, &out->address))
        return true;
    reject(l, s, o, item);
    return false;
}

static void set_listen(struct loader *l, struct scope *s, const struct option *o, const struct item *items,
                       uint32_t count)
{
    struct listen_list *list = option_field(s, o);
    forget_listeners(l, list);
    *list = (struct listen_list){.items = arena_array(l->arena, count, sizeof *list->items)};
    for (uint32_t i = 0; i < count; i++) {
        if (o->type == OPTION_LISTEN_ADMIN && strcmp(items[i].text, "off") == 0)
            continue;
        struct listen_address *one = &list->items[list->count];
        if (!parse_listen(l, s, o, &items[i], one))
            continue;
        note_listener(l, s, o, list, one, items[i].at);
        list->count++;
    }
}

static void set_networks(struct loader *l, struct scope *s, const struct option *o, const struct item *items,
                         uint32_t count)
{
    struct cidr_list *list = option_field(s, o);
    *list = (struct cidr_list){.items = arena_array(l->arena, count, sizeof *list->items)};
    for (uint32_t i = 0; i < count; i++) {
        char meant[ADDRESS_TEXT_SIZE];
        if (cidr_parse(&list->items[list->count], slice_of(items[i].text)))
            list->count++;
        else if (cidr_suggest(slice_of(items[i].text), meant))
            reject_because(l, s, o, &items[i],
                           arena_format(l->arena, "host bits must be zero: write %s", meant));
        else
            reject(l, s, o, &items[i]);
    }
}

static void set_hosts(struct loader *l, struct scope *s, const struct option *o, const struct item *items,
                      uint32_t count)
{
    struct text_list *list = option_field(s, o);
    *list = (struct text_list){.items = arena_array(l->arena, count, sizeof *list->items)};
    for (uint32_t i = 0; i < count; i++) {
        char host[HOSTNAME_SIZE];
        if (hostname_parse(slice_of(items[i].text), host))
            list->items[list->count++] = arena_text(l->arena, host, strlen(host));
        else
            reject_host(l, s, o, &items[i]);
    }
}

static void set_ports(struct loader *l, struct scope *s, const struct option *o, const struct item *items,
                      uint32_t count)
{
    struct port_list *list = option_field(s, o);
    *list = (struct port_list){.items = arena_array(l->arena, count, sizeof *list->items)};
    for (uint32_t i = 0; i < count; i++) {
        if (hostname_port(slice_of(items[i].text), &list->items[list->count]))
            list->count++;
        else
            reject(l, s, o, &items[i]);
    }
}

static bool parse_pattern(struct loader *l, const char *text, struct match_pattern *out)
{
    char host[HOSTNAME_SIZE];
    if (strcmp(text, "*") == 0) {
        *out = (struct match_pattern){.host = arena_text(l->arena, "", 0), .kind = MATCH_ALL};
        return true;
    }
    bool suffix = text[0] == '*' && text[1] == '.';
    if (!hostname_parse_port(slice_of(suffix ? text + 2 : text), host, &out->port))
        return false;
    if (suffix && (strchr(host, ':') || uri_ends_in_number(slice_of(host))))
        return false;
    out->kind = suffix ? MATCH_SUFFIX : MATCH_EXACT;
    out->host = arena_format(l->arena, "%s%s", suffix ? "." : "", host);
    return true;
}

static void set_match(struct loader *l, struct scope *s, const struct option *o, const struct item *items,
                      uint32_t count)
{
    struct upstream *u = s->upstream;
    u->match = arena_array(l->arena, count, sizeof *u->match);
    u->match_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct match_pattern *one = &u->match[u->match_count];
        if (!parse_pattern(l, items[i].text, one)) {
            reject_host(l, s, o, &items[i]);
            continue;
        }
        one->text = items[i].text;
        u->match_count++;
        struct pattern_note *note = arena_alloc(l->arena, sizeof *note);
        *note = (struct pattern_note){.next = l->patterns, .upstream = u, .pattern = one, .at = items[i].at};
        l->patterns = note;
        l->pattern_count++;
    }
}

/* False when it was bad, and reported. */
static bool parse_entry(struct loader *l, struct scope *s, const struct option *o, const struct item *item,
                        struct address_entry *out)
{
    char host[HOSTNAME_SIZE];
    out->text = item->text;
    if (strncmp(item->text, "unix:", 5) == 0) {
        const char *why = parse_unix(l, item->text + 5, &out->address);
        char text[ADDRESS_TEXT_SIZE];
        if (why)
            reject_because(l, s, o, item, why);
        else
            out->text = arena_format(l->arena, "%s", address_format(&out->address, text));
        out->host = arena_text(l->arena, "", 0);
        return !why;
    }
    if (!hostname_parse_port(slice_of(item->text), host, &out->port) || !out->port) {
        reject_host(l, s, o, item);
        return false;
    }
    out->host = arena_text(l->arena, host, strlen(host));
    out->is_name = !address_from_ip(&out->address, slice_of(host), out->port);
    return true;
}

static void set_addresses(struct loader *l, struct scope *s, const struct option *o, const struct item *items,
                          uint32_t count)
{
    struct address_list *list = option_field(s, o);
    *list = (struct address_list){.items = arena_array(l->arena, count, sizeof *list->items)};
    for (uint32_t i = 0; i < count; i++) {
        if (parse_entry(l, s, o, &items[i], &list->items[list->count]))
            list->count++;
    }
}

/* A user who writes 2 mostly means seconds. */
#define SMALL_TIME_MS 50

static void warn_of_small_time(struct loader *l, const struct scope *s, const struct option *o,
                               const struct item *item)
{
    const char *text = item->text;
    uint64_t ms;
    if (strspn(text, "0123456789") != strlen(text) || !units_parse_time(slice_of(text), &ms) || ms == 0 ||
        ms >= SMALL_TIME_MS)
        return;
    problem_warning(&l->problems, item->at,
                    "%s: '%s' is in milliseconds; add the unit: s if seconds are meant, ms if not",
                    scope_option_path(l->arena, s, o->path), item->raw);
}

void value_set(struct loader *l, struct scope *s, const struct option *o, const struct item *items,
               uint32_t count)
{
    void *field = option_field(s, o);
    const char *text = count ? items[0].text : "";
    bool good = true;
    switch (o->type) {
    case OPTION_BOOL:
    case OPTION_TLS: good = set_bool(text, field); break;
    case OPTION_TIME:
        good = set_quantity(o, text, field);
        if (good)
            warn_of_small_time(l, s, o, items);
        break;
    case OPTION_SIZE: good = set_quantity(o, text, field); break;
    case OPTION_LIMIT:
    case OPTION_COUNT: good = set_count(o, text, field); break;
    case OPTION_WORD: good = set_word(o, text, field); break;
    case OPTION_WORKERS: good = set_workers(o, text, field); break;
    case OPTION_NAME: good = set_text(s, o, items, is_name(text)); break;
    case OPTION_HOST: set_host(l, s, o, items, is_host(text)); break;
    case OPTION_PROXY: set_proxy(l, s, o, items); break;
    case OPTION_SERVERNAME: set_host(l, s, o, items, is_servername(text)); break;
    case OPTION_CIPHERS:
    case OPTION_SECRET: good = set_text(s, o, items, true); break;
    case OPTION_LOCAL_ADDRESS: good = set_local_address(l, s, o, text); break;
    case OPTION_FILE:
    case OPTION_LOG_FILE: good = set_file(l, s, o, text); break;
    case OPTION_LISTEN_LIST:
    case OPTION_LISTEN_ADMIN: set_listen(l, s, o, items, count); break;
    case OPTION_NETWORK_LIST: set_networks(l, s, o, items, count); break;
    case OPTION_HOST_LIST: set_hosts(l, s, o, items, count); break;
    case OPTION_PORT_LIST: set_ports(l, s, o, items, count); break;
    case OPTION_CALLER_LIST: allow_set(l, option_field(s, o), items, count); break;
    case OPTION_MATCH_LIST: set_match(l, s, o, items, count); break;
    case OPTION_ADDRESS_LIST: set_addresses(l, s, o, items, count); break;
    }
    if (!good)
        reject(l, s, o, items);
}
