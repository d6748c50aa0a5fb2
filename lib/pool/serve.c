/* Who of an agent's blocked requests is served next, and by what. */

#include "pool/idle.h"
#include "pool/pool.h"
#include "pool/turns.h"

/* It may have been kept for too long. */
static struct socket *find_place(const struct origin *o)
{
    bool packs = o->agent->policy->scheduling == SCHEDULING_LIFO;
    struct socket *s, *best = NULL;
    TAILQ_FOREACH (s, &o->roomy, link) {
        bool is_better = !best || (packs ? s->in_use > best->in_use : s->in_use < best->in_use);
        if (is_better && socket_room(s) > 0) /* it may have grown too old meanwhile */
            best = s;
    }
    if (best)
        return best;
    s = packs ? TAILQ_FIRST(&o->free) : TAILQ_LAST(&o->free, socket_list);
    while (s && socket_room(s) == 0)
        s = packs ? TAILQ_NEXT(s, link) : TAILQ_PREV(s, socket_list, link);
    return s;
}

struct socket *queue_find_place(struct origin *o)
{
    struct socket *s;
    do
        s = find_place(o);
    while (s && s->state == SOCKET_FREE && idle_retire_overdue(s));
    return s;
}

/* Blocked, and it is next. A place that is there goes to whoever waits for a connection, if anybody does, and that one's to
 * this one. */
static bool serve(struct waiter *p)
{
    struct origin *o = p->origin;
    struct socket *s = queue_find_place(o);
    if (s) {
        if (!TAILQ_EMPTY(&o->waiting))
            queue_promote(p);
        queue_give(TAILQ_EMPTY(&o->waiting) ? p : TAILQ_FIRST(&o->waiting), s);
        return true;
    }
    if (!queue_may_connect(o) || !queue_make_room(o))
        return false;
    if (!socket_connect(o, NULL, OPENED_FOR_CONCURRENCY)) {
        queue_fail(queue_oldest(o), CONNECT_NO_RESOURCES, "out of memory for another connection");
        return true;
    }
    queue_promote(p);
    queue_balance(o);
    return true;
}

static bool can_serve(const struct origin *o)
{
    return origin_may_begin(o) &&
           (find_place(o) || (queue_may_connect(o) && agent_could_make_room(o->agent, o)));
}

/* The origin whose oldest blocked request is the oldest of those that can be served at all. */
static struct origin *oldest_to_serve(const struct agent *a)
{
    struct origin *best = NULL, *o;
    uint64_t since = UINT64_MAX;
    TAILQ_FOREACH (o, &a->blocked, blocked_link) {
        const struct waiter *p = TAILQ_FIRST(&o->blocked);
        if (can_serve(o) && p->since_us < since) {
            since = p->since_us;
            best = o;
        }
    }
    return best;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Whether maxTotalSockets keeps blocked requests from the connections that maxSockets of their origins would let them have. */
static bool total_holds(const struct agent *a)
{
    const struct origin *o;
    uint64_t wanted = a->total;
    TAILQ_FOREACH (o, &a->blocked, blocked_link)
        if (origin_below_max(o))
            wanted += smaller(o->blocked_count, a->policy->maxSockets - origin_sockets(o));
    return wanted > a->policy->maxTotalSockets;
}

/* NULL: none of the blocked ones can be served. */
static struct waiter *next_to_serve(const struct agent *a)
{
    if (turns_are_taken(a) && total_holds(a))
        return turns_next_of_agent(a, can_serve, NULL, 0);
    struct origin *o = oldest_to_serve(a);
    return o ? turns_next(o) : NULL;
}

void queue_serve(struct agent *a)
{
    struct waiter *p;
    while (!a->paused && (p = next_to_serve(a)))
        if (!serve(p))
            break;
}
