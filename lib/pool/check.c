#include "pool/check.h"

#include <assert.h>

#include "pool/pool.h"
#include "wire/h2_check.h"

/* Places and state agree: who carries nothing is free, who has room for more is roomy, and HTTP/1.1 has one
 * place. */
static void check_places(const struct socket *s)
{
    bool carries = s->in_use > 0, is_http1 = s->protocol == PROTOCOL_HTTP1;
    assert(s->unbegun <= s->in_use);
    assert(!is_http1 || (s->capacity == 1 && s->in_use <= 1));
    switch (s->state) {
    case SOCKET_CONNECTING: assert(s->in_use == (s->owner != NULL) && s->capacity > 0); break;
    case SOCKET_ACTIVE: assert(carries && socket_room(s) == 0); break;
    case SOCKET_ROOMY: assert(carries && s->in_use < s->capacity && !is_http1); break;
    case SOCKET_PRIVATE: assert(s->in_use == 1 && s->unbegun == 0 && is_http1); break;
    case SOCKET_FREE: assert(!carries && (s->capacity == 0 || s->aside || socket_room(s) > 0)); break;
    case SOCKET_DRAINING:
    case SOCKET_SENT_AWAY: assert(carries && s->unbegun == 0 && s->ending && socket_room(s) == 0); break;
    case SOCKET_DEAD: assert(false); break;
    }
}

/* What has begun is a stream, and nothing else is. */
static void check_streams(const struct socket_list *list, struct h2_sums *sums)
{
    const struct socket *s;
    TAILQ_FOREACH (s, list, link)
        if (h2_is(&s->wire))
            h2_check(&s->wire, s->in_use - s->unbegun, sums);
}

static void add_streams(const struct agent_list *agents, struct h2_sums *sums)
{
    const struct agent *a;
    const struct origin *o;
    TAILQ_FOREACH (a, agents, link) {
        for (o = a->origins; o; o = o->hh.next) {
            check_streams(&o->active, sums);
            check_streams(&o->roomy, sums);
            check_streams(&o->free, sums);
            check_streams(&o->draining, sums);
            check_streams(&o->sent_away, sums);
        }
    }
}

static void check_all_streams(const struct pool *p)
{
    struct h2_sums sums = {0};
    add_streams(&p->agents, &sums);
    add_streams(&p->removed, &sums);
    h2_check_loop(&p->wires, &sums);
}

static bool is_kept(const struct socket *s)
{
    const struct socket *kept = *s->keeper;
    while (kept && kept != s)
        kept = kept->next_kept;
    return kept != NULL;
}

/* Sockets that `list` holds, all of them in `state`; their places are added up. */
static uint32_t count_sockets(const struct socket_list *list, const struct origin *o, enum socket_state state,
                              uint32_t *in_flight)
{
    const struct socket *s;
    uint32_t n = 0;
    TAILQ_FOREACH (s, list, link) {
        assert(s->origin == o);
        assert(s->aside == ASIDE_NOT || s->state == SOCKET_FREE);
        assert(s->state == state || (s->state == SOCKET_PRIVATE && state == SOCKET_ACTIVE));
        assert(!s->keeper || is_kept(s));
        assert(s->state != SOCKET_PRIVATE || s->keeper);
        assert((s->connector != NULL) == (state == SOCKET_CONNECTING && !s->greeted_us));
        assert((s->protocol == PROTOCOL_UNKNOWN) == (state == SOCKET_CONNECTING));
        assert(state == SOCKET_CONNECTING || conn_is_open(&s->wire.conn));
        assert(!s->owner || state == SOCKET_CONNECTING);
        check_places(s);
        *in_flight += s->in_use;
        n++;
    }
    return n;
}

static uint32_t count_connecting_places(const struct origin *o)
{
    const struct socket *s;
    uint32_t n = 0;
    TAILQ_FOREACH (s, &o->connecting, link)
        n += s->owner ? 0 : s->capacity;
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

static uint32_t count_waiters(const struct waiter_list *list, const struct origin *o, enum waiter_state state,
                              const struct waiter **before)
{
    const struct waiter *p;
    uint32_t n = 0;
    TAILQ_FOREACH (p, list, link) {
        assert(p->state == state && p->origin == o && !p->socket);
        assert(!p->bound || o->agent->paused);
        assert(!*before || waiter_is_before(*before, p));
        *before = p;
        n++;
    }
    return n;
}

/* The blocked requests of an origin that stand in turns; with fifo none does. */
static uint32_t count_in_turns(const struct origin *o)
{
    const struct turn *t;
    uint32_t sum = 0;
    TAILQ_FOREACH (t, &o->ring, link) {
        const struct turn_entry *e, *before = NULL;
        uint32_t n = 0;
        TAILQ_FOREACH (e, &t->entries, link) {
            const struct waiter *p = e->waiter;
            assert(p->state == WAITER_BLOCKED && p->origin == o && p->entry == e && e->turn == t);
            assert(waiter_caller(p) == t->key.caller);
            assert(!before || waiter_is_before(before->waiter, p));
            before = e;
            n++;
        }
        assert(t->key.origin == o && t->count == n && n > 0);
        assert(t->whole && t->whole->key.caller == t->key.caller);
        sum += n;
    }
    return sum;
}

static void check_turns(const struct origin *o)
{
    const struct waiter *p;
    uint32_t in_turns = count_in_turns(o), without = 0;
    TAILQ_FOREACH (p, &o->blocked, link)
        without += p->entry == NULL;
    assert(in_turns + without == o->blocked_count);
    assert(o->agent->policy->queue == QUEUE_FAIR ? without <= o->agent->turnless : in_turns == 0);
}

/* The turns of the whole agent are those of its origins together. */
static void check_ring(const struct agent *a)
{
    const struct turn *whole, *part;
    const struct origin *o;
    uint32_t blocked = 0, count = 0, turns = 0;
    TAILQ_FOREACH (whole, &a->ring, link) {
        uint32_t n = 0;
        TAILQ_FOREACH (part, &whole->parts, part_link) {
            assert(part->whole == whole && part->key.caller == whole->key.caller);
            n += part->count;
            turns++;
        }
        assert(!whole->key.origin && whole->count == n && n > 0);
        count += n;
        turns++;
    }
    assert(turns == HASH_COUNT(a->turns));
    for (o = a->origins; o; o = o->hh.next)
        blocked += o->blocked_count;
    assert(a->policy->queue == QUEUE_FAIR ? count + a->turnless == blocked : count == 0);
}

/* waiting_count <= connecting_places: what the connecting sockets are expected to carry, as far as maxSockets
 * lets it begin. All who wait for those come before all who are blocked, and none is blocked while such a
 * place is not taken. A pause leaves new requests out. */
static void check_queue(const struct origin *o)
{
    const struct waiter *before = NULL;
    assert(o->owned_count == count_owned(o));
    assert(o->connecting_places == count_connecting_places(o));
    assert(o->waiting_count == count_waiters(&o->waiting, o, WAITER_WAITING, &before));
    if (o->agent->policy->queue == QUEUE_FAIR)
        before = NULL; /* who waits for a connection has had its turn, whenever it asked */
    assert(o->blocked_count == count_waiters(&o->blocked, o, WAITER_BLOCKED, &before));
    check_turns(o);
    assert(o->waiting_count <= queue_places_to_come(o));
    assert(o->agent->paused || o->waiting_count == queue_places_to_come(o) || o->blocked_count == 0);
}

/* Those that were established and are open. */
static uint32_t open_sockets(const struct origin *o)
{
    return origin_used(o) + o->free_count + o->draining_count + o->sent_away_count;
}

/* As carpoold(8) promises: socketsOpened = open ones + retiredTotal less the connects that failed. */
static void check_books(const struct origin *o)
{
    uint64_t closed = 0;
    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        if (i != RETIRE_CONNECT_FAILED && i != RETIRE_CONNECT_TIMEOUT)
            closed += o->stats.retired[i];
    assert(o->stats.opened == open_sockets(o) + closed);
    assert(o->stats.retired[RETIRE_NONE] == 0);
}

/* Each that was opened has one reason, and none replaces one that still takes requests. */
static void check_ledger(const struct origin *o)
{
    uint64_t sum = 0, replaced = 0, gone = o->stats.opened - origin_used(o) - o->free_count;
    for (unsigned i = 0; i < OPENED_FOR_COUNT; i++)
        sum += o->stats.opened_for[i];
    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        replaced += o->stats.opened_for[OPENED_FOR_REPLACED + i];
    assert(sum == o->stats.opened);
    assert(replaced + o->ledger.lacking_count <= gone);
}

static uint32_t count_aside(const struct origin *o)
{
    const struct socket *s;
    uint32_t n = 0;
    TAILQ_FOREACH (s, &o->free, link)
        n += s->aside != ASIDE_NOT;
    return n;
}

static void check_origin(const struct origin *o)
{
    uint32_t in_flight = 0, sent_away = 0;
    assert(o->connecting_count == count_sockets(&o->connecting, o, SOCKET_CONNECTING, &in_flight));
    assert(o->active_count == count_sockets(&o->active, o, SOCKET_ACTIVE, &in_flight));
    assert(o->roomy_count == count_sockets(&o->roomy, o, SOCKET_ROOMY, &in_flight));
    assert(o->free_count == count_sockets(&o->free, o, SOCKET_FREE, &in_flight));
    assert(o->draining_count == count_sockets(&o->draining, o, SOCKET_DRAINING, &in_flight));
    assert(o->sent_away_count == count_sockets(&o->sent_away, o, SOCKET_SENT_AWAY, &sent_away));
    assert(o->in_flight == in_flight);
    assert(o->demand.now == o->in_flight + o->waiting_count + o->blocked_count);
    assert(o->demand.peak >= o->demand.now);
    assert(o->aside_count == count_aside(o));
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
    uint32_t total = 0, free_count = 0, blocked = 0, empty = 0, demand = 0;
    for (o = a->origins; o; o = o->hh.next) {
        assert(o->agent == a);
        check_origin(o);
        total += origin_sockets(o);
        free_count += o->free_count;
        demand += o->demand.now;
        blocked += o->blocked_count > 0;
        empty += o->keeping != ORIGIN_KEPT;
    }
    assert(a->total == total);
    assert(a->demand.now == demand);
    assert(a->empty_count[ORIGIN_EMPTY] + a->empty_count[ORIGIN_UNREACHED] == empty);
    check_ring(a);
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
        assert(a->dirty || TAILQ_EMPTY(&a->short_of_spares));
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
    check_all_streams(p);
    TAILQ_FOREACH (w, &p->settled, link) {
        assert(w->state == WAITER_SETTLED);
        assert(!w->socket || (w->socket->unbegun > 0 && w->socket->origin == w->origin));
    }
    TAILQ_FOREACH (s, &p->graveyard, link)
        assert(s->state == SOCKET_DEAD && !conn_is_open(&s->wire.conn) && !s->connector);
}

/* There is a place, on a socket that is in use or free. */
static bool has_room(const struct origin *o)
{
    const struct socket *s;
    TAILQ_FOREACH (s, &o->roomy, link)
        if (socket_room(s) > 0)
            return true;
    TAILQ_FOREACH (s, &o->free, link)
        if (socket_room(s) > 0)
            return true;
    return false;
}

/* A request is blocked for a reason only: a pause, or limits that even closing another origin's free
 * socket would not meet. */
static void check_nobody_waits_in_vain(const struct agent *a)
{
    const struct origin *o;
    if (a->paused)
        return;
    TAILQ_FOREACH (o, &a->blocked, blocked_link) {
        assert(!origin_may_begin(o) || !has_room(o));
        if (o->in_flight + o->waiting_count >= a->policy->maxSockets || o->free_count > o->aside_count)
            continue;
        assert(!origin_below_max(o) || agent_is_full(a));
        assert(!origin_below_max(o) || a->total > a->policy->maxTotalSockets || TAILQ_EMPTY(&a->free_lru));
    }
}

void pool_check_turn(const struct pool *p)
{
    const struct agent *a;
    pool_check(p);
    assert(!p->trim_due);
    assert(TAILQ_EMPTY(&p->dirty) && TAILQ_EMPTY(&p->settled) && TAILQ_EMPTY(&p->graveyard));
    TAILQ_FOREACH (a, &p->agents, link) {
        check_nobody_waits_in_vain(a);
        assert(a->empty_count[ORIGIN_EMPTY] <= FORGET_EMPTY_MAX);
        assert(a->empty_count[ORIGIN_UNREACHED] <= FORGET_UNREACHED_MAX);
    }
    TAILQ_FOREACH (a, &p->removed, link)
        check_nobody_waits_in_vain(a);
}
