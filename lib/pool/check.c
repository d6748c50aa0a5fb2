#include "pool/check.h"

#include <assert.h>

#include "pool/pool.h"

/* Sockets that `list` holds, all of them in `state`. */
static uint32_t count_sockets(const struct socket_list *list, const struct origin *o, enum socket_state state)
{
    const struct socket *s;
    uint32_t n = 0;
    TAILQ_FOREACH (s, list, link) {
        assert(s->origin == o);
        assert(s->state == state || (s->state == SOCKET_PRIVATE && state == SOCKET_ACTIVE));
        assert(!s->keeper || *s->keeper == s);
        assert(s->state != SOCKET_PRIVATE || s->keeper);
        assert((s->connector != NULL) == (state == SOCKET_CONNECTING));
        assert(state == SOCKET_CONNECTING || conn_is_open(&s->conn));
        assert(!s->owner || state == SOCKET_CONNECTING);
        n++;
    }
    return n;
}

static uint32_t count_owned(const struct origin *o)
{
    const struct socket *s;
    uint32_t n = 0;
    TAILQ_FOREACH (s, &o->connecting, link) {
        if (!s->owner)
            continue;
        assert(s->owner->state == WAITER_OWNER && s->owner->socket == s && s->owner->origin == o);
        n++;
    }
    return n;
}

static uint32_t count_pending(const struct waiter_list *list, const struct origin *o, enum waiter_state state)
{
    const struct waiter *p;
    uint32_t n = 0;
    TAILQ_FOREACH (p, list, link) {
        assert(p->state == state && p->origin == o && !p->socket);
        assert(!p->bound || o->agent->paused);
        n++;
    }
    return n;
}

/* All requests of an origin that wait for a connection are older than those that wait for a place, and
 * there is one connection for each of the former. A pause leaves new requests out. */
static void check_queue(const struct origin *o)
{
    uint32_t shared = o->connecting_count - o->owned_count;
    assert(o->owned_count == count_owned(o));
    assert(o->waiting_count == count_pending(&o->waiting, o, WAITER_WAITING));
    assert(o->blocked_count == count_pending(&o->blocked, o, WAITER_BLOCKED));
    assert(o->waiting_count <= shared);
    assert(o->agent->paused || o->waiting_count == shared || o->blocked_count == 0);
}

/* As carpoold(8) promises: socketsOpened = open ones + retiredTotal less the connects that failed. */
static void check_books(const struct origin *o)
{
    uint64_t closed = 0;
    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        if (i != RETIRE_CONNECT_FAILED && i != RETIRE_CONNECT_TIMEOUT)
            closed += o->stats.retired[i];
    assert(o->stats.opened == o->active_count + o->free_count + closed);
    assert(o->stats.retired[RETIRE_NONE] == 0);
}

/* Each that was opened has one reason, and none replaces one that was not retired. */
static void check_ledger(const struct origin *o)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < OPENED_FOR_COUNT; i++)
        sum += o->stats.opened_for[i];
    assert(sum == o->stats.opened);
    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        assert(o->stats.opened_for[OPENED_FOR_REPLACED + i] <= o->stats.retired[i]);
    assert(o->ledger.lacking_count <= o->stats.opened - o->active_count - o->free_count);
}

static void check_origin(const struct origin *o)
{
    assert(o->connecting_count == count_sockets(&o->connecting, o, SOCKET_CONNECTING));
    assert(o->active_count == count_sockets(&o->active, o, SOCKET_ACTIVE));
    assert(o->free_count == count_sockets(&o->free, o, SOCKET_FREE));
    check_queue(o);
    check_books(o);
    check_ledger(o);
    assert((o->keeping != ORIGIN_KEPT) == (origin_is_empty(o) && !o->exact));
}

/* Those that may be forgotten, the one that has been empty for longest first. */
static void check_empty(const struct agent *a)
{
    for (enum origin_keeping k = 0; k < ORIGIN_KEEPINGS; k++) {
        const struct origin *o;
        uint64_t before = 0;
        uint32_t n = 0;
        TAILQ_FOREACH (o, &a->empty[k], empty_link) {
            assert(o->agent == a && o->keeping == k && k != ORIGIN_KEPT);
            assert(o->empty_since_ms >= before);
            before = o->empty_since_ms;
            n++;
        }
        assert(n == a->empty_count[k]);
    }
}

/* The free sockets of all origins, the one that has been free for longest first. */
static void check_lru(const struct agent *a, uint32_t free_count)
{
    const struct socket *s;
    uint64_t before = 0;
    uint32_t n = 0;
    TAILQ_FOREACH (s, &a->free_lru, lru) {
        assert(s->state == SOCKET_FREE && s->origin->agent == a);
        assert(s->idle_since_ms >= before);
        before = s->idle_since_ms;
        n++;
    }
    assert(n == free_count);
    before = 0;
    TAILQ_FOREACH (s, &a->private_lru, lru) {
        assert(s->state == SOCKET_PRIVATE && s->origin->agent == a);
        assert(s->idle_since_ms >= before);
        before = s->idle_since_ms;
    }
}

static void check_agent(const struct agent *a)
{
    const struct origin *o;
    uint32_t total = 0, free_count = 0, blocked = 0, empty = 0;
    for (o = a->origins; o; o = o->hh.next) {
        assert(o->agent == a);
        check_origin(o);
        total += origin_sockets(o);
        free_count += o->free_count;
        blocked += o->blocked_count > 0;
        empty += o->keeping != ORIGIN_KEPT;
    }
    assert(a->total == total);
    assert(a->empty_count[ORIGIN_EMPTY] + a->empty_count[ORIGIN_UNREACHED] == empty);
    check_empty(a);
    check_lru(a, free_count);
    TAILQ_FOREACH (o, &a->blocked, blocked_link) {
        assert(o->agent == a && o->blocked_count > 0);
        assert(blocked > 0);
        blocked--;
    }
    assert(blocked == 0);
}

static uint32_t check_agents(const struct agent_list *list, bool removed)
{
    const struct agent *a;
    uint32_t dirty = 0;
    TAILQ_FOREACH (a, list, link) {
        assert(a->removed == removed);
        check_agent(a);
        dirty += a->dirty;
    }
    return dirty;
}

void pool_check(const struct pool *p)
{
    const struct agent *a;
    const struct waiter *w;
    const struct socket *s;
    uint32_t dirty = check_agents(&p->agents, false) + check_agents(&p->removed, true);
    TAILQ_FOREACH (a, &p->dirty, dirty_link) {
        assert(a->dirty);
        assert(dirty > 0);
        dirty--;
    }
    assert(dirty == 0);
    TAILQ_FOREACH (w, &p->settled, link) {
        assert(w->state == WAITER_SETTLED);
        assert(!w->socket || (w->socket->state == SOCKET_ACTIVE && w->socket->origin == w->origin));
    }
    TAILQ_FOREACH (s, &p->graveyard, link)
        assert(s->state == SOCKET_DEAD && !conn_is_open(&s->conn) && !s->connector);
}

/* A request is blocked for a reason only: a pause, or limits that even closing another origin's free
 * socket would not meet. */
static void check_nobody_waits_in_vain(const struct agent *a)
{
    const struct origin *o;
    if (a->paused)
        return;
    TAILQ_FOREACH (o, &a->blocked, blocked_link) {
        assert(o->free_count == 0);
        assert(!origin_below_max(o) || agent_is_full(a));
        assert(!origin_below_max(o) || a->total > a->policy->maxTotalSockets || TAILQ_EMPTY(&a->free_lru));
    }
}

void pool_check_turn(const struct pool *p)
{
    const struct agent *a;
    pool_check(p);
    assert(!p->crowded);
    assert(TAILQ_EMPTY(&p->dirty) && TAILQ_EMPTY(&p->settled) && TAILQ_EMPTY(&p->graveyard));
    TAILQ_FOREACH (a, &p->agents, link) {
        check_nobody_waits_in_vain(a);
        assert(a->empty_count[ORIGIN_EMPTY] <= FORGET_EMPTY_MAX);
        assert(a->empty_count[ORIGIN_UNREACHED] <= FORGET_UNREACHED_MAX);
    }
    TAILQ_FOREACH (a, &p->removed, link)
        check_nobody_waits_in_vain(a);
}
