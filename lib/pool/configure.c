#include "pool/configure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/tls_setup.h"
#include "io/resolver.h"
#include "io/tls.h"
#include "pool/pool.h"
#include "pool/reload.h"

struct pools_plan {
    struct pool *const *pools;
    unsigned count;
    struct config *config;
    uint32_t agent_count;     /* "default", then those of the upstreams in their order */
    struct tls_context **tls; /* an agent each */
    struct agent ***agents;   /* a pool each: its agents; new ones have no configuration yet */
};

/* ---- to prepare */

static int by_name(const void *left, const void *right)
{
    return strcmp((*(struct agent *const *)left)->name, (*(struct agent *const *)right)->name);
}

/* Those that the pool has, sorted for find_agent(). NULL when memory is short. */
static struct agent **sorted_agents(const struct pool *p, uint32_t *count)
{
    struct agent *a;
    *count = 0;
    TAILQ_FOREACH (a, &p->agents, link)
        (*count)++;
    struct agent **sorted = calloc(*count + 1, sizeof(struct agent *));
    if (!sorted)
        return NULL;
    uint32_t n = 0;
    TAILQ_FOREACH (a, &p->agents, link)
        sorted[n++] = a;
    qsort(sorted, n, sizeof(struct agent *), by_name);
    return sorted;
}

static struct agent *find_agent(struct agent **sorted, uint32_t count, const char *name)
{
    const struct agent wanted = {.name = (char *)name}, *key = &wanted;
    struct agent **found = bsearch(&key, sorted, count, sizeof(struct agent *), by_name);
    return found ? *found : NULL;
}

/* Its share in every pool: those that are there, or new ones. */
static bool draft_shares(struct pools_plan *plan, uint32_t k, struct agent *present, const char *name)
{
    for (unsigned i = 0; i < plan->count; i++) {
        plan->agents[i][k] = present ? present : agent_new(plan->pools[i], name);
        if (!plan->agents[i][k])
            return false;
        present = present ? present->next_share : NULL;
    }
    return true;
}

static const char *servername_of(const struct upstream *u)
{
    return u ? u->tls.servername : "";
}

/* What decides about its TLS is as it was: its context, and the sessions that it can resume, stay. A session
 * is of the name that was checked when it was made. */
static struct tls_context *draft_tls(const struct agent *a, const struct upstream *u,
                                     const struct tls_setup *setup)
{
    bool stays =
        a->tls && tls_context_is(a->tls, setup) && strcmp(servername_of(a->upstream), servername_of(u)) == 0;
    return stays ? tls_context_ref(a->tls) : tls_context_new(setup);
}

static bool draft_agents(struct pools_plan *plan)
{
    const struct config *c = plan->config;
    uint32_t count;
    struct agent **present = sorted_agents(plan->pools[0], &count);
    bool fine = present != NULL;
    for (uint32_t k = 0; fine && k < plan->agent_count; k++) {
        const struct upstream *u = k > 0 ? &c->upstreams[k - 1] : NULL;
        const char *name = u ? u->name : "default";
        fine = draft_shares(plan, k, find_agent(present, count, name), name);
        if (fine)
            plan->tls[k] = draft_tls(plan->agents[0][k], u, u ? u->tls.setup : c->default_tls.setup);
        fine = fine && plan->tls[k];
    }
    free(present);
    return fine;
}

static bool allocate(struct pools_plan *plan)
{
    plan->tls = calloc(plan->agent_count, sizeof(struct tls_context *));
    plan->agents = calloc(plan->count, sizeof(struct agent **));
    for (unsigned i = 0; plan->agents && i < plan->count; i++) {
        plan->agents[i] = calloc(plan->agent_count, sizeof(struct agent *));
        if (!plan->agents[i])
            return false;
    }
    return plan->tls && plan->agents;
}

struct pools_plan *pools_prepare(struct pool *const *pools, unsigned count, struct config *config)
{
    struct pools_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return NULL;
    plan->pools = pools;
    plan->count = count;
    plan->config = config_ref(config);
    plan->agent_count = config->upstream_count + 1;
    if (allocate(plan) && draft_agents(plan))
        return plan;
    pools_discard(plan);
    return NULL;
}

static void free_plan(struct pools_plan *plan)
{
    config_unref(plan->config);
    free(plan->agents);
    free(plan->tls);
    free(plan);
}

void pools_discard(struct pools_plan *plan)
{
    for (unsigned i = 0; plan->agents && i < plan->count; i++) {
        for (uint32_t k = 0; plan->agents[i] && k < plan->agent_count; k++)
            if (plan->agents[i][k] && !plan->agents[i][k]->config)
                agent_free(plan->agents[i][k]);
        free(plan->agents[i]);
    }
    for (uint32_t k = 0; plan->tls && k < plan->agent_count; k++)
        tls_context_unref(plan->tls[k]);
    free_plan(plan);
}

/* ---- to commit */

static void begin_agent(struct pool *p, struct agent *a, bool is_reload)
{
    a->home = p->homes_given++ % p->workers;
    a->added_ms = is_reload ? clock_ms() : 0;
}

/* `agents` is taken over. */
static void swap(struct pool *p, const struct pools_plan *plan, struct agent **agents)
{
    struct config *c = plan->config, *before = p->config;
    struct agent_list old = TAILQ_HEAD_INITIALIZER(old);
    struct agent *a;
    TAILQ_CONCAT(&old, &p->agents, link);
    p->config = config_ref(c);
    p->reloads++;
    p->wires.limits = (struct head_limits){(uint32_t)c->server.maxHeaderSize, c->server.maxHeadersCount};
    resolver_set_stale_if_error(p->resolver, c->dns.staleIfError);
    for (uint32_t k = 0; k < plan->agent_count; k++) {
        const struct upstream *u = k > 0 ? &c->upstreams[k - 1] : NULL;
        a = agents[k];
        if (a->config)
            TAILQ_REMOVE(&old, a, link);
        else
            begin_agent(p, a, before != NULL);
        TAILQ_INSERT_TAIL(&p->agents, a, link);
        agent_configure(a, c, u, tls_context_ref(plan->tls[k]));
    }
    free(p->by_place);
    p->by_place = agents;
    while ((a = TAILQ_FIRST(&old))) {
        TAILQ_REMOVE(&old, a, link);
        TAILQ_INSERT_TAIL(&p->removed, a, link);
        agent_remove(a);
    }
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

void pools_commit(struct pools_plan *plan)
{
    for (unsigned i = 0; i < plan->count; i++) {
        plan->pools[i]->index = i;
        plan->pools[i]->workers = plan->count;
        swap(plan->pools[i], plan, plan->agents[i]);
    }
    link_shares(plan->pools, plan->count);
    for (uint32_t k = 0; k < plan->agent_count; k++)
        tls_context_unref(plan->tls[k]);
    free_plan(plan);
}

bool pools_configure(struct pool *const *pools, unsigned count, struct config *config, char *error,
                     size_t error_size)
{
    struct pools_plan *plan = pools_prepare(pools, count, config);
    if (plan)
        pools_commit(plan);
    else
        snprintf(error, error_size, "out of memory");
    return plan != NULL;
}

bool pool_configure(struct pool *p, struct config *config, char *error, size_t error_size)
{
    return pools_configure(&p, 1, config, error, error_size);
}
