/* A long random walk through the real pool, over real connections. After every step the pool is checked
 * (pool/check.h), and beside it a model of the queue says who must be served next. */

#include "pool_test.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "pool/check.h"

#define ASKERS      24
#define HOSTS       3
#define MOST_PLACES 5
#define CALLERS     4 /* the last one is nobody that is known */

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

enum standing { OUT, QUEUED, GIVEN, HOLDS };

struct walker {
    struct asker asker;
    enum standing standing; /* GIVEN: settled, not told yet */
    bool owner;
    struct origin *origin;
    bool again;
    unsigned caller;
    enum waiter_state seen; /* of its waiter, at the end of the last step; IDLE: it asked since */
    unsigned long nth;      /* of all requests, the how-manieth to ask first */
    TAILQ_ENTRY(walker) link;
};

TAILQ_HEAD(walker_list, walker);

static struct walker walkers[ASKERS];
static struct walker_list queue[HOSTS]; /* as the queue of each origin should be: who waits, oldest first */
static struct origin *origins[HOSTS];
static uint32_t before[HOSTS], flying[HOSTS], before_total;
static bool shared; /* sockets of HTTP/2, too */
static unsigned long asked;
static const char callers[CALLERS - 1];
/* Of each origin: how often the second caller has been served since the first one was, while that one had blocked requests. */
static int overtaken[HOSTS][CALLERS][CALLERS];
/* Had blocked requests at the end of the last step, and was not served in this one. */
static bool waited[HOSTS][CALLERS];
static unsigned long turns_seen;
static unsigned long long steps_with_sockets;

static unsigned host_of(const struct origin *o)
{
    for (unsigned i = 0; i < HOSTS; i++)
        if (origins[i] == o)
            return i;
    ck_abort_msg("an unknown origin");
}

static long chance(long n)
{
    return lrand48() % n;
}

static bool is_fair(void)
{
    return pool_rig_agent(&rig)->policy->queue == QUEUE_FAIR;
}

/* With turns, of the caller's own. */
static const struct walker *oldest_like(const struct walker *w)
{
    const struct walker *first = TAILQ_FIRST(&queue[host_of(w->origin)]);

    while (first && is_fair() && first->caller != w->caller)
        first = TAILQ_NEXT(first, link);
    return first;
}

/* The requests of a caller that wait at an origin, without those that wait for a connection. */
static unsigned count_blocked(unsigned host, unsigned caller)
{
    const struct walker *w;
    unsigned n = 0;

    TAILQ_FOREACH (w, &queue[host], link)
        n += w->caller == caller && w->asker.waiter.state != WAITER_WAITING;
    return n;
}

/* It is the newest of the caller that had most blocked. */
static void check_displaced(const struct walker *w)
{
    unsigned host = host_of(w->origin), n = count_blocked(host, w->caller);

    ck_assert(is_fair() && !w->asker.waiter.socket);
    for (unsigned i = 0; i < CALLERS; i++)
        ck_assert_uint_le(count_blocked(host, i), n);
    for (const struct walker *other = TAILQ_NEXT(w, link); other; other = TAILQ_NEXT(other, link))
        ck_assert(other->caller != w->caller || other->asker.waiter.state == WAITER_WAITING);
}

/* Repeats first, each in the order in which they first asked. */
static void join_queue(struct walker *w, bool again)
{
    struct walker_list *q = &queue[host_of(w->origin)];
    struct walker *younger;

    TAILQ_FOREACH (younger, q, link)
        if (again != younger->again ? again : w->nth < younger->nth)
            break;
    w->again = again;
    if (younger)
        TAILQ_INSERT_BEFORE(younger, w, link);
    else
        TAILQ_INSERT_TAIL(q, w, link);
}

/* Somebody was given a place or an error: only the oldest may be, but for owners and those who lost their place. (Where somebody was taken back in the same
 * step, others may have been given theirs before that.) */
static void note_given(struct walker *w, bool in_order)
{
    if (w->standing == GIVEN)
        return;
    ck_assert_int_eq(w->standing, QUEUED);
    w->standing = GIVEN;
    if (w->owner)
        return;
    if (w->asker.waiter.displaced)
        check_displaced(w);
    else
        ck_assert_msg(!in_order || oldest_like(w) == w, "somebody jumped the queue");
    TAILQ_REMOVE(&queue[host_of(w->origin)], w, link);
}

/* Whoever was given a place on a socket that ended before he was notified waits again; so does the owner of one that lets
 * none begin. */
static bool note_all_taken_back(void)
{
    bool any = false;

    for (unsigned i = 0; i < ASKERS; i++) {
        struct walker *w = &walkers[i];
        enum waiter_state state = w->asker.waiter.state;

        if (w->standing != GIVEN && !(w->standing == QUEUED && w->owner))
            continue;
        if (state != WAITER_WAITING && state != WAITER_BLOCKED)
            continue;
        w->standing = QUEUED;
        w->owner = false;
        join_queue(w, true);
        any = true;
    }
    return any;
}

static void note_all_given(void)
{
    bool in_order = !note_all_taken_back();
    struct waiter *p;

    TAILQ_FOREACH (p, &rig.pool->settled, link)
        note_given((struct walker *)((char *)p - offsetof(struct walker, asker.waiter)), in_order);
}

static void on_settled(struct waiter *p)
{
    struct walker *w = (struct walker *)((char *)p - offsetof(struct walker, asker.waiter));

    note_given(w, !note_all_taken_back());
    note_all_given();
    ck_assert_int_eq(p->state, WAITER_IDLE);
    w->standing = p->socket ? HOLDS : OUT;
    w->asker.socket = p->socket;
    if (p->socket)
        asker_use(p->socket);
}

static void ask(struct walker *w, enum acquire_how how)
{
    unsigned host = host_of(w->origin);
    enum acquire_result result;

    w->asker.waiter.settled = on_settled;
    if (how == ACQUIRE_NEW) {
        w->nth = ++asked;
        w->caller = (unsigned)(chance(2) ? chance(CALLERS) : 0);
        w->asker.waiter.caller = w->caller < CALLERS - 1 ? &callers[w->caller] : NULL;
    }
    w->seen = WAITER_IDLE;
    w->owner = false;
    result = origin_acquire(w->origin, &w->asker.waiter, how);
    w->owner = w->asker.waiter.how == ACQUIRE_OWN_CONNECTION;
    note_all_given();
    switch (result) {
    case ACQUIRED:
        /* Nobody was passed over who could have had it. */
        ck_assert(TAILQ_EMPTY(&queue[host]));
        w->standing = HOLDS;
        w->asker.socket = w->asker.waiter.socket;
        ck_assert(w->asker.socket->in_use > 0 && w->asker.socket->origin == w->origin);
        asker_use(w->asker.socket);
        break;
    case ACQUIRE_WAITS:
        w->standing = QUEUED;
        if (!w->owner)
            join_queue(w, w->asker.waiter.how == ACQUIRE_AGAIN);
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
        if (walkers[i].standing == HOLDS && walkers[i].asker.socket == s)
            lost[count++] = &walkers[i];
    note_all_given();
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

    switch (chance(shared ? 30 : 8)) {
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
        TAILQ_REMOVE(&queue[host_of(w->origin)], w, link);
    w->standing = OUT;
    waiter_cancel(&w->asker.waiter);
    ck_assert_int_eq(w->asker.waiter.state, WAITER_IDLE);
}

static void step_walker(void)
{
    struct walker *w = &walkers[chance(ASKERS)];

    switch (w->standing) {
    case OUT:
        w->origin = origins[chance(HOSTS)];
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
    struct origin *o = origins[chance(HOSTS)];
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
    if (!shared || s->origin->offer == OFFER_HTTP1 ||
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
    for (unsigned i = 0; shared && i < HOSTS; i++)
        protocol_offer(origins[i], chance(4) ? OFFER_BOTH : chance(2) ? OFFER_HTTP2 : OFFER_HTTP1);
    for (unsigned i = 0; i < HOSTS; i++)
        queue_balance(origins[i]);
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

/* No list grows above its limit: it shrinks towards one that was lowered. */
static void check_limits(void)
{
    const struct agent *a = pool_rig_agent(&rig);

    for (unsigned i = 0; i < HOSTS; i++) {
        uint32_t n = origin_sockets(origins[i]);

        ck_assert_uint_le(n, before[i] > a->policy->maxSockets ? before[i] : a->policy->maxSockets);
        before[i] = n;
        n = origins[i]->in_flight;
        ck_assert_uint_le(n, flying[i] > a->policy->maxSockets ? flying[i] : a->policy->maxSockets);
        flying[i] = n;
    }
    ck_assert_uint_le(a->total,
                      before_total > a->policy->maxTotalSockets ? before_total : a->policy->maxTotalSockets);
    before_total = a->total;
    steps_with_sockets += a->total > 0;
}

/* The model and the pool agree on who waits, in which order. With turns, those who have had theirs wait for a connection. */
static void check_model(void)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        const struct waiter *waiting = TAILQ_FIRST(&origins[i]->waiting),
                            *blocked = TAILQ_FIRST(&origins[i]->blocked);
        const struct walker *w;

        TAILQ_FOREACH (w, &queue[i], link) {
            bool connects = &w->asker.waiter == waiting;

            ck_assert(connects || (&w->asker.waiter == blocked && (is_fair() || !waiting)));
            waiting = connects ? TAILQ_NEXT(waiting, link) : waiting;
            blocked = connects ? blocked : TAILQ_NEXT(blocked, link);
        }
        ck_assert(!waiting && !blocked);
    }
}

/* A request of this caller was served out of the blocked ones, or (by -1) it was let in before all others. */
static void note_turn(unsigned host, unsigned who, int by)
{
    for (unsigned i = 0; i < CALLERS; i++)
        if (i != who)
            overtaken[host][i][who] += by;
    /* In which order several were served within a step cannot be seen. */
    waited[host][who] &= by < 0;
    turns_seen += by > 0;
}

/* Where an origin's own limit alone holds, nobody is served twice while another caller's requests are blocked; but for what
 * has had its turn and comes again. */
static void check_turns(void)
{
    for (unsigned k = 0; k < ASKERS; k++) {
        struct walker *w = &walkers[k];
        enum waiter_state now = w->asker.waiter.state;
        bool served = w->seen == WAITER_BLOCKED && !w->asker.waiter.displaced &&
                      (now == WAITER_WAITING || w->standing == GIVEN || w->standing == HOLDS);

        if (served)
            note_turn(host_of(w->origin), w->caller, 1);
        else if (now == WAITER_BLOCKED && w->seen != WAITER_BLOCKED &&
                 (w->again || w->seen == WAITER_WAITING))
            note_turn(host_of(w->origin), w->caller, -1);
        w->seen = now;
    }
    for (unsigned i = 0; i < HOSTS * CALLERS * CALLERS; i++) {
        unsigned host = i / (CALLERS * CALLERS), who = i / CALLERS % CALLERS, other = i % CALLERS;
        bool counts = is_fair() && !shared &&
                      pool_rig_agent(&rig)->policy->maxTotalSockets == COUNT_INFINITE &&
                      !pool_rig_agent(&rig)->paused && waited[host][who];

        if (!counts)
            overtaken[host][who][other] = 0;
        ck_assert_int_le(overtaken[host][who][other], 1);
    }
    for (unsigned i = 0; i < HOSTS * CALLERS; i++)
        waited[i / CALLERS][i % CALLERS] = count_blocked(i / CALLERS, i % CALLERS) > 0;
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
    else if (what == 11 && shared)
        step_shared();
    else if (what < 15)
        pool_rig_events(&rig);
    else if (what < 19)
        pool_rig_turn(&rig);
    else
        pool_rig_run(&rig, 1);
    note_all_given();
    pool_check(rig.pool);
    check_limits();
    check_model();
    check_turns();
    close_old_connections();
}

/* Nobody waits for ever because an origin lets none begin. */
static void open_all_rooms(void)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        struct socket *s, *next;

        TAILQ_FOREACH_SAFE (s, &origins[i]->free, link, next)
            if (s->capacity == 0)
                socket_set_capacity(s, 1);
        note_all_given();
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
            if (walkers[k].standing == HOLDS)
                give_up_socket(&walkers[k]);
        for (unsigned k = 0; k < ASKERS; k++)
            busy += walkers[k].standing != OUT;
        check_limits();
    }
    ck_assert_uint_eq(busy, 0);
}

static void check_books(void)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        const struct origin_stats *s = &origins[i]->stats;
        uint64_t closed = 0;

        for (unsigned r = 0; r < RETIRE_COUNT; r++)
            closed += s->retired[r];
        closed -= s->retired[RETIRE_CONNECT_FAILED] + s->retired[RETIRE_CONNECT_TIMEOUT];
        ck_assert_uint_eq(s->opened, origin_sockets(origins[i]) - origins[i]->connecting_count +
                                         origins[i]->sent_away_count + closed);
    }
}

static void walk(long seed, unsigned steps)
{
    pool_rig_open(&rig, policies[0]);
    rig.pool->identify = identify;
    srand48(seed);
    for (unsigned i = 0; i < HOSTS; i++) {
        origins[i] = pool_rig_origin(&rig, hosts[i]);
        origin_hold(origins[i]);
        TAILQ_INIT(&queue[i]);
    }
    configure(policies[0]);
    for (unsigned i = 0; i < steps; i++)
        take_step();
    wind_up();
    check_books();
    for (unsigned i = 0; i < HOSTS; i++)
        origin_let_go(origins[i]);
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
    ck_assert_uint_gt(steps_with_sockets, 0);
    ck_assert_uint_gt(turns_seen, 0);
}

START_TEST(random_walks_keep_every_invariant)
{
    shared = false;
    walk_some(_i);
}
END_TEST

START_TEST(random_walks_with_shared_sockets_keep_them_too)
{
    shared = true;
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
