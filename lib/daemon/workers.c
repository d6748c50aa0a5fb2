#include "daemon/workers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "io/resolver.h"
#include "proxy/handover.h"

/* --- To stand still ------------------------------------------------------------------------------------ */

static void stand_still(struct loop_message *l)
{
    struct worker *w = LOOP_MESSAGE_OF(l, struct worker, halt);
    struct workers *c = w->workers;
    pthread_mutex_lock(&c->lock);
    c->standing++;
    pthread_cond_broadcast(&c->changed);
    while (c->halted)
        pthread_cond_wait(&c->changed, &c->lock);
    c->standing--;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    clock_update();
}

static void wait_until_standing(struct workers *c, unsigned count)
{
    while (c->standing != count)
        pthread_cond_wait(&c->changed, &c->lock);
}

void workers_halt(struct workers *c)
{
    if (c->depth++ > 0)
        return;
    unsigned others = 0;
    pthread_mutex_lock(&c->lock);
    c->halted = true;
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 1; i < c->count; i++) {
        if (!c->workers[i].running)
            continue;
        mailbox_post_one(&c->workers[i].mailbox, &c->workers[i].halt);
        others++;
    }
    if (others == 0)
        return;
    pthread_mutex_lock(&c->lock);
    wait_until_standing(c, others);
    pthread_mutex_unlock(&c->lock);
    clock_update();
}

void workers_go_on(struct workers *c)
{
    if (--c->depth > 0)
        return;
    pthread_mutex_lock(&c->lock);
    c->halted = false;
    pthread_cond_broadcast(&c->changed);
    /* Until the last one has left, or the next halt would count it twice. */
    wait_until_standing(c, 0);
    pthread_mutex_unlock(&c->lock);
}

void workers_settle(struct workers *c)
{
    bool moved;
    do {
        moved = false;
        for (unsigned i = 0; i < c->count; i++)
            handover_flush(c->workers[i].proxy);
        for (unsigned i = 0; i < c->count; i++) {
            moved = moved || !mailbox_is_empty(&c->workers[i].mailbox);
            mailbox_open_messages(&c->workers[i].mailbox);
        }
    } while (moved);
}

bool workers_is_idle(const struct workers *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (!proxy_is_idle(c->workers[i].proxy))
            return false;
    return true;
}

/* --- Descriptors --------------------------------------------------------------------------------------- */

/* While a descriptor that was given up may not have been seen by those who want one. */
#define RELIEVED_LATELY_MS 10

static void give_up_for_another(struct loop_message *l)
{
    struct worker *w = LOOP_MESSAGE_OF(l, struct worker, relieve);
    pool_give_up_free(w->pool);
    __atomic_store_n(&w->workers->relieved_ms, clock_ms(), __ATOMIC_RELAXED);
    __atomic_store_n(&w->relief_is_asked_for, false, __ATOMIC_RELEASE);
}

/* NULL: none has a free socket. */
static struct worker *richest(const struct worker *but)
{
    struct worker *best = NULL;
    uint32_t most = 0;
    for (unsigned i = 0; i < but->workers->count; i++) {
        struct worker *w = &but->workers->workers[i];
        uint32_t count = w != but ? pool_free_count(w->pool) : 0;
        if (count <= most)
            continue;
        most = count;
        best = w;
    }
    return best;
}

static bool relief_is_under_way(const struct workers *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (__atomic_load_n(&c->workers[i].relief_is_asked_for, __ATOMIC_ACQUIRE))
            return true;
    return clock_ms() < __atomic_load_n(&c->relieved_ms, __ATOMIC_RELAXED) + RELIEVED_LATELY_MS;
}

static enum relief ask_others(void *worker)
{
    const struct worker *w = worker;
    struct worker *other = richest(w);
    if (!other)
        return relief_is_under_way(w->workers) ? RELIEF_LATER : RELIEF_NONE;
    if (!__atomic_exchange_n(&other->relief_is_asked_for, true, __ATOMIC_ACQ_REL))
        mailbox_post_one(&other->mailbox, &other->relieve);
    return RELIEF_LATER;
}

/* --- Turns --------------------------------------------------------------------------------------------- */

static void make_a_turn(void *worker)
{
    (void)worker;
}

void worker_end_turn(struct worker *w)
{
    struct access_log *log = w->workers->access_log;

    pool_end_turn(w->pool);
    proxy_end_turn(w->proxy);
    if (log && access_log_end_turn(log) && !timer_is_set(&w->log_is_due))
        timer_set(&w->log_is_due, ACCESS_LOG_GATHER_MS);
}

static void *run(void *worker)
{
    struct worker *w = worker;
    while (!w->over) {
        event_base_loop(w->base, EVLOOP_ONCE);
        clock_update();
        worker_end_turn(w);
    }
    return NULL;
}

int workers_start(struct workers *c)
{
    sigset_t all, before;
    int error = 0;
    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 1; error == 0 && i < c->count; i++) {
        error = pthread_create(&c->workers[i].thread, NULL, run, &c->workers[i]);
        c->workers[i].running = error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

void workers_stop(struct workers *c)
{
    bool stopped = false;
    workers_halt(c);
    for (unsigned i = 1; i < c->count; i++)
        c->workers[i].over = true;
    workers_go_on(c);
    for (unsigned i = 1; i < c->count; i++) {
        if (!c->workers[i].running)
            continue;
        pthread_join(c->workers[i].thread, NULL);
        c->workers[i].running = false;
        stopped = true;
    }
    /* Where the start failed half way, clients may be on their way: they are freed where they arrive. */
    if (stopped)
        workers_settle(c);
}

/* --- Beginning and end --------------------------------------------------------------------------------- */

static struct event_base *new_base(void)
{
    struct event_config *c = event_config_new();
    if (!c)
        return NULL;
    event_config_set_flag(c, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(c);
    event_config_free(c);
    if (base && event_base_priority_init(base, PRIORITY_COUNT) != 0) {
        event_base_free(base);
        return NULL;
    }
    return base;
}

/* The permit callback's context is made after the pool. */
static enum connect_error permit(void *worker, const struct address *a, bool named)
{
    const struct worker *w = worker;
    return proxy_permit(w->proxy, a, named);
}

static bool init_worker(struct worker *w, const struct workers_setup *setup, char *error, size_t error_size)
{
    w->halt.open = stand_still;
    w->relieve.open = give_up_for_another;
    w->base = new_base();
    if (!w->base)
        return false;
    timer_init(&w->log_is_due, w->base, make_a_turn, w);
    if (!mailbox_open(&w->mailbox, w->base, PRIORITY_ORDINARY))
        return false;
    w->resolver = resolver_new(w->base);
    w->pool = w->resolver ? pool_new(w->base, w->resolver, NULL, permit, w, error, error_size) : NULL;
    if (w->pool) {
        w->pool->ask_others = ask_others;
        w->pool->ask_others_ctx = w;
    }
    w->proxy = w->pool ? proxy_new(w->base, w->pool, setup->config, setup->instance) : NULL;
    return w->proxy != NULL;
}

bool workers_init(struct workers *c, unsigned count, const struct workers_setup *setup, char *error,
                  size_t error_size)
{
    *c = (struct workers){.proxies.count = count};
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    snprintf(error, error_size, "out of memory");
    c->workers = calloc(count, sizeof *c->workers);
    c->pools = calloc(count, sizeof(struct pool *));
    c->proxies.members = calloc(count, sizeof(struct proxy *));
    if (!c->workers || !c->pools || !c->proxies.members)
        return false;
    c->count = count;
    for (unsigned i = 0; i < count; i++)
        c->workers[i].mailbox.wake = -1;
    for (unsigned i = 0; i < count; i++) {
        struct worker *w = &c->workers[i];
        w->workers = c;
        if (!init_worker(w, setup, error, error_size))
            return false;
        c->pools[i] = w->pool;
        c->proxies.members[i] = w->proxy;
        if (count > 1 && !proxy_join(w->proxy, &c->proxies, &w->mailbox))
            return false;
    }
    return true;
}

static void free_worker(struct worker *w)
{
    if (w->proxy)
        proxy_free(w->proxy);
    if (w->pool)
        pool_free(w->pool);
    resolver_free(w->resolver);
    mailbox_close(&w->mailbox);
    if (!w->base)
        return;
    timer_release(&w->log_is_due);
    event_base_free(w->base);
}

void workers_free(struct workers *c)
{
    for (unsigned i = 0; c->workers && i < c->count; i++)
        free_worker(&c->workers[i]);
    free(c->workers);
    free(c->pools);
    free(c->proxies.members);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
}
