#include "pool/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/resolver.h"
#include "pool/configure.h"
#include "wire/h2.h"

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
    memory_trim_count(&p->memory, count);
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
            origin_stats_add(&p->removed_stats, &a->forgotten);
            savings_sum(&p->removed_savings, &a->forgotten_savings);
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
    p->workers = 1;
    clock_update();
    p->suspended_us = clock_suspended_us();
    wire_loop_init(&p->wires, base);
    p->wires.heads.size = BUFFER_HEAD_SIZE;
    p->wires.bodies.size = BUFFER_SIZE;
    for (size_t i = 0; i < sizeof p->dice / sizeof p->dice[0]; i++)
        p->dice[i] = (unsigned short)lrand48();
    timer_init(&p->sweep, base, on_sweep, p);
    timer_init(&p->paths, base, path_sweep, p);
    if (config && !pool_configure(p, config, error, error_size)) {
        pool_free(p);
        return NULL;
    }
    resolver_set_relief(resolver, relieve, p);
    timer_set(&p->sweep, SWEEP_MS);
    return p;
}

struct agent *pool_find_agent(struct pool *p, struct slice name)
{
    struct agent *a;
    TAILQ_FOREACH (a, &p->agents, link)
        if (slice_eq(slice_of(a->name), name))
            return a;
    return NULL;
}

struct agent *pool_agent(struct pool *p, const struct upstream *u)
{
    return p->by_place[u ? u - p->config->upstreams + 1 : 0];
}

struct socket *pool_take_socket(struct pool *p)
{
    struct socket *s = freelist_take(&p->spare_sockets);
    return s ? memset(s, 0, sizeof *s) : calloc(1, sizeof *s);
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
        if (!freelist_keep(&p->spare_sockets, s, SPARE_SOCKETS_KEPT))
            free(s);
    }
}

void pool_notify(struct pool *p)
{
    struct waiter *w;
    while ((w = TAILQ_FIRST(&p->settled))) {
        TAILQ_REMOVE(&p->settled, w, link);
        w->state = WAITER_IDLE;
        stopwatch_stop(&w->waited);
        char *error_text = w->error_text;
        p->waiter_owner->settled(w);
        free(error_text);
    }
}

static void trim_origins(struct pool *p)
{
    struct agent *a;
    if (!p->trim_due)
        return;
    p->trim_due = false;
    TAILQ_FOREACH (a, &p->agents, link)
        forget_excess(a);
}

void pool_end_turn(struct pool *p)
{
    struct agent *a;
    do {
        while ((a = TAILQ_FIRST(&p->dirty)))
            agent_serve(a);
        pool_notify(p);
        h2_end_turn(&p->wires); /* what those who were notified have queued */
    } while (!TAILQ_EMPTY(&p->dirty) || !TAILQ_EMPTY(&p->settled));
    empty_graveyard(p);
    trim_origins(p);
}

static bool is_given_up_sooner(const struct socket *s, const struct socket *than)
{
    return s->state == than->state ? s->idle_since_ms < than->idle_since_ms : s->state == SOCKET_FREE;
}

bool pool_give_up_free(struct pool *p)
{
    struct socket *oldest = NULL;
    struct agent *a;
    TAILQ_FOREACH (a, &p->agents, link) {
        struct socket *s = agent_oldest_idle(a);
        if (s && (!oldest || is_given_up_sooner(s, oldest)))
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
    while ((s = freelist_take(&p->spare_sockets)))
        free(s);
    timer_release(&p->sweep);
    timer_release(&p->paths);
    wire_loop_destroy(&p->wires);
    resolver_set_relief(p->resolver, NULL, NULL);
    free(p->by_place);
    config_unref(p->config);
    free(p);
}
