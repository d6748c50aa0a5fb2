/* A long random walk through the real pool, over real connections. After every step the pool is checked
 * (pool/check.h), and beside it a model of the queue (pool_model.h) says who must be served next. */

#include "pool_model.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "pool/check.h"

#define MOST_PLACES 5

static const char *const hosts[HOSTS] = {"a.test", "b.test", "c.test"};

/* Policies that reloads choose among. The first is what the walk begins with. */
static const char *const policies[] = {
    "maxSockets: 4, maxTotalSockets: 8",
    "maxSockets: 1, maxTotalSockets: 2, maxPendingRequests: 3",
    "maxSockets: 2, maxTotalSockets: 3, scheduling: fifo, maxFreeSockets: 1",
    "maxSockets: 6, maxTotalSockets: 10, minFreeSockets: 1, timeouts: {free: 20ms}",
    "maxSockets: 3, maxTotalSockets: 5, maxRequestsPerSocket: 3, maxSocketAge: 20ms",
    "maxSockets: 2, maxTotalSockets: 9, keepAlive: false",
    "maxSockets: 2, maxTotalSockets: 2, family: 4",
    "queue: fair, maxSockets: 2, maxTotalSockets: Infinity",
    "queue: fair, maxSockets: 1, maxTotalSockets: Infinity, keepAlive: false",
    "queue: fair, maxSockets: 1, maxTotalSockets: 2, maxPendingRequests: 3",
    "queue: fair, maxSockets: 4, maxTotalSockets: 5, maxPendingRequests: 6",
};

static unsigned long asked;
static const char callers[CALLERS - 1];

static long chance(long n)
{
    return lrand48() % n;
}

static void on_settled(struct waiter *p)
{
    struct walker *w = (struct walker *)((char *)p - offsetof(struct walker, asker.waiter));

    model_note_settled(w);
    ck_assert_int_eq(p->state, WAITER_IDLE);
    w->standing = p->socket ? HOLDS : OUT;
    w->asker.socket = p->socket;
    if (p->socket)
        asker_use(p->socket);
}

static const void *caller_of(const struct waiter *p)
{
    return ((const struct walker *)((const char *)p - offsetof(struct walker, asker.waiter)))->asker.caller;
}

static const struct waiter_owner owner_of_walkers = {.settled = on_settled, .caller = caller_of};

static void ask(struct walker *w, enum acquire_how how)
{
    unsigned host = model_host_of(w->origin);
    enum acquire_result result;

    rig.pool->waiter_owner = &owner_of_walkers;
    if (how == ACQUIRE_NEW) {
        w->nth = ++asked;
        w->caller = (unsigned)(chance(2) ? chance(CALLERS) : 0);
        w->asker.caller = w->caller < CALLERS - 1 ? &callers[w->caller] : NULL;
    }
    w->seen = WAITER_IDLE;
    w->owner = false;
    w->asker.waiter.origin = w->origin;
    w->asker.waiter.how = how;
    result = origin_acquire(&w->asker.waiter);
    w->owner = w->asker.waiter.how == ACQUIRE_OWN_CONNECTION;
    model_note_all_given();
    switch (result) {
    case ACQUIRED:
        /* Nobody was passed over who could have had it. */
        ck_assert(TAILQ_EMPTY(&model_queue[host]));
        w->standing = HOLDS;
        w->asker.socket = w->asker.waiter.socket;
        ck_assert(w->asker.socket->in_use > 0 && w->asker.socket->origin == w->origin);
        asker_use(w->asker.socket);
        break;
    case ACQUIRE_WAITS:
        w->standing = QUEUED;
        if (!w->owner)
            model_join(w, w->asker.waiter.how == ACQUIRE_AGAIN);
        break;
    case ACQUIRE_QUEUE_FULL:
        ck_assert_int_eq(how, ACQUIRE_NEW);
        w->standing = OUT;
        break;
    case ACQUIRE_NO_MEMORY: ck_abort_msg("no memory");
    }
}

static enum retire_reason some_reason(void)
{
    enum retire_reason r;

    do
        r = (enum retire_reason)(1 + chance(RETIRE_COUNT - 1));
    while (r == RETIRE_CONNECT_FAILED || r == RETIRE_CONNECT_TIMEOUT);
    return r;
}

/* The connection ends: whoever has a place on it asks again, or gives up. */
static void kill_socket(struct socket *s, enum retire_reason reason)
{
    struct walker *lost[ASKERS];
    unsigned count = 0;

    for (unsigned i = 0; i < ASKERS; i++)
        if (model_walkers[i].standing == HOLDS && model_walkers[i].asker.socket == s)
            lost[count++] = &model_walkers[i];
    model_note_all_given();
    socket_retire(s, reason);
    for (unsigned i = 0; i < count; i++) {
        lost[i]->asker.socket = NULL;
        lost[i]->standing = OUT;
    }
    for (unsigned i = 0; i < count; i++)
        if (chance(2))
            ask(lost[i], ACQUIRE_AGAIN);
}

static struct call_end some_end(void)
{
    return (struct call_end){.request_complete = chance(2),
                             .response_complete = chance(2),
                             .self_delimiting = chance(2),
                             .origin_persistent = chance(2),
                             .told_close = chance(2),
                             .drained = chance(2),
                             .has_hint_timeout = chance(2),
                             .hint_timeout_ms = (uint64_t)chance(2000),
                             .has_hint_max = chance(2),
                             .hint_max = (uint64_t)chance(3)};
}

static void give_up_socket(struct walker *w)
{
    struct socket *s = w->asker.socket;
    struct call_end end = pool_rig_good_end();

    switch (chance(model_is_shared ? 30 : 8)) {
    case 0: kill_socket(s, some_reason()); return;
    case 1:
        end = some_end();
        /* fall through */
    default:
        w->asker.socket = NULL;
        w->standing = OUT;
        socket_release(s, &end);
    }
}

/* A stale socket: retired, and its request comes again. */
static void repeat(struct walker *w)
{
    struct socket *s = w->asker.socket;

    if (s->protocol == PROTOCOL_HTTP2) {
        give_up_socket(w);
        if (w->standing == OUT)
            ask(w, ACQUIRE_AGAIN);
        return;
    }
    w->asker.socket = NULL;
    w->standing = OUT;
    socket_retire(s, RETIRE_ERROR);
    ask(w, chance(2) ? ACQUIRE_AGAIN : ACQUIRE_OWN_CONNECTION);
}

static void leave(struct walker *w)
{
    if (w->standing == QUEUED && !w->owner)
        TAILQ_REMOVE(&model_queue[model_host_of(w->origin)], w, link);
    w->standing = OUT;
    waiter_cancel(&w->asker.waiter);
    ck_assert_int_eq(w->asker.waiter.state, WAITER_IDLE);
}

static void step_walker(void)
{
    struct walker *w = &model_walkers[chance(ASKERS)];

    switch (w->standing) {
    case OUT:
        w->origin = model_origins[chance(HOSTS)];
        ask(w, ACQUIRE_NEW);
        break;
    case QUEUED:
    case GIVEN:
        if (chance(6) == 0)
            leave(w);
        break;
    case HOLDS:
        if (chance(8) == 0)
            repeat(w);
        else
            give_up_socket(w);
        break;
    }
}

/* A HTTP/2 socket that a peer may say something about; NULL: there is none. */
static struct socket *some_shared_socket(void)
{
    struct origin *o = model_origins[chance(HOSTS)];
    struct socket_list *lists[] = {&o->active, &o->roomy, &o->free, &o->draining, &o->sent_away};
    struct socket *s = TAILQ_FIRST(lists[chance(5)]);

    for (long further = chance(3); s && further > 0 && TAILQ_NEXT(s, link); further--)
        s = TAILQ_NEXT(s, link);
    return s && s->protocol == PROTOCOL_HTTP2 ? s : NULL;
}

/* What origins say of their HTTP/2 sockets: room grows, shrinks and closes. */
static void step_shared(void)
{
    struct socket *s = some_shared_socket();

    if (!s)
        return;
    switch (chance(8)) {
    case 0: socket_drain(s, some_reason()); break;
    case 1: socket_send_away(s, some_reason()); break;
    case 2: socket_set_capacity(s, 0); break;
    default: socket_set_capacity(s, 1 + (uint32_t)chance(MOST_PLACES)); break;
    }
}

/* As the one who reads an HTTP/2 connection. */
static void on_shared_ready(void *ctx, unsigned ready)
{
    struct socket *s = ctx;

    (void)ready;
    if (!conn_is_quiet(&s->wire.conn))
        kill_socket(s, RETIRE_ERROR);
}

static enum protocol identify(void *ctx, struct socket *s, uint32_t *capacity)
{
    (void)ctx;
    if (!model_is_shared || s->origin->offer == OFFER_HTTP1 ||
        (s->origin->protocol != PROTOCOL_HTTP2 && chance(3) == 0))
        return PROTOCOL_HTTP1;
    if (chance(20) == 0)
        return PROTOCOL_UNKNOWN;
    *capacity = (uint32_t)chance(MOST_PLACES + 1);
    conn_set_owner(&s->wire.conn, on_shared_ready, s);
    return PROTOCOL_HTTP2;
}

static void configure(const char *policy)
{
    pool_rig_configure(&rig, policy);
    for (unsigned i = 0; model_is_shared && i < HOSTS; i++)
        protocol_offer(model_origins[i], chance(4) ? OFFER_BOTH : chance(2) ? OFFER_HTTP2 : OFFER_HTTP1);
    for (unsigned i = 0; i < HOSTS; i++)
        queue_balance(model_origins[i]);
}

/* What operators and origins do, more seldom. */
static void step_world(void)
{
    struct agent *a = pool_rig_agent(&rig);
    unsigned nth = rig.count ? (unsigned)chance(rig.count) : 0;

    switch (chance(12)) {
    case 0: agent_pause(a); break;
    case 1:
    case 2:
    case 3: agent_resume(a); break;
    case 4: agent_drain(a); break;
    case 5: configure(policies[chance(sizeof policies / sizeof policies[0])]); break;
    case 6:
        if (rig.count)
            pool_rig_hang_up(&rig, nth);
        break;
    case 7:
        if (rig.count && rig.connections[nth] >= 0 && send(rig.connections[nth], "!", 1, MSG_NOSIGNAL) != 1)
            pool_rig_hang_up(&rig, nth);
        break;
    case 8: pool_rig_listen(&rig, rig.listener < 0); break;
    default: break;
    }
}

static void close_old_connections(void)
{
    if (rig.count < RIG_CONNECTIONS / 2)
        return;
    for (unsigned i = 0; i < RIG_CONNECTIONS / 4; i++)
        pool_rig_hang_up(&rig, i);
    memmove(rig.connections, rig.connections + RIG_CONNECTIONS / 4,
            (rig.count - RIG_CONNECTIONS / 4) * sizeof rig.connections[0]);
    rig.count -= RIG_CONNECTIONS / 4;
}

static void take_step(void)
{
    long what = chance(20);

    if (what < 10)
        step_walker();
    else if (what == 10)
        step_world();
    else if (what == 11 && model_is_shared)
        step_shared();
    else if (what < 15)
        pool_rig_events(&rig);
    else if (what < 19)
        pool_rig_turn(&rig);
    else
        pool_rig_run(&rig, 1);
    model_note_all_given();
    pool_check(rig.pool);
    model_check();
    close_old_connections();
}

/* Nobody waits for ever because an origin lets none begin. */
static void open_all_rooms(void)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        struct socket *s, *next;

        TAILQ_FOREACH_SAFE (s, &model_origins[i]->free, link, next)
            if (s->capacity == 0)
                socket_set_capacity(s, 1);
        model_note_all_given();
    }
}

/* Everybody who waits is served in the end. */
static void wind_up(void)
{
    unsigned busy = 1;

    if (rig.listener < 0)
        pool_rig_listen(&rig, true);
    agent_resume(pool_rig_agent(&rig));
    for (unsigned i = 0; i < 3000 && busy; i++) {
        busy = 0;
        pool_rig_run(&rig, 1);
        open_all_rooms();
        for (unsigned k = 0; k < ASKERS; k++)
            if (model_walkers[k].standing == HOLDS)
                give_up_socket(&model_walkers[k]);
        for (unsigned k = 0; k < ASKERS; k++)
            busy += model_walkers[k].standing != OUT;
        model_check_limits();
    }
    ck_assert_uint_eq(busy, 0);
}

static void walk(long seed, unsigned steps)
{
    pool_rig_open(&rig, policies[0]);
    rig.pool->identify = identify;
    srand48(seed);
    for (unsigned i = 0; i < HOSTS; i++) {
        model_origins[i] = pool_rig_origin(&rig, hosts[i]);
        origin_hold(model_origins[i]);
        TAILQ_INIT(&model_queue[i]);
    }
    configure(policies[0]);
    for (unsigned i = 0; i < steps; i++)
        take_step();
    wind_up();
    model_check_books();
    for (unsigned i = 0; i < HOSTS; i++)
        origin_let_go(model_origins[i]);
    pool_rig_close(&rig);
}

/* POOL_SEED=n walks one way only, POOL_STEPS=n goes on for longer. */
static void walk_some(int nth)
{
    const char *seed = getenv("POOL_SEED"), *steps = getenv("POOL_STEPS");
    unsigned count = steps ? (unsigned)atoi(steps) : 1000;

    if (seed) {
        walk(atol(seed), count);
        return;
    }
    for (long s = 0; s < 2; s++) {
        long chosen = nth * 2 + s; /* the same each time: what fails here fails again */

        fprintf(stderr, "POOL_SEED=%ld\n", chosen);
        walk(chosen, count);
    }
    ck_assert_uint_gt(model_steps_with_sockets, 0);
    ck_assert_uint_gt(model_turns_seen, 0);
}

START_TEST(random_walks_keep_every_invariant)
{
    model_is_shared = false;
    walk_some(_i);
}
END_TEST

START_TEST(random_walks_with_shared_sockets_keep_them_too)
{
    model_is_shared = true;
    walk_some(_i);
}
END_TEST

void pool_random_tests(Suite *suite)
{
    TCase *group = tcase_create("random");

    tcase_add_loop_test(group, random_walks_keep_every_invariant, 0, 5);
    tcase_add_loop_test(group, random_walks_with_shared_sockets_keep_them_too, 0, 8);
    tcase_set_timeout(group, 120);
    suite_add_tcase(suite, group);
}
