/* What no single value shows: how the parts of the configuration go together. */

#include <stdlib.h>
#include <string.h>

#include "config/allow.h"
#include "config/bindable.h"
#include "config/hostname.h"
#include "config/loader.h"
#include "config/match.h"

#define LISTENERS_MAX 1000

/* ---- listeners */

static const struct cidr_list *default_clients(struct cidr networks[2], struct cidr_list *list)
{
    cidr_parse(&networks[0], SLICE("127.0.0.0/8"));
    cidr_parse(&networks[1], SLICE("::1"));
    *list = (struct cidr_list){networks, 2};
    return list;
}

static bool same_networks(const struct cidr_list *a, const struct cidr_list *b)
{
    for (uint32_t i = 0; a->count == b->count && i < a->count; i++) {
        if (!cidr_equal(&a->items[i], &b->items[i]))
            return false;
    }
    return a->count == b->count;
}

bool config_exposes(const struct config *c, const struct address *a, bool admin)
{
    struct cidr networks[2];
    struct cidr_list initial;
    const struct cidr_list *clients = admin ? &c->admin.clients : &c->access.clients;
    return !address_is_loopback(a) && same_networks(clients, default_clients(networks, &initial));
}

static void check_exposure(struct loader *l, const struct listener_note *n)
{
    if (!config_exposes(l->config, &n->listen->address, n->admin))
        return;
    problem_error(
        &l->problems, n->at,
        "%s: '%s' can be reached from other hosts while %s has its default: set it to those who may use it, "
        "such as [127.0.0.0/8, 10.0.0.0/8], or listen on 127.0.0.1",
        n->path, n->listen->text, n->admin ? "admin.clients" : "access.clients");
}

static void check_bindable(struct loader *l, const struct listener_note *n)
{
    const char *problem = l->on_this_host ? bindable_problem(&n->listen->address) : NULL;
    if (problem)
        problem_error(&l->problems, n->at, "%s: cannot listen on '%s': %s", n->path, n->listen->text,
                      problem);
}

static bool collide(const struct loader *l, const struct address *a, const struct address *b)
{
    return address_collides(a, b) || (l->on_this_host && bindable_is_same(a, b));
}

static const char *place_of(const struct listener_note *n)
{
    return n->at.line ? "" : n->at.column ? " (command line)" : " (its default)";
}

/* Only what is further down in the file is reported, once. */
static void check_collisions(struct loader *l, const struct listener_note *n)
{
    for (const struct listener_note *other = n->next; other; other = other->next) {
        if (!collide(l, &n->listen->address, &other->listen->address))
            continue;
        const struct listener_note *blamed = n->at.line || n->at.column ? n : other;
        const struct listener_note *first = blamed == n ? other : n;
        bool same = strcmp(blamed->listen->text, first->listen->text) == 0;
        problem_error(&l->problems, blamed->at, "%s: '%s' is in use already, by %s%s%s%s%s", blamed->path,
                      blamed->listen->text, same ? "" : "'", same ? "" : first->listen->text,
                      same ? "" : "' of ", first->path, place_of(first));
        return;
    }
}

static void check_listeners(struct loader *l)
{
    if (l->listener_count > LISTENERS_MAX) {
        problem_error(&l->problems, (struct mark){0}, "%u listeners are too many (at most %d)",
                      l->listener_count, LISTENERS_MAX);
        return;
    }
    for (const struct listener_note *n = l->listeners; n; n = n->next) {
        check_exposure(l, n);
        check_bindable(l, n);
        check_collisions(l, n);
    }
}

/* The admin listener takes none. */
static bool takes_requests(const struct loader *l)
{
    for (const struct listener_note *n = l->listeners; n; n = n->next)
        if (!n->admin)
            return true;
    return false;
}

/* ---- match */

static int compare_patterns(const struct match_pattern *a, const struct match_pattern *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->port != b->port)
        return a->port < b->port ? -1 : 1;
    return strcmp(a->host, b->host);
}

static int by_pattern(const void *left, const void *right)
{
    const struct pattern_note *a = *(struct pattern_note *const *)left,
                              *b = *(struct pattern_note *const *)right;
    int order = compare_patterns(a->pattern, b->pattern);
    if (order)
        return order;
    if (a->at.line != b->at.line)
        return a->at.line < b->at.line ? -1 : 1;
    return a->at.column < b->at.column ? -1 : a->at.column > b->at.column;
}

static void check_patterns(struct loader *l)
{
    struct pattern_note **sorted = arena_array(l->arena, l->pattern_count, sizeof(struct pattern_note *));
    uint32_t n = 0;
    for (struct pattern_note *p = l->patterns; p; p = p->next)
        sorted[n++] = p;
    if (n)
        qsort(sorted, n, sizeof(struct pattern_note *), by_pattern);
    for (uint32_t i = 1; i < n; i++) {
        const struct pattern_note *first = sorted[i - 1], *again = sorted[i];
        if (compare_patterns(first->pattern, again->pattern) != 0)
            continue;
        problem_error(&l->problems, again->at,
                      "the pattern '%s' of upstreams.%s is already in upstreams.%s (line %u)",
                      again->pattern->text, again->upstream->name, first->upstream->name, first->at.line);
    }
}

/* ---- upstreams */

bool scope_given(const struct scope *s, const char *path)
{
    return s->marks[option_index(option_find(s->which, path))].line != 0;
}

bool scope_failed(const struct scope *s, const char *path)
{
    return s->failed[option_index(option_find(s->which, path))];
}

static void check_hosts(struct loader *l, const struct scope *s)
{
    const struct upstream *u = s->upstream;
    if (u->hosts.count && !u->listen.count && !scope_failed(s, "listen"))
        problem_error(&l->problems, scope_mark(s, "hosts"),
                      "%s.hosts works only with listen; use match to say which URLs it serves", s->path);
}

/* Whom it is for: match, or host with listen. */
static void check_names(struct loader *l, const struct scope *s)
{
    const struct upstream *u = s->upstream;
    if (scope_failed(s, "match") || scope_failed(s, "host") || scope_failed(s, "listen"))
        return;
    if (*u->host_option && !u->listen.count)
        problem_error(&l->problems, scope_mark(s, "host"),
                      "%s.host works only with listen; without it, write match: %s", s->path, u->host_option);
    else if (!*u->host_option && !u->match_count)
        problem_error(&l->problems, s->at,
                      "%s has no match: say which hosts it is for, "
                      "such as match: api.example.com (or host: with listen:)",
                      s->path);
    else if (u->listen.count && !*u->host_option && !match_only_exact(u))
        problem_error(&l->problems, scope_mark(s, "listen"),
                      "%s.listen needs one host: write one whole host name in match, or set host", s->path);
}

static void settle_host(struct loader *l, const struct scope *s)
{
    struct upstream *u = s->upstream;
    const struct match_pattern *exact = match_only_exact(u);
    char host[HOSTNAME_SIZE];
    if (*u->host_option && hostname_parse_port(slice_of(u->host_option), host, &u->host_port)) {
        u->host = arena_text(l->arena, host, strlen(host));
    } else if (exact) { /* a socket of systemd's may stand for its listen */
        u->host = exact->host;
        u->host_port = exact->port;
    }
}

/* The parent resolves names itself, and where `address` leads it is not known. */
static void check_proxy(struct loader *l, const struct scope *s)
{
    if (!s->upstream->address.count || !*s->policy->parent.host)
        return;
    problem_error(
        &l->problems, scope_mark(s, scope_given(s, "proxy") ? "proxy" : "address"),
        "%s: address and proxy exclude each other, since with proxy the parent proxy connects; write proxy: \"\" to "
        "connect there directly",
        s->path);
}

/* The lowest limit is named. */
static void check_spares(struct loader *l, const struct scope *s, bool own)
{
    const struct agent_policy *p = s->policy;
    const char *name = "maxSockets";
    uint32_t most = p->maxSockets;
    if (p->maxFreeSockets < most) {
        name = "maxFreeSockets";
        most = p->maxFreeSockets;
    }
    if (p->maxTotalSockets < most) {
        name = "maxTotalSockets";
        most = p->maxTotalSockets;
    }
    if (own && p->minFreeSockets > most)
        problem_warning(&l->problems, scope_mark(s, "minFreeSockets"),
                        "%s: minFreeSockets %u is never reached, since %s is %u", s->path, p->minFreeSockets,
                        name, most);
}

static void check_policy(struct loader *l, const struct scope *s)
{
    const struct agent_policy *p = s->policy;
    int family = p->local.length ? p->local.sa.any.sa_family : AF_UNSPEC;
    bool own = scope_given(s, "localAddress") || scope_given(s, "family");
    if (own &&
        ((family == AF_INET && p->family == FAMILY_6) || (family == AF_INET6 && p->family == FAMILY_4)))
        problem_error(&l->problems, scope_mark(s, scope_given(s, "localAddress") ? "localAddress" : "family"),
                      "%s: localAddress '%s' is not of family %d", s->path, p->localAddress,
                      p->family == FAMILY_4 ? 4 : 6);
    own = scope_given(s, "minFreeSockets") || scope_given(s, "maxSockets") ||
          scope_given(s, "maxFreeSockets") || scope_given(s, "maxTotalSockets");
    check_spares(l, s, own);
    if (own && p->minFreeSockets && !p->keepAlive)
        problem_warning(
            &l->problems, scope_mark(s, "minFreeSockets"),
            "%s: the connections of minFreeSockets carry one request each, since keepAlive is false",
            s->path);
}

static void check_scheme(struct loader *l, const struct scope *s)
{
    if (scope_given(s, "rewriteScheme") && s->policy->rewriteScheme && !s->upstream->tls.enabled)
        problem_warning(&l->problems, scope_mark(s, "rewriteScheme"),
                        "%s: rewriteScheme does nothing without tls: app and service both say http://",
                        s->path);
}

static void check_upstream(struct loader *l, const struct scope *s)
{
    check_names(l, s);
    check_hosts(l, s);
    settle_host(l, s);
    check_policy(l, s);
    callers_check(l, s);
    check_scheme(l, s);
    check_proxy(l, s);
    check_tls(l, s);
}

/* Reported once. */
static bool is_cancelled(struct loader *l)
{
    if (!l->cancelled || !__atomic_load_n(l->cancelled, __ATOMIC_RELAXED))
        return false;
    problem_error(&l->problems, (struct mark){0}, "given up, because Carpool is stopping");
    return true;
}

void check_config(struct loader *l)
{
    check_listeners(l);
    check_patterns(l);
    check_policy(l, &l->defaults);
    callers_check(l, &l->defaults);
    check_default_tls(l);
    check_connect_tls(l);
    for (uint32_t i = 0; i < l->config->upstream_count && !is_cancelled(l); i++)
        check_upstream(l, &l->upstreams[i]);
    if (!l->problems.errors && !takes_requests(l))
        problem_warning(
            &l->problems, scope_mark(&l->top, "listen"),
            "no listener is configured: requests can only come in at sockets that systemd passes");
}
