#include "pool/agent.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/match.h"
#include "config/tls_setup.h"
#include "http/uri.h"
#include "pool/pool.h"

struct agent *agent_new(struct pool *p, const char *name)
{
    struct agent *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->name = strdup(name);
    if (!a->name) {
        free(a);
        return NULL;
    }
    a->pool = p;
    TAILQ_INIT(&a->free_lru);
    TAILQ_INIT(&a->blocked);
    for (enum origin_keeping k = 0; k < ORIGIN_KEEPINGS; k++)
        TAILQ_INIT(&a->empty[k]);
    return a;
}

static void release_memory(struct origin *o)
{
    tls_sessions_free(o->sessions);
    tls_context_unref(o->plan.tls);
    free(o->connect_failure);
    free(o);
}

void agent_forget_origin(struct origin *o)
{
    assert(origin_is_empty(o));
    forget_leave(o);
    HASH_DEL(o->agent->origins, o);
    origin_stats_add(&o->agent->forgotten, &o->stats);
    release_memory(o);
}

static void retire_all(struct socket_list *list)
{
    struct socket *s, *next;
    TAILQ_FOREACH_SAFE (s, list, link, next)
        socket_retire(s, RETIRE_SHUTDOWN);
}

void agent_free(struct agent *a)
{
    struct origin *o, *next;
    HASH_ITER (hh, a->origins, o, next) {
        retire_all(&o->free);
        retire_all(&o->active);
        retire_all(&o->connecting);
        agent_forget_origin(o);
    }
    if (a->dirty)
        TAILQ_REMOVE(&a->pool->dirty, a, dirty_link);
    tls_context_unref(a->tls);
    if (a->config)
        config_unref(a->config);
    free(a->name);
    free(a);
}

static int plan_family(enum family f)
{
    switch (f) {
    case FAMILY_ANY: return AF_UNSPEC;
    case FAMILY_4: return AF_INET;
    case FAMILY_6: return AF_INET6;
    }
    return AF_UNSPEC;
}

/* A request of this origin is worth more than a free socket of another one; a spare is not. */
static enum relief relieve(void *origin)
{
    const struct origin *o = origin;
    return o->free_count == 0 ? pool_relieve(o->agent->pool) : RELIEF_NONE;
}

static enum origin_kind kind_of(const struct origin *o)
{
    return o->key[0] == 't' ? ORIGIN_TUNNEL : o->key[4] == 's' ? ORIGIN_HTTPS : ORIGIN_HTTP;
}

/* The present policy's word on how to connect; what is running keeps what it began with. */
static void update_plan(struct origin *o)
{
    const struct agent *a = o->agent;
    const struct agent_policy *policy = a->policy;
    bool secure = kind_of(o) == ORIGIN_HTTPS;
    o->plan.parent = *policy->parent.host ? &policy->parent : NULL;
    o->plan.tunnel = o->plan.parent && kind_of(o) != ORIGIN_HTTP;
    o->plan.entries = a->upstream && a->upstream->address.count ? &a->upstream->address : NULL;
    o->plan.family = plan_family(policy->family);
    o->plan.local = policy->local.length ? &policy->local : NULL;
    o->plan.timeout_ms = policy->timeouts.connect;
    o->plan.keepalive_ms = policy->keepAliveMsecs;
    tls_context_unref(o->plan.tls);
    o->plan.tls = secure ? tls_context_ref(a->tls) : NULL;
    o->plan.servername = a->upstream && a->upstream->tls.servername && *a->upstream->tls.servername
                             ? a->upstream->tls.servername
                             : o->host;
    o->plan.sessions = secure && (!a->upstream || a->upstream->tls.sessionReuse) ? o->sessions : NULL;
    o->plan.permit = a->pool->permit;
    o->plan.permit_ctx = a->pool->permit_ctx;
    o->plan.relieve = relieve;
    o->plan.relieve_ctx = o;
    o->plan.memory = &o->memory;
}

/* What Host says: the key without its scheme, and without the port where that is the scheme's default. */
static struct slice authority_of(const struct origin *o, enum origin_kind kind, size_t key_length)
{
    struct slice all = {o->key, key_length};
    struct slice authority = slice_from(all, (size_t)(strstr(o->key, "://") + 3 - o->key));
    bool is_default =
        (kind == ORIGIN_HTTP && o->plan.port == 80) || (kind == ORIGIN_HTTPS && o->plan.port == 443);
    if (is_default)
        authority.n -= kind == ORIGIN_HTTP ? strlen(":80") : strlen(":443");
    return authority;
}

static void apply_tls(const struct agent *a, enum origin_kind *kind, uint16_t *port)
{
    if (*kind != ORIGIN_HTTP || !a->upstream || !a->upstream->tls.enabled)
        return;
    *kind = ORIGIN_HTTPS;
    *port = *port == 80 ? 443 : *port;
}

/* Where the upstream names one host in full, minFreeSockets are kept from the start. False: it does not. */
static bool one_host(const struct agent *a, enum origin_kind *kind, struct slice *host, uint16_t *port)
{
    const struct upstream *u = a->upstream;
    const struct match_pattern *exact = u ? match_only_exact(u) : NULL;
    if (!exact && !(u && *u->host))
        return false;
    *host = slice_of(exact ? exact->host : u->host);
    *port = exact ? exact->port : u->host_port;
    *port = *port ? *port : 80;
    *kind = ORIGIN_HTTP;
    apply_tls(a, kind, port);
    return true;
}

static bool is_named(const struct origin *o, enum origin_kind kind)
{
    const struct agent *a = o->agent;
    bool is_default_port =
        (o->plan.port == 80 && kind != ORIGIN_HTTPS) || (o->plan.port == 443 && kind != ORIGIN_HTTP);
    return a->upstream && !o->moved && !a->removed &&
           match_names_exactly(a->upstream, slice_of(o->host), o->plan.port, is_default_port);
}

/* What the present configuration says of this very origin. */
static void update_names(struct origin *o, enum origin_kind kind)
{
    enum origin_kind one_kind;
    struct slice host;
    uint16_t port;
    o->exact = is_named(o, kind);
    o->warm = o->exact && one_host(o->agent, &one_kind, &host, &port) && one_kind == kind &&
              port == o->plan.port && slice_eq(host, slice_of(o->host));
    forget_update(o);
}

static struct origin *origin_new(struct agent *a, enum origin_kind kind, const char *key, size_t key_length,
                                 struct slice host, uint16_t port)
{
    /* The names stand behind the struct: there may be very many origins. */
    struct origin *o = calloc(1, sizeof *o + key_length + 1 + host.n + 1);
    if (!o)
        return NULL;
    o->key = memcpy(o + 1, key, key_length);
    o->host = memcpy(o->key + key_length + 1, host.p, host.n);
    o->sessions = kind == ORIGIN_HTTPS ? tls_sessions_new() : NULL;
    if (kind == ORIGIN_HTTPS && !o->sessions) {
        free(o);
        return NULL;
    }
    o->agent = a;
    TAILQ_INIT(&o->connecting);
    TAILQ_INIT(&o->active);
    TAILQ_INIT(&o->free);
    TAILQ_INIT(&o->waiting);
    TAILQ_INIT(&o->blocked);
    o->plan.host = o->host;
    o->plan.port = port;
    o->authority = authority_of(o, kind, key_length);
    update_plan(o);
    HASH_ADD_KEYPTR(hh, a->origins, o->key, key_length, o);
    if (!o->hh.tbl) {
        release_memory(o);
        return NULL;
    }
    update_names(o, kind);
    return o;
}

/* Keys are written by hand: this runs for every request. */
static size_t write_key(char *out, enum origin_kind kind, struct slice host, bool ipv6, uint16_t port)
{
    static const struct slice schemes[] = {[ORIGIN_HTTP] = SLICE("http://"),
                                           [ORIGIN_HTTPS] = SLICE("https://"),
                                           [ORIGIN_TUNNEL] = SLICE("tunnel://")};
    char *at = mempcpy(out, schemes[kind].p, schemes[kind].n);
    if (ipv6)
        *at++ = '[';
    at = mempcpy(at, host.p, host.n);
    if (ipv6)
        *at++ = ']';
    *at++ = ':';
    char digits[5];
    int n = 0;
    do
        digits[n++] = (char)('0' + port % 10);
    while (port /= 10);
    while (n)
        *at++ = digits[--n];
    return (size_t)(at - out);
}

unsigned agent_owner(const struct agent *a, enum origin_kind kind, struct slice host, uint16_t port)
{
    if (!a->spread)
        return a->home;
    apply_tls(a, &kind, &port);
    uint32_t hash = 2166136261u ^ port; /* FNV-1a */
    for (size_t i = 0; i < host.n; i++)
        hash = (hash ^ (unsigned char)host.p[i]) * 16777619u;
    return (a->home + (hash ^ hash >> 16)) % a->pool->workers;
}

struct origin *agent_origin(struct agent *a, enum origin_kind kind, struct slice host, bool ipv6,
                            uint16_t port)
{
    char key[300];
    assert(host.n <= URI_MAX_HOST);
    apply_tls(a, &kind, &port);
    size_t n = write_key(key, kind, host, ipv6, port);
    struct origin *o;
    HASH_FIND(hh, a->origins, key, n, o);
    return o ? o : origin_new(a, kind, key, n, host, port);
}

static bool has_one_host(const struct upstream *u)
{
    return u && u->match_count == 1 && u->match[0].kind == MATCH_EXACT;
}

static void warm_from_start(struct agent *a)
{
    enum origin_kind kind;
    struct slice host;
    uint16_t port;
    if (a->policy->minFreeSockets > 0 && one_host(a, &kind, &host, &port) &&
        agent_owner(a, kind, host, port) == a->pool->index)
        agent_origin(a, kind, host, memchr(host.p, ':', host.n) != NULL, port);
}

/* Lowered limits retire free sockets now; active ones are refused when they finish. */
static void apply_limits(struct origin *o)
{
    const struct agent_policy *policy = o->agent->policy;
    struct socket *s;
    while (o->free_count > policy->maxFreeSockets)
        socket_retire(TAILQ_LAST(&o->free, socket_list), RETIRE_FREE_FULL);
    while (o->free_count && origin_sockets(o) > policy->maxSockets)
        socket_retire(TAILQ_LAST(&o->free, socket_list), RETIRE_DRAINED);
    TAILQ_FOREACH (s, &o->free, link)
        socket_limits_changed(s);
    TAILQ_FOREACH (s, &o->active, link)
        socket_limits_changed(s);
    TAILQ_FOREACH (s, &o->connecting, link)
        socket_limits_changed(s);
}

static void configure_origin(struct origin *o, bool identity_changed)
{
    const struct agent *a = o->agent;
    /* As the key says it: what tls does to http has been done. */
    o->moved = agent_owner(a, ORIGIN_TUNNEL, slice_of(o->host), o->plan.port) != a->pool->index;
    update_plan(o);
    if (identity_changed || o->moved)
        origin_drain(o, RETIRE_DRAINED);
    apply_limits(o);
    update_names(o, kind_of(o));
}

static bool same_addresses(const struct address_list *a, const struct address_list *b)
{
    for (uint32_t i = 0; a->count == b->count && i < a->count; i++)
        if (strcmp(a->items[i].text, b->items[i].text) != 0)
            return false;
    return a->count == b->count;
}

/* Whether all that sockets depend on beside their origin's key is as it was. */
static bool keeps_sockets(const struct agent *a, const struct agent_policy *policy, const struct upstream *u)
{
    if (a->policy->family != policy->family || strcmp(a->policy->localAddress, policy->localAddress) != 0 ||
        strcmp(a->policy->proxy, policy->proxy) != 0)
        return false;
    if (!a->upstream || !u)
        return a->upstream == u;
    const struct tls_options *old = &a->upstream->tls, *new = &u->tls;
    return old->enabled == new->enabled &&strcmp(old->setup->key, new->setup->key) == 0 &&
           strcmp(old->servername, new->servername) == 0 &&
           same_addresses(&a->upstream->address, &u->address);
}

void agent_configure(struct agent *a, struct config *config, const struct upstream *upstream,
                     struct tls_context *tls)
{
    const struct agent_policy *policy = upstream ? &upstream->policy : &config->defaults;
    bool changed = a->config && !keeps_sockets(a, policy, upstream);
    struct config *before = a->config;
    a->config = config_ref(config);
    a->policy = policy;
    a->upstream = upstream;
    a->removed = false;
    /* A limit over all origins is counted in one place. One host would be spread to a place of chance. */
    a->spread = a->pool->workers > 1 && policy->maxTotalSockets == COUNT_INFINITE && !has_one_host(upstream);
    tls_context_unref(a->tls);
    a->tls = tls;
    for (struct origin *o = a->origins; o; o = o->hh.next)
        configure_origin(o, changed);
    while (a->total > policy->maxTotalSockets && !TAILQ_EMPTY(&a->free_lru))
        socket_retire(TAILQ_FIRST(&a->free_lru), RETIRE_DRAINED);
    warm_from_start(a);
    a->pool->crowded = true; /* another number of origins may be its share now */
    agent_mark_dirty(a);
    if (before)
        config_unref(before);
}

void agent_mark_dirty(struct agent *a)
{
    if (a->dirty)
        return;
    a->dirty = true;
    TAILQ_INSERT_TAIL(&a->pool->dirty, a, dirty_link);
}

bool agent_is_full(const struct agent *a)
{
    return a->total >= a->policy->maxTotalSockets;
}

static struct socket *least_recently_used(const struct agent *a, const struct origin *but)
{
    struct socket *s;
    TAILQ_FOREACH (s, &a->free_lru, lru)
        if (s->origin != but)
            return s;
    return NULL;
}

bool agent_make_room(struct agent *a, const struct origin *o)
{
    if (!agent_is_full(a))
        return true;
    struct socket *s = least_recently_used(a, o);
    if (!s || a->total > a->policy->maxTotalSockets)
        return false;
    socket_retire(s, RETIRE_EVICTED);
    return true;
}

struct waiter *agent_oldest_blocked(const struct agent *a, const struct origin *but)
{
    struct waiter *oldest = NULL;
    struct origin *o;
    if (a->paused)
        return NULL;
    TAILQ_FOREACH (o, &a->blocked, blocked_link) {
        struct waiter *p = TAILQ_FIRST(&o->blocked);
        if (o != but && origin_below_max(o) && (!oldest || p->since_us < oldest->since_us))
            oldest = p;
    }
    return oldest;
}

/* Whether agent_make_room() would say yes. Above a limit that was lowered, closing one socket makes no room. */
static bool could_make_room(const struct agent *a, const struct origin *o)
{
    return !agent_is_full(a) || (a->total == a->policy->maxTotalSockets && least_recently_used(a, o));
}

/* The origin whose oldest blocked request is the oldest of those that can be served at all. */
static struct origin *next_to_serve(const struct agent *a)
{
    struct origin *best = NULL, *o;
    uint64_t since = UINT64_MAX;
    TAILQ_FOREACH (o, &a->blocked, blocked_link) {
        const struct waiter *p = TAILQ_FIRST(&o->blocked);
        bool possible = o->free_count > 0 || (origin_below_max(o) && could_make_room(a, o));
        if (possible && p->since_us < since) {
            since = p->since_us;
            best = o;
        }
    }
    return best;
}

void agent_serve(struct agent *a)
{
    if (a->dirty) {
        a->dirty = false;
        TAILQ_REMOVE(&a->pool->dirty, a, dirty_link);
    }
    struct origin *o;
    while (!a->paused && (o = next_to_serve(a)))
        if (!origin_serve_oldest(o))
            break;
    if (a->policy->minFreeSockets)
        for (o = a->origins; o; o = o->hh.next)
            origin_keep_warm(o);
}

void agent_drain(struct agent *a)
{
    for (struct origin *o = a->origins; o; o = o->hh.next)
        origin_drain(o, RETIRE_DRAINED);
}

void agent_pause(struct agent *a)
{
    a->paused = true;
}

void agent_resume(struct agent *a)
{
    a->paused = false;
    for (struct origin *o = a->origins; o; o = o->hh.next)
        origin_resume(o);
    agent_mark_dirty(a);
}

void agent_record_error(struct agent *a, const char *origin, const char *error, const char *text)
{
    struct agent_error *e = &a->errors[a->error_count++ % AGENT_RECENT_ERRORS];
    e->wall_ms = clock_wall_ms();
    snprintf(e->origin, sizeof e->origin, "%s", origin);
    snprintf(e->error, sizeof e->error, "%s", error);
    snprintf(e->text, sizeof e->text, "%s", text);
}

void agent_remove(struct agent *a)
{
    a->removed = true;
    a->next_share = NULL;
    agent_drain(a);
    agent_resume(a);
    for (struct origin *o = a->origins; o; o = o->hh.next)
        update_names(o, kind_of(o));
}
