#ifndef CARPOOL_POOL_SOCKET_H
#define CARPOOL_POOL_SOCKET_H

/* One connection from an agent to an origin.
 *
 *                 established, a request waits
 *   CONNECTING ------------------------------------> ACTIVE --+
 *       |   |                                         |   ^   | socket_release: handed to the
 *       |   | established, its waiter has left        |   |   | oldest waiting request
 *       |   +----------------> FREE -- acquired ------|---+<--+
 *       |                       | ^                   |
 *       |                       | +-- socket_release -+
 *       v                       v                     v
 *     DEAD <---- socket_retire (every way out has a reason)
 *
 *   ACTIVE <-- socket_take_private, socket_keep_private --> PRIVATE: bound to one user (NTLM), between two of its requests
 *
 * The state is the list it stands on; socket_move() alone changes both. */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/timer.h"
#include "io/conn.h"
#include "io/connector.h"
#include "pool/ledger.h"
#include "pool/reuse.h"
#include "pool/stats.h"
#include "wire/retire.h"

struct origin;
struct waiter;

/* PRIVATE ones stand on the origin's active list, and count as active. */
enum socket_state { SOCKET_CONNECTING, SOCKET_ACTIVE, SOCKET_PRIVATE, SOCKET_FREE, SOCKET_DEAD };

struct socket {
    struct conn conn; /* open from ACTIVE on */
    enum socket_state state;
    TAILQ_ENTRY(socket) link; /* on the origin's list of its state, or on the pool's graveyard */
    TAILQ_ENTRY(socket) lru;  /* FREE, PRIVATE: on the agent's list of these, least recently used first */
    struct origin *origin;
    struct connector *connector; /* CONNECTING */
    /* CONNECTING: what the connector reads; it holds `config` and the TLS context */
    struct connect_plan plan;
    struct config *config; /* what `plan` and `parent` point into, while they do */
    /* At its other end, which must be told each request's origin; NULL: the origin is there, or its tunnel. */
    const struct parent_proxy *parent;
    struct waiter *owner; /* CONNECTING: the last repeat of this request, which no other may take */
    /* Where its only user keeps it, since socket_keep_private(); NULL: any may use it */
    struct socket **keeper;
    /* FREE, PRIVATE: until the look behind the response, then until it is too old to be trusted */
    struct timer idle;
    enum opened_for opened_for; /* CONNECTING: WARM, RETRY or CONCURRENCY, so far */
    uint32_t generation;        /* the origin's when it was opened */
    uint32_t exchanges;         /* begun */
    uint64_t opened_ms, idle_since_ms;
    double age_spread;   /* the part of maxSocketAge that is taken off for this one */
    uint64_t connect_us; /* what the connect took */
    struct address peer;
    bool has_hint_timeout, has_hint_max;
    uint64_t hint_timeout_ms, hint_left;
};

/* The exchange that holds an active socket begins to use it: counts it as a first use or a reuse. */
void socket_begin_exchange(struct socket *s);

/* Asked before an exchange begins: it has idled, or carried another one, so its peer may have left meanwhile. */
static inline bool socket_may_be_stale(const struct socket *s)
{
    return s->exchanges > 0 || s->idle_since_ms > 0;
}

/* A drain, a reload or a move came since it was opened: no new request may use it. */
bool socket_is_outdated(const struct socket *s);

/* No exchange may follow the one that begins now: our request should say Connection: close. */
bool socket_is_on_its_last_exchange(const struct socket *s);

/* What an active socket would be refused for if its exchange ended so. */
enum retire_reason socket_refusal(struct socket *s, const struct call_end *end);

/* An active socket comes back at the end of its exchange. The checklist decides: it goes to the oldest
 * waiting request of its origin, becomes free, or is retired. The caller may not touch it afterwards. */
void socket_release(struct socket *s, const struct call_end *end);

/* The same for one that was given and never used: it goes on as if nothing had happened, unless something has. */
void socket_return_unused(struct socket *s);

/* An active one waits for the next request of its only user, who keeps it at `keeper`: watched and timed out as if it were
 * free. However it ends, *keeper becomes NULL. */
void socket_keep_private(struct socket *s, struct socket **keeper);

/* That request has come. */
void socket_take_private(struct socket *s);

/* It is nobody's any more: *keeper becomes NULL. Nothing where nobody keeps it. */
void socket_disown(struct socket *s);

/* For maxTotalSockets and descriptors: it has waited long enough that its user is hardly in the middle of logging in. */
bool socket_may_be_evicted(const struct socket *s);

/* Ends it, in whatever state, under a name: closed now, freed at the end of the loop turn. */
void socket_retire(struct socket *s, enum retire_reason reason);

/* A non-blocking look at a socket that is about to carry a request which could not be repeated:
 * RETIRE_NONE, or why it must not be used (an unread byte, an end of file, an error). */
enum retire_reason socket_probe(struct socket *s);

/* Used within the pool: opens a connection of the origin's, for `owner` alone when that is not NULL; NULL
 * when memory is short. */
struct socket *socket_connect(struct origin *o, struct waiter *owner, enum opened_for why);

/* Used within the pool: a reload changed the time limits, which are counted from when what they limit began. */
void socket_limits_changed(struct socket *s);

/* Used within the pool: one that waited for a request has got one. */
void socket_end_idle(struct socket *s);

/* Used within the pool: the only way to another state. */
void socket_move(struct socket *s, enum socket_state to);

#endif
