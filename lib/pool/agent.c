#include "pool/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/minmax.h"
#include "pool/idle.h"
#include "pool/pool.h"
#include "pool/queue.h"
#include "pool/spares.h"

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
    TAILQ_INIT(&a->private_lru);
    TAILQ_INIT(&a->blocked);
    TAILQ_INIT(&a->ring);
    TAILQ_INIT(&a->short_of_spares);
    for (enum origin_keeping k = 0; k < ORIGIN_KEEPINGS; k++)
        TAILQ_INIT(&a->empty[k]);
    return a;
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
        retire_all(&o->roomy);
        retire_all(&o->draining);
        retire_all(&o->sent_away);
        retire_all(&o->connecting);
        origin_forget(o);
    }
    if (a->dirty)
        TAILQ_REMOVE(&a->pool->dirty, a, dirty_link);
    tls_context_unref(a->tls);
    config_unref(a->config);
    free(a->name);
    free(a);
}

static void mark(struct agent *a)
{
    if (a->dirty)
        return;
    a->dirty = true;
    TAILQ_INSERT_TAIL(&a->pool->dirty, a, dirty_link);
}

void agent_mark_dirty(struct agent *a)
{
    a->any_is_short = true;
    mark(a);
}

void agent_mark_short(struct origin *o)
{
    mark(o->agent);
    if (o->may_be_short)
        return;
    o->may_be_short = true;
    TAILQ_INSERT_TAIL(&o->agent->short_of_spares, o, short_link);
}

void agent_unmark_short(struct origin *o)
{
    if (o->may_be_short)
        TAILQ_REMOVE(&o->agent->short_of_spares, o, short_link);
    o->may_be_short = false;
}

void agent_may_serve(struct agent *a)
{
    if (!TAILQ_EMPTY(&a->blocked))
        agent_mark_dirty(a);
}

bool agent_is_full(const struct agent *a)
{
    return a->total >= a->policy->maxTotalSockets;
}

/* Whom its user must authenticate again is taken only where no other is left. */
static struct socket *least_recently_used(const struct agent *a, const struct origin *but)
{
    struct socket *s;
    TAILQ_FOREACH (s, &a->free_lru, lru)
        if (s->origin != but || s->aside != ASIDE_NOT)
            return s;
    s = TAILQ_FIRST(&a->private_lru);
    return s && idle_is_settled(s) ? s : NULL;
}

struct socket *agent_oldest_idle(const struct agent *a)
{
    struct socket *s = TAILQ_FIRST(&a->free_lru);
    return s ? s : TAILQ_FIRST(&a->private_lru);
}

/* Above a limit that was lowered, closing one socket makes no room. */
bool agent_could_make_room(const struct agent *a, const struct origin *o)
{
    return !agent_is_full(a) || (a->total == a->policy->maxTotalSockets && least_recently_used(a, o));
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

static struct socket *emptier(struct socket_list *list, struct socket *than)
{
    struct socket *s;
    TAILQ_FOREACH (s, list, link)
        if (s->protocol == PROTOCOL_HTTP2 && s->unbegun == 0 && (!than || s->in_use < than->in_use))
            than = s;
    return than;
}

static bool makes_room(const struct origin *o)
{
    const struct socket *s;
    TAILQ_FOREACH (s, &o->draining, link)
        if (s->ending == RETIRE_EVICTED)
            return true;
    return false;
}

struct socket *agent_emptiest(const struct agent *a, const struct origin *but)
{
    struct socket *emptiest = NULL;
    for (struct origin *o = a->origins; o; o = o->hh.next) {
        if (makes_room(o))
            return NULL;
        if (o != but)
            emptiest = emptier(&o->roomy, emptier(&o->active, emptiest));
    }
    return emptiest;
}

/* A request of one origin, as most are, is no reason to look at thousands of others. */
static void open_spares(struct agent *a)
{
    bool any = a->any_is_short;
    struct origin *o;
    a->any_is_short = false;
    while ((o = TAILQ_FIRST(&a->short_of_spares))) {
        agent_unmark_short(o);
        if (!any)
            spares_open(o);
    }
    for (o = any && a->policy->minFreeSockets ? a->origins : NULL; o; o = o->hh.next)
        spares_open(o);
}

void agent_serve(struct agent *a)
{
    if (a->dirty) {
        a->dirty = false;
        TAILQ_REMOVE(&a->pool->dirty, a, dirty_link);
    }
    queue_serve(a);
    open_spares(a);
}

void agent_drain(struct agent *a)
{
    for (struct origin *o = a->origins; o; o = o->hh.next)
        origin_drain(o, RETIRE_DRAINED);
}

void agent_pause(struct agent *a)
{
    if (!a->paused)
        a->paused_us = clock_us();
    a->paused = true;
}

void agent_resume(struct agent *a)
{
    if (a->paused)
        a->resumed_us = clock_us();
    a->paused = false;
    for (struct origin *o = a->origins; o; o = o->hh.next)
        queue_resume(o);
    agent_mark_dirty(a);
}

uint64_t agent_pause_us(const struct agent *a, uint64_t since_us)
{
    uint64_t began = max64(a->paused_us, since_us), ended = a->paused ? clock_us() : a->resumed_us;
    return ended > began ? ended - began : 0;
}

void agent_record_error(struct agent *a, const char *origin, const char *error, const char *text)
{
    struct agent_error *e = &a->errors[a->error_count++ % AGENT_RECENT_ERRORS];
    e->wall_ms = clock_wall_ms();
    snprintf(e->origin, sizeof e->origin, "%s", origin);
    snprintf(e->error, sizeof e->error, "%s", error);
    snprintf(e->text, sizeof e->text, "%s", text);
}
