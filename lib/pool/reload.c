#include "pool/reload.h"

#include <string.h>

#include "config/tls_setup.h"
#include "pool/pool.h"

static void retire_spent(struct origin *o)
{
    struct socket *s, *next;
    TAILQ_FOREACH_SAFE (s, &o->free, link, next) {
        enum retire_reason spent = socket_spent(s);
        if (spent != RETIRE_NONE)
            socket_retire(s, spent);
    }
}

/* Lowered limits retire free sockets now; active ones are refused when they finish. */
static void apply_limits(struct origin *o)
{
    const struct agent_policy *policy = o->agent->policy;
    struct socket *s, *next;
    retire_spent(o);
    while (o->free_count > policy->maxFreeSockets)
        socket_retire(TAILQ_LAST(&o->free, socket_list), RETIRE_FREE_FULL);
    while (o->free_count && origin_sockets(o) > policy->maxSockets)
        socket_retire(TAILQ_LAST(&o->free, socket_list), RETIRE_DRAINED);
    TAILQ_FOREACH (s, &o->free, link)
        socket_limits_changed(s);
    TAILQ_FOREACH_SAFE (s, &o->active, link, next)
        socket_limits_changed(s);
    TAILQ_FOREACH_SAFE (s, &o->roomy, link, next)
        socket_limits_changed(s);
    TAILQ_FOREACH (s, &o->connecting, link)
        socket_limits_changed(s);
    queue_balance(o); /* maxSockets decides how many wait for a handshake */
}

static void configure_origin(struct origin *o, bool identity_changed)
{
    const struct agent *a = o->agent;
    /* The port is already the one after `tls: true`, which holds for no kind but http. */
    o->moved = origin_worker(a, ORIGIN_TUNNEL, slice_of(o->host), o->plan.port) != a->pool->index;
    enum protocol_offer offered = o->offer;
    origin_update_plan(o);
    if (identity_changed || o->moved || o->offer != offered)
        origin_drain(o, RETIRE_DRAINED);
    apply_limits(o);
    origin_update_names(o);
}

static bool same_addresses(const struct address_list *a, const struct address_list *b)
{
    for (uint32_t i = 0; a->count == b->count && i < a->count; i++)
        if (strcmp(a->items[i].text, b->items[i].text) != 0)
            return false;
    return a->count == b->count;
}

/* Whether all that sockets depend on beside their origin's key, and what it is offered, is as it was. */
static bool keeps_sockets(const struct agent *a, const struct agent_policy *policy, const struct upstream *u)
{
    if (a->policy->family != policy->family || strcmp(a->policy->localAddress, policy->localAddress) != 0 ||
        strcmp(a->policy->proxy, policy->proxy) != 0)
        return false;
    if (!a->upstream || !u)
        return a->upstream == u;
    const struct tls_options *was = &a->upstream->tls, *is = &u->tls;
    return was->enabled == is->enabled && strcmp(was->setup->key, is->setup->key) == 0 &&
           strcmp(was->servername, is->servername) == 0 && same_addresses(&a->upstream->address, &u->address);
}

static bool has_one_host(const struct upstream *u)
{
    return u && u->match_count == 1 && u->match[0].kind == MATCH_EXACT;
}

void agent_configure(struct agent *a, struct config *config, const struct upstream *upstream,
                     struct tls_context *tls)
{
    const struct agent_policy *policy = upstream ? &upstream->policy : &config->defaults;
    bool changed = a->config && !keeps_sockets(a, policy, upstream);
    bool order_changed = a->config && a->policy->queue != policy->queue;
    struct config *before = a->config;
    a->config = config_ref(config);
    a->policy = policy;
    if (order_changed)
        queue_reorder(a);
    a->upstream = upstream;
    a->removed = false;
    /* A limit over all origins is counted in one place. One host would be spread to a place of chance. */
    a->spread = a->pool->workers > 1 && policy->maxTotalSockets == COUNT_INFINITE && !has_one_host(upstream);
    tls_context_unref(a->tls);
    a->tls = tls;
    for (struct origin *o = a->origins; o; o = o->hh.next)
        configure_origin(o, changed);
    struct socket *s;
    while (a->total > policy->maxTotalSockets && (s = agent_oldest_idle(a)))
        socket_retire(s, RETIRE_DRAINED);
    origin_warm_up(a);
    a->pool->trim_due = true; /* another number of origins may be its share now */
    agent_mark_dirty(a);
    config_unref(before);
}

void agent_remove(struct agent *a)
{
    a->removed = true;
    a->next_share = NULL;
    agent_drain(a);
    agent_resume(a);
    for (struct origin *o = a->origins; o; o = o->hh.next)
        origin_update_names(o);
}
