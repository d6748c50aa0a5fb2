#include "proxy/proxy.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proxy/access.h"
#include "proxy/attempt.h"
#include "proxy/exchange.h"
#include "proxy/handover.h"
#include "proxy/inside_tls.h"
#include "proxy/tunnel.h"

/* A client that has no answer within this time of its exchange's start is worth a registration with the loop,
 * or a look: most have their response and are gone before. */
#define WATCH_AFTER_MS 5
#define SPARES_KEPT    512

struct frontend *frontend_new(const char *upstream, const struct address *address)
{
    struct frontend *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    char text[ADDRESS_TEXT_SIZE];
    f->refs = 1;
    f->upstream = upstream ? strdup(upstream) : NULL;
    f->address = *address;
    f->text = strdup(address_format(address, text));
    if (!f->text || (upstream && !f->upstream)) {
        frontend_unref(f);
        return NULL;
    }
    return f;
}

struct frontend *frontend_ref(struct frontend *f)
{
    __atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
    return f;
}

void frontend_unref(struct frontend *f)
{
    if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(f->upstream);
    free(f->text);
    free(f);
}

static void on_watch(void *ctx)
{
    struct proxy *p = ctx;
    struct client *c;
    while ((c = TAILQ_FIRST(&p->lasting)) && clock_ms() >= c->lasting_since_ms + WATCH_AFTER_MS)
        client_lasts(c);
}

struct proxy *proxy_new(struct event_base *base, struct pool *pool, struct config *config,
                        struct slice instance)
{
    struct proxy *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->shared = &p->alone;
    p->alone.count = 1;
    p->base = base;
    p->pool = pool;
    pool->waiter_owner = &attempt_waiters;
    p->config = config_ref(config);
    p->instance = instance;
    p->heads = &pool->wires.heads;
    p->bodies = &pool->wires.bodies;
    TAILQ_INIT(&p->clients);
    TAILQ_INIT(&p->lasting);
    TAILQ_INIT(&p->dead_clients);
    TAILQ_INIT(&p->tunnels);
    TAILQ_INIT(&p->dead_tunnels);
    callers_init(&p->callers);
    TAILQ_INIT(&p->hellos);
    evtimer_assign(&p->hello_turn, base, inside_begin_handshakes, p);
    timer_init(&p->watch, base, on_watch, p);
    deadlines_init(&p->client_deadlines, base, client_on_deadline);
    return p;
}

bool proxy_join(struct proxy *p, struct proxy_shared *shared, struct mailbox *mailbox)
{
    p->outgoing = calloc(shared->count, sizeof *p->outgoing);
    if (!p->outgoing)
        return false;
    for (unsigned i = 0; i < shared->count; i++)
        STAILQ_INIT(&p->outgoing[i]);
    p->shared = shared;
    p->mailbox = mailbox;
    return true;
}

void proxy_configure(struct proxy *p, struct config *config)
{
    struct config *before = p->config;
    bool probes_changed = before->server.keepAliveInitialDelay != config->server.keepAliveInitialDelay;
    struct client *c;
    p->config = config_ref(config);
    config_unref(before);
    TAILQ_FOREACH (c, &p->clients, link) {
        client_limits_changed(c);
        if (probes_changed)
            client_set_keepalive(c);
    }
    tunnels_arm(p);
}

enum connect_error proxy_permit(void *proxy, const struct address *a, bool named)
{
    const struct proxy *p = proxy;
    return access_permit(p->config, p->own, p->own_count, a, named);
}

static void reap_clients(struct proxy *p)
{
    struct client *c;
    while ((c = TAILQ_FIRST(&p->dead_clients))) {
        TAILQ_REMOVE(&p->dead_clients, c, link);
        if (freelist_keep(&p->spare_clients, c, SPARES_KEPT))
            continue;
        deadline_release(&p->client_deadlines, &c->deadline);
        free(c);
        p->client_count--;
    }
}

static void reap_exchanges(struct proxy *p)
{
    struct exchange *e;
    while ((e = p->dead_exchanges)) {
        p->dead_exchanges = e->next;
        transfer_give(p, e);
        if (!freelist_keep(&p->spare_exchanges, e, SPARES_KEPT))
            free(e);
    }
}

void proxy_end_turn(struct proxy *p)
{
    p->handshakes_begun = 0;
    handover_flush(p);
    reap_clients(p);
    reap_exchanges(p);
    tunnels_bury(p);
    memory_trim_count(&p->memory, __atomic_load_n(&p->shared->clients, __ATOMIC_RELAXED));
    const struct client *oldest = TAILQ_FIRST(&p->lasting);
    if (oldest && !timer_is_set(&p->watch))
        timer_set_at(&p->watch, oldest->lasting_since_ms + WATCH_AFTER_MS);
}

void proxy_stop(struct proxy *p)
{
    struct client *c, *next;
    /* What has arrived and was not read yet is no reason to call a client idle. */
    TAILQ_FOREACH_SAFE (c, &p->clients, link, next)
        client_is_idle(c);
    p->stopping_since_ms = clock_ms();
    TAILQ_FOREACH_SAFE (c, &p->clients, link, next) {
        if (c->state == CLIENT_IDLE && c->requests > 0)
            client_close(c, CLIENT_SHUTDOWN, false);
        else
            client_limits_changed(c);
    }
    tunnels_stop(p);
}

bool proxy_is_idle(const struct proxy *p)
{
    return TAILQ_EMPTY(&p->tunnels) && TAILQ_EMPTY(&p->clients) && !p->has_outgoing;
}

void proxy_cut(struct proxy *p)
{
    struct client *c, *next;
    TAILQ_FOREACH_SAFE (c, &p->clients, link, next)
        if (c->exchange)
            exchange_turn_away(c->exchange);
    TAILQ_FOREACH_SAFE (c, &p->clients, link, next)
        if (c->exchange)
            exchange_cut(c->exchange, CLIENT_SHUTDOWN);
    tunnels_cut(p, CLIENT_SHUTDOWN);
    TAILQ_FOREACH_SAFE (c, &p->clients, link, next)
        client_close(c, CLIENT_SHUTDOWN, false);
}

void proxy_free(struct proxy *p)
{
    proxy_cut(p);
    proxy_end_turn(p);
    struct client *c;
    while ((c = freelist_take(&p->spare_clients))) {
        deadline_release(&p->client_deadlines, &c->deadline);
        free(c);
    }
    struct exchange *e;
    while ((e = freelist_take(&p->spare_exchanges)))
        free(e);
    transfer_free_spares(p);
    callers_free(&p->callers);
    timer_release(&p->watch);
    deadlines_free(&p->client_deadlines);
    event_del(&p->hello_turn);
    free(p->outgoing);
    pipe_pool_destroy(&p->pipes);
    config_unref(p->config);
    free(p);
}
