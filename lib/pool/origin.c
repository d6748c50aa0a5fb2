#include "pool/origin.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/fnv.h"
#include "config/match.h"
#include "http/uri.h"
#include "pool/pool.h"

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

void origin_update_plan(struct origin *o)
{
    const struct agent *a = o->agent;
    const struct agent_policy *policy = a->policy;
    bool secure = o->kind == ORIGIN_HTTPS;
    o->plan.parent = *policy->parent.host ? &policy->parent : NULL;
    o->plan.tunnel = o->plan.parent && o->kind != ORIGIN_HTTP;
    o->plan.entries = a->upstream && a->upstream->address.count ? &a->upstream->address : NULL;
    o->plan.family = plan_family(policy->family);
    o->plan.local = policy->local.length ? &policy->local : NULL;
    o->plan.timeout_ms = policy->timeouts.connect;
    o->plan.keepalive_ms = policy->keepAliveMsecs;
    tls_context_unref(o->plan.tls);
    o->plan.tls = secure ? tls_context_ref(a->tls) : NULL;
    o->plan.servername = a->upstream && *a->upstream->tls.servername ? a->upstream->tls.servername : o->host;
    o->plan.sessions = secure && (!a->upstream || a->upstream->tls.sessionReuse) ? o->sessions : NULL;
    o->plan.permit = a->pool->permit;
    o->plan.permit_ctx = a->pool->permit_ctx;
    o->plan.relieve = relieve;
    o->plan.relieve_ctx = o;
    o->plan.memory = &o->memory;
    protocol_update(o);
}

/* What Host says: the key without its scheme, and without the port where that is the scheme's default. */
static struct slice authority_of(const struct origin *o, size_t key_length)
{
    struct slice all = {o->key, key_length};
    struct slice authority = slice_from(all, (size_t)(strstr(o->key, "://") + 3 - o->key));
    if (o->kind == ORIGIN_HTTP && o->plan.port == 80)
        authority.n -= strlen(":80");
    else if (o->kind == ORIGIN_HTTPS && o->plan.port == 443)
        authority.n -= strlen(":443");
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
    *kind = *port == 443 ? ORIGIN_HTTPS : ORIGIN_HTTP; /* what apps say with this port */
    apply_tls(a, kind, port);
    return true;
}

static bool is_named(const struct origin *o)
{
    const struct agent *a = o->agent;
    bool is_default_port =
        (o->plan.port == 80 && o->kind != ORIGIN_HTTPS) || (o->plan.port == 443 && o->kind != ORIGIN_HTTP);
    return a->upstream && !o->moved && !a->removed &&
           match_names_exactly(a->upstream, slice_of(o->host), o->plan.port, is_default_port);
}

void origin_update_names(struct origin *o)
{
    enum origin_kind kind;
    struct slice host;
    uint16_t port;
    o->exact = is_named(o);
    o->warm = o->exact && one_host(o->agent, &kind, &host, &port) && kind == o->kind &&
              port == o->plan.port && slice_eq(host, slice_of(o->host));
    forget_update(o);
}

static void release_memory(struct origin *o)
{
    protocol_release(o);
    tls_sessions_free(o->sessions);
    tls_context_unref(o->plan.tls);
    free(o->connect_failure);
    ledger_free(&o->ledger);
    free(o);
}

static struct origin *origin_new(struct agent *a, enum origin_kind kind, const char *key, size_t key_length,
                                 struct slice host, uint16_t port)
{
    /* The names stand after the struct: there may be very many origins. */
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
    o->kind = kind;
    o->created_ms = clock_ms();
    protocol_init(o);
    TAILQ_INIT(&o->connecting);
    TAILQ_INIT(&o->active);
    TAILQ_INIT(&o->roomy);
    TAILQ_INIT(&o->free);
    TAILQ_INIT(&o->draining);
    TAILQ_INIT(&o->sent_away);
    TAILQ_INIT(&o->waiting);
    TAILQ_INIT(&o->blocked);
    TAILQ_INIT(&o->ring);
    o->plan.host = o->host;
    o->plan.port = port;
    o->authority = authority_of(o, key_length);
    origin_update_plan(o);
    HASH_ADD_KEYPTR(hh, a->origins, o->key, key_length, o);
    if (!o->hh.tbl) {
        release_memory(o);
        return NULL;
    }
    origin_update_names(o);
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
    return (size_t)(decimal_put(at, port) - out);
}

unsigned origin_worker(const struct agent *a, enum origin_kind kind, struct slice host, uint16_t port)
{
    if (!a->spread)
        return a->home;
    apply_tls(a, &kind, &port);
    uint32_t hash = FNV32_START ^ port;
    for (size_t i = 0; i < host.n; i++)
        hash = fnv32(hash, host.p[i]);
    return (a->home + (hash ^ hash >> 16)) % a->pool->workers;
}

struct origin *origin_find_or_make(struct agent *a, enum origin_kind kind, struct slice host, bool ipv6,
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

void origin_warm_up(struct agent *a)
{
    enum origin_kind kind;
    struct slice host;
    uint16_t port;
    if (a->policy->minFreeSockets > 0 && one_host(a, &kind, &host, &port) &&
        origin_worker(a, kind, host, port) == a->pool->index)
        origin_find_or_make(a, kind, host, memchr(host.p, ':', host.n) != NULL, port);
}

void origin_forget(struct origin *o)
{
    assert(origin_is_empty(o));
    forget_leave(o);
    agent_unmark_short(o);
    HASH_DEL(o->agent->origins, o);
    origin_stats_add(&o->agent->forgotten, &o->stats);
    savings_add(&o->agent->forgotten_savings, &o->stats, &o->connect_times);
    release_memory(o);
}

void origin_remember_failure(struct origin *o, const char *text)
{
    free(o->connect_failure);
    o->connect_failure = strdup(text);
    o->connect_failed_wall_ms = clock_wall_ms();
    o->opened_before_failure = o->stats.opened;
}

void origin_hold(struct origin *o)
{
    o->users++;
    forget_update(o);
}

void origin_let_go(struct origin *o)
{
    o->users--;
    forget_update(o);
}

uint64_t origin_learned_ms(const struct origin *o)
{
    const struct agent_policy *policy = o->agent->policy;
    return policy->learnFreeTimeout ? learned_limit(&o->learned, policy->agentKeepAliveTimeoutBuffer) : 0;
}

bool origin_below_max(const struct origin *o)
{
    return origin_sockets(o) < o->agent->policy->maxSockets;
}

bool origin_may_begin(const struct origin *o)
{
    return o->in_flight < o->agent->policy->maxSockets;
}

bool origin_is_empty(const struct origin *o)
{
    return origin_sockets(o) == 0 && o->sent_away_count == 0 && o->waiting_count == 0 &&
           o->blocked_count == 0 && o->users == 0;
}

/* Those that others may share take no more. */
static void drain_shared(struct socket_list *list, enum retire_reason reason)
{
    struct socket *s, *next;
    TAILQ_FOREACH_SAFE (s, list, link, next)
        if (s->protocol == PROTOCOL_HTTP2)
            socket_drain(s, reason);
}

void origin_drain(struct origin *o, enum retire_reason reason)
{
    o->generation++;
    struct socket *s, *next;
    TAILQ_FOREACH_SAFE (s, &o->free, link, next)
        socket_retire(s, reason);
    TAILQ_FOREACH_SAFE (s, &o->active, link, next)
        if (s->state == SOCKET_PRIVATE)
            socket_retire(s, reason);
    drain_shared(&o->active, reason);
    drain_shared(&o->roomy, reason);
}
