/* Who of an agent's blocked requests is served next, and by what. */

#include "base/minmax.h"
#include "pool/idle.h"
#include "pool/pool.h"
#include "pool/turns.h"

static struct socket *free_of(const struct origin *o, enum protocol protocol)
{
    struct socket *s;
    TAILQ_FOREACH (s, &o->free, link)
        if (s->protocol == protocol && (protocol == PROTOCOL_HTTP2 || socket_room(s) > 0))
            break;
    return s;
}

/* Of those that carry some, the fullest or the emptiest with room. */
static struct socket *roomy_of(const struct origin *o, bool fullest)
{
    struct socket *s, *best = NULL;
    TAILQ_FOREACH (s, &o->roomy, link) {
        bool is_better = !best || (fullest ? s->in_use > best->in_use : s->in_use < best->in_use);
        if (is_better && socket_room(s) > 0) /* it may have grown too old meanwhile */
            best = s;
    }
    return best;
}

/* Of those that carry none, the one that was used last or first. */
static struct socket *empty_of(const struct origin *o, bool last_used)
{
    struct socket *s = last_used ? TAILQ_FIRST(&o->free) : TAILQ_LAST(&o->free, socket_list);
    while (s && socket_room(s) == 0)
        s = last_used ? TAILQ_NEXT(s, link) : TAILQ_PREV(s, socket_list, link);
    return s;
}

/* It may have been kept for too long. */
static struct socket *find_place(const struct origin *o, const struct waiter *p)
{
    bool packs = o->agent->policy->scheduling == SCHEDULING_LIFO;
    if (!waiter_takes_http2(p))
        return free_of(o, PROTOCOL_HTTP1);
    struct socket *s = packs ? roomy_of(o, true) : empty_of(o, false);
    if (s)
        return s;
    return packs ? empty_of(o, true) : roomy_of(o, false);
}

struct socket *queue_find_place(struct origin *o, const struct waiter *p)
{
    struct socket *s;
    origin_drain_old(o);
    do
        s = find_place(o, p);
    while (s && s->state == SOCKET_FREE && idle_retire_overdue(s));
    return s;
}

bool queue_could_connect_http1(const struct origin *o)
{
    return o->in_flight + o->waiting_count < o->agent->policy->maxSockets &&
           (free_of(o, PROTOCOL_HTTP2) || (origin_below_max(o) && agent_could_make_room(o->agent, o)));
}

bool queue_connect_http1(struct waiter *p)
{
    struct origin *o = p->origin;
    if (!origin_below_max(o) || !agent_make_room(o->agent, o))
        socket_retire(free_of(o, PROTOCOL_HTTP2), RETIRE_EVICTED);
    struct socket *s = socket_connect(o, p, OPENED_FOR_CONCURRENCY);
    if (s)
        queue_own(p, s);
    return s != NULL;
}

static bool serve_http1(struct waiter *p)
{
    struct socket *s = queue_find_place(p->origin, p);
    if (s) {
        queue_give(p, s);
        return true;
    }
    if (!queue_could_connect_http1(p->origin))
        return false;
    if (!queue_connect_http1(p))
        queue_fail(p, CONNECT_NO_RESOURCES, "out of memory for another connection");
    return true;
}

/* Blocked, and it is next. A place that is there goes to the first that waits for a connection, if one does,
 * and this one then waits for that connection. */
static bool serve(struct waiter *p)
{
    struct origin *o = p->origin;
    if (!waiter_takes_http2(p))
        return serve_http1(p);
    struct socket *s = queue_find_place(o, p);
    if (s) {
        if (!TAILQ_EMPTY(&o->waiting))
            queue_promote(p);
        queue_give(TAILQ_EMPTY(&o->waiting) ? p : TAILQ_FIRST(&o->waiting), s);
        return true;
    }
    if (!queue_may_connect(o) || !queue_make_room(o))
        return false;
    if (!socket_connect(o, NULL, OPENED_FOR_CONCURRENCY)) {
        queue_fail(p, CONNECT_NO_RESOURCES, "out of memory for another connection");
        return true;
    }
    queue_promote(p);
    queue_balance(o);
    return true;
}

static bool can_serve(const struct origin *o)
{
    const struct waiter *p = turns_next(o);
    if (!origin_may_begin(o))
        return false;
    if (!waiter_takes_http2(p))
        return find_place(o, p) || queue_could_connect_http1(o);
    return find_place(o, p) || (queue_may_connect(o) && agent_could_make_room(o->agent, o));
}

/* The origin whose oldest blocked request is the oldest of those that can be served at all. */
static struct origin *oldest_to_serve(const struct agent *a)
{
    struct origin *best = NULL, *o;
    uint64_t since = UINT64_MAX;
    TAILQ_FOREACH (o, &a->blocked, blocked_link) {
        const struct waiter *p = TAILQ_FIRST(&o->blocked);
        if (can_serve(o) && stopwatch_since_us(&p->waited) < since) {
            since = stopwatch_since_us(&p->waited);
            best = o;
        }
    }
    return best;
}

/* Whether maxTotalSockets keeps blocked requests from the connections that maxSockets of their origins would
 * let them have. */
static bool total_holds(const struct agent *a)
{
    const struct origin *o;
    uint64_t wanted = a->total;
    TAILQ_FOREACH (o, &a->blocked, blocked_link)
        if (origin_below_max(o))
            wanted += min32(o->blocked_count, a->policy->maxSockets - origin_sockets(o));
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
