#include "pool/pool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/resolver.h"

#define SWEEP_MS           1000
#define SPARE_SOCKETS_KEPT 256

static void count_origins(struct pool *p)
{
    uint32_t count = 0;
    struct agent *a;
    TAILQ_FOREACH (a, &p->agents, link)
        count += HASH_COUNT(a->origins);
    TAILQ_FOREACH (a, &p->removed, link)
        count += HASH_COUNT(a->origins);
    crowd_count(&p->origins, count);
}

static void on_sweep(void *ctx)
{
    struct pool *p = ctx;
    struct agent *a, *next;
    count_origins(p);
    TAILQ_FOREACH_SAFE (a, &p->agents, link, next) {
        forget_old(a, FORGET_EMPTY_MS);
        if (a->policy->minFreeSockets)
            agent_mark_dirty(a);
    }
    TAILQ_FOREACH_SAFE (a, &p->removed, link, next) {
        forget_old(a, 0);
        if (!a->origins) {
            TAILQ_REMOVE(&p->removed, a, link);
            agent_free(a);
        }
    }
    count_origins(p);
    timer_set(&p->sweep, SWEEP_MS);
}

/* A question to the name servers is worth more than a free socket. */
static bool relieve(void *pool)
{
    return pool_give_up_free(pool);
}

struct pool *pool_new(struct event_base *base, struct resolver *resolver, struct config *config,
                      enum connect_error (*permit)(void *, const struct address *, bool), void *permit_ctx,
                      char *error, size_t error_size)
{
    struct pool *p = calloc(1, sizeof *p);
    if (!p) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    p->base = base;
    p->resolver = resolver;
    p->permit = permit;
    p->permit_ctx = permit_ctx;
    TAILQ_INIT(&p->agents);
    TAILQ_INIT(&p->removed);
    TAILQ_INIT(&p->dirty);
    TAILQ_INIT(&p->settled);
    TAILQ_INIT(&p->graveyard);
    TAILQ_INIT(&p->spare);
    p->workers = 1;
    for (size_t i = 0; i < sizeof p->dice / sizeof p->dice[0]; i++)
        p->dice[i] = (unsigned short)lrand48();
    timer_init(&p->sweep, base, on_sweep, p);
    if (config && !pool_configure(p, config, error, error_size)) {
        pool_free(p);
        return NULL;
    }
    resolver_set_relief(resolver, relieve, p);
    timer_set(&p->sweep, SWEEP_MS);
    return p;
}

static struct agent *find_in(struct agent_list *list, struct slice name)
{
    struct agent *a;
    TAILQ_FOREACH (a, list, link)
        if (slice_eq(slice_of(a->name), name))
            return a;
    return NULL;
}

struct agent *pool_find_agent(struct pool *p, struct slice name)
{
    return find_in(&p->agents, name);
}

struct agent *pool_agent(struct pool *p, const struct upstream *u)
{
    return u ? p->by_upstream[u - p->config->upstreams] : p->fallback;
}

/* What an origin's sockets depend on beside its key; a reload that changes it retires them. */
static char *identity_of(const struct agent_policy *policy, const struct upstream *u)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    fprintf(f, "family=%d local=%s\n", policy->family, policy->localAddress ? policy->localAddress : "");
    if (u) {
        const struct tls_options *t = &u->tls;
        fprintf(f, "tls=%d ca=%s cert=%s key=%s name=%s ciphers=%s verify=%d min=%d reuse=%d digest=%s\n",
                t->enabled, t->ca, t->cert, t->key, t->servername, t->ciphers, t->rejectUnauthorized,
                t->minVersion, t->sessionReuse, t->ca_digest);
        for (uint32_t i = 0; i < u->address.count; i++)
            fprintf(f, "address=%s\n", u->address.items[i].text);
    }
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Everything that can fail about one agent, made before anything is changed. */
struct draft {
    struct agent *agent; /* an old one that stays, or a new one */
    bool is_new;
    struct tls_context *tls;
    char *identity;
};

/* What decides about its TLS is as it was: its context, and the sessions it can resume, stay. */
static bool keeps_tls(const struct draft *d)
{
    const struct agent *a = d->agent;
    return !d->is_new && a->identity && strcmp(a->identity, d->identity) == 0 &&
           tls_context_is_current(a->tls);
}

/* `like` may be NULL. */
static bool draft_agent(struct pool *p, struct draft *d, const struct config *c, const struct upstream *u,
                        const struct tls_context *like, char *error, size_t error_size)
{
    const char *name = u ? u->name : "default";
    d->agent = find_in(&p->agents, slice_of(name));
    if (!d->agent) {
        d->agent = agent_new(p, name);
        d->is_new = true;
    }
    d->identity = identity_of(u ? &u->policy : &c->defaults, u);
    if (!d->agent || !d->identity) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    if (keeps_tls(d))
        d->tls = tls_context_ref(d->agent->tls);
    else
        d->tls = tls_context_new_like(u ? &u->tls : &c->default_tls, like, error, error_size);
    return d->tls != NULL;
}

/* All agents of one pool, and where they will be found. */
struct plan {
    struct draft *drafts;
    struct agent **by_upstream;
};

static void discard(struct plan *plan, uint32_t count)
{
    for (uint32_t i = 0; plan->drafts && i < count; i++) {
        if (plan->drafts[i].is_new && plan->drafts[i].agent)
            agent_free(plan->drafts[i].agent);
        tls_context_unref(plan->drafts[i].tls);
        free(plan->drafts[i].identity);
    }
    free(plan->drafts);
    free(plan->by_upstream);
}

/* `like`: of another pool of the workers, or NULL. */
static bool make_plan(struct pool *p, struct plan *plan, const struct config *c,
                      const struct tls_context *like, char *error, size_t error_size)
{
    uint32_t count = c->upstream_count + 1;
    plan->drafts = calloc(count, sizeof *plan->drafts);
    plan->by_upstream = calloc(count, sizeof(struct agent *));
    if (!plan->drafts || !plan->by_upstream) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!draft_agent(p, &plan->drafts[i], c, i ? &c->upstreams[i - 1] : NULL,
                         i ? plan->drafts[0].tls : like, error, error_size))
            return false;
    return true;
}

/* Cannot fail. */
static void carry_out(struct pool *p, struct plan *plan, struct config *config)
{
    struct agent_list old = TAILQ_HEAD_INITIALIZER(old);
    TAILQ_CONCAT(&old, &p->agents, link);
    struct config *before = p->config;
    p->config = config_ref(config);
    resolver_set_stale_if_error(p->resolver, config->dns.staleIfError);
    for (uint32_t i = 0; i <= config->upstream_count; i++) {
        struct draft *d = &plan->drafts[i];
        const struct upstream *u = i ? &config->upstreams[i - 1] : NULL;
        if (d->is_new)
            d->agent->home = p->homes_given++ % p->workers;
        else
            TAILQ_REMOVE(&old, d->agent, link);
        TAILQ_INSERT_TAIL(&p->agents, d->agent, link);
        agent_configure(d->agent, config, u, d->tls, d->identity);
        if (u)
            plan->by_upstream[i - 1] = d->agent;
    }
    p->fallback = plan->drafts[0].agent;
    free(plan->drafts);
    free(p->by_upstream);
    p->by_upstream = plan->by_upstream;
    struct agent *a;
    while ((a = TAILQ_FIRST(&old))) {
        TAILQ_REMOVE(&old, a, link);
        TAILQ_INSERT_TAIL(&p->removed, a, link);
        agent_remove(a);
    }
    if (before)
        config_unref(before);
}

/* All pools have the same agents in the same order. */
static void link_shares(struct pool *const *pools, unsigned count)
{
    for (unsigned i = 0; i + 1 < count; i++) {
        struct agent *a, *next = TAILQ_FIRST(&pools[i + 1]->agents);
        TAILQ_FOREACH (a, &pools[i]->agents, link) {
            a->next_share = next;
            next = TAILQ_NEXT(next, link);
        }
    }
}

bool pools_configure(struct pool *const *pools, unsigned count, struct config *config, char *error,
                     size_t error_size)
{
    struct plan *plans = calloc(count, sizeof *plans);
    bool ok = plans != NULL;
    if (!ok)
        snprintf(error, error_size, "out of memory");
    for (unsigned i = 0; ok && i < count; i++)
        ok = make_plan(pools[i], &plans[i], config, i ? plans[0].drafts[0].tls : NULL, error, error_size);
    for (unsigned i = 0; plans && i < count; i++) {
        if (ok) {
            pools[i]->index = i;
            pools[i]->workers = count;
            carry_out(pools[i], &plans[i], config);
        } else {
            discard(&plans[i], config->upstream_count + 1);
        }
    }
    if (ok)
        link_shares(pools, count);
    free(plans);
    return ok;
}

bool pool_configure(struct pool *p, struct config *config, char *error, size_t error_size)
{
    return pools_configure(&p, 1, config, error, error_size);
}

struct socket *pool_take_socket(struct pool *p)
{
    struct socket *s = TAILQ_FIRST(&p->spare);
    if (!s)
        return calloc(1, sizeof *s);
    TAILQ_REMOVE(&p->spare, s, link);
    p->spare_count--;
    memset(s, 0, sizeof *s);
    return s;
}

void pool_reap(struct pool *p, struct socket *s)
{
    TAILQ_INSERT_TAIL(&p->graveyard, s, link);
}

static void empty_graveyard(struct pool *p)
{
    struct socket *s;
    while ((s = TAILQ_FIRST(&p->graveyard))) {
        TAILQ_REMOVE(&p->graveyard, s, link);
        if (p->spare_count >= SPARE_SOCKETS_KEPT) {
            free(s);
            continue;
        }
        TAILQ_INSERT_HEAD(&p->spare, s, link);
        p->spare_count++;
    }
}

void pool_notify(struct pool *p)
{
    struct waiter *w;
    while ((w = TAILQ_FIRST(&p->settled))) {
        TAILQ_REMOVE(&p->settled, w, link);
        w->state = WAITER_IDLE;
        w->settled(w);
    }
}

static void forget_crowd(struct pool *p)
{
    struct agent *a;
    if (!p->crowded)
        return;
    p->crowded = false;
    TAILQ_FOREACH (a, &p->agents, link)
        forget_excess(a);
}

void pool_end_turn(struct pool *p)
{
    struct agent *a;
    while (!TAILQ_EMPTY(&p->dirty) || !TAILQ_EMPTY(&p->settled)) {
        while ((a = TAILQ_FIRST(&p->dirty)))
            agent_serve(a);
        pool_notify(p);
    }
    empty_graveyard(p);
    forget_crowd(p);
}

bool pool_give_up_free(struct pool *p)
{
    struct socket *oldest = NULL;
    struct agent *a;
    TAILQ_FOREACH (a, &p->agents, link) {
        struct socket *s = TAILQ_FIRST(&a->free_lru);
        if (s && (!oldest || s->idle_since_ms < oldest->idle_since_ms))
            oldest = s;
    }
    if (oldest)
        socket_retire(oldest, RETIRE_EVICTED);
    return oldest != NULL;
}

enum relief pool_relieve(struct pool *p)
{
    if (pool_give_up_free(p))
        return RELIEF_GIVEN;
    return p->ask_others ? p->ask_others(p->ask_others_ctx) : RELIEF_NONE;
}

uint32_t pool_free_count(const struct pool *p)
{
    return __atomic_load_n(&p->free_count, __ATOMIC_RELAXED);
}

void pool_stop(struct pool *p)
{
    p->stopping = true;
    struct agent *a;
    TAILQ_FOREACH (a, &p->agents, link)
        for (struct origin *o = a->origins; o; o = o->hh.next)
            origin_drain(o, RETIRE_SHUTDOWN);
}

void pool_free(struct pool *p)
{
    struct agent *a;
    while ((a = TAILQ_FIRST(&p->agents))) {
        TAILQ_REMOVE(&p->agents, a, link);
        agent_free(a);
    }
    while ((a = TAILQ_FIRST(&p->removed))) {
        TAILQ_REMOVE(&p->removed, a, link);
        agent_free(a);
    }
    empty_graveyard(p);
    struct socket *s;
    while ((s = TAILQ_FIRST(&p->spare))) {
        TAILQ_REMOVE(&p->spare, s, link);
        free(s);
    }
    timer_release(&p->sweep);
    resolver_set_relief(p->resolver, NULL, NULL);
    free(p->by_upstream);
    if (p->config)
        config_unref(p->config);
    free(p);
}
