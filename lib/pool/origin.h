#ifndef CARPOOL_POOL_ORIGIN_H
#define CARPOOL_POOL_ORIGIN_H

/* One key (scheme, host, port under an agent's policy) with its sockets and the requests that wait for one.
 *
 * Lists, who enters, who leaves:
 *   connecting  socket_connect()                    established, failed, cancelled
 *   active      given to a request                  released, retired
 *   free        released, or established unwanted   acquired, idle too long, closed by the peer, evicted
 *   waiting     the k oldest requests, k = sockets connecting for anybody: they wait for a handshake, not for a limit
 *   blocked     the other waiting requests: a limit or a pause holds them; Node's `requests`
 * All requests of `waiting` are older than all of `blocked`; whichever socket is ready first serves the oldest. */

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "pool/forget.h"
#include "pool/socket.h"

struct agent;

TAILQ_HEAD(socket_list, socket);
TAILQ_HEAD(waiter_list, waiter);

enum waiter_state {
    WAITER_IDLE, /* on no list */
    WAITER_BLOCKED,
    WAITER_WAITING, /* a connection that is being opened will serve it, or a socket that is released before */
    WAITER_OWNER,   /* waits for a connection of its own */
    WAITER_SETTLED, /* has its socket or its error and will be told at the end of the turn */
};

enum acquire_how {
    ACQUIRE_NEW,            /* a request's first attempt: joins the end of the queue */
    ACQUIRE_AGAIN,          /* a repeat: joins at its head */
    ACQUIRE_OWN_CONNECTION, /* the last repeat: takes the place that its failed socket left, with a new connection */
};

/* A place in the queue. Embedded in whoever waits; zeroed at first. */
struct waiter {
    enum waiter_state state;
    TAILQ_ENTRY(waiter) link;
    struct origin *origin;
    enum acquire_how how;
    uint64_t since_us;         /* joined the queue */
    uint64_t blocked_since_us; /* BLOCKED */
    uint64_t pending_us;       /* of this request in BLOCKED, repeats included; 0 before the first acquire */
    struct socket *socket;     /* SETTLED: the one it was given, or NULL; OWNER: the one being opened */
    bool bound; /* BLOCKED: its client has a socket of its own, and it waits for a resume only */
    enum connect_error error; /* SETTLED without a socket; CONNECT_OK: it was bound and may ask again */
    char error_text[256];
    void (*settled)(struct waiter *p); /* p is IDLE again when this is called */
    /* The connection that it waited for is gone: a limit or a pause holds it now. Called from within other calls, so it
     * may not call the pool. NULL: it does not matter. */
    void (*blocked)(struct waiter *p);
};

struct origin {
    UT_hash_handle hh; /* in agent->origins by key */
    struct agent *agent;
    char *key;  /* "http://host:port" */
    char *host; /* of the connect plan */
    /* What Host says: the port only where it is not the scheme's default (RFC 9110 7.2) */
    struct slice authority;
    bool exact; /* the upstream names this very host and port: a metric label of its own, never forgotten */
    bool warm;  /* minFreeSockets are kept from the start and for good */
    bool moved; /* since a reload it lives in another pool of the workers: what is left here ends */
    struct connect_plan plan;
    struct connect_memory memory;
    struct tls_sessions *sessions;
    uint32_t generation; /* sockets of an older one are retired when they come back */
    /* Who points here without a socket or a place in the queue: it is not forgotten meanwhile */
    uint32_t users;

    struct socket_list connecting, active, free;
    uint32_t connecting_count, active_count, free_count;
    uint32_t owned_count; /* of the connecting ones, those with an owner */
    struct waiter_list waiting, blocked;
    uint32_t waiting_count, blocked_count;
    TAILQ_ENTRY(origin) blocked_link; /* on agent->blocked while blocked_count > 0 */

    enum origin_keeping keeping; /* forget.h */
    TAILQ_ENTRY(origin) empty_link;
    uint64_t empty_since_ms;

    uint64_t last_request_ms;
    uint64_t spare_not_before_ms; /* back-off of minFreeSockets after a failed connect */
    uint32_t spare_failures;
    char *connect_failure; /* what the last failed connect said; NULL: none failed yet */
    struct origin_stats stats;
};

enum acquire_result {
    ACQUIRED,           /* p->socket is the caller's, active */
    ACQUIRE_WAITS,      /* p->settled() comes later, never from within this call */
    ACQUIRE_QUEUE_FULL, /* maxPendingRequests */
    ACQUIRE_NO_MEMORY,
};

/* Asks for a socket. Counts the request when `how` is ACQUIRE_NEW. */
enum acquire_result origin_acquire(struct origin *o, struct waiter *p, enum acquire_how how);

/* The same for a request whose client has a socket of its own: it takes no place, and nothing but a pause holds it. When
 * that is over it is settled without a socket and without an error: `own` may have been retired meanwhile, so it asks
 * again. */
enum acquire_result origin_acquire_own(struct origin *o, struct waiter *p, enum acquire_how how,
                                       struct socket *own);

/* How long the request that has waited longest for a limit has done so; 0: none waits. */
uint64_t origin_oldest_pending_us(const struct origin *o);

/* Leaves the queue, or gives back what was settled and not yet told. Allowed in any state. */
void waiter_cancel(struct waiter *p);

/* All sockets of the origin. */
static inline uint32_t origin_sockets(const struct origin *o)
{
    return o->connecting_count + o->active_count + o->free_count;
}

/* For whoever keeps a pointer: an origin may be forgotten behind its last socket and its last user. */
void origin_hold(struct origin *o);
void origin_let_go(struct origin *o);

/* No socket, nobody waiting, no user. */
bool origin_is_empty(const struct origin *o);

/* Retires free sockets now, active and connecting ones when they finish; what waits gets new ones. */
void origin_drain(struct origin *o, enum retire_reason reason);

/* Below its own maxSockets. */
bool origin_below_max(const struct origin *o);

/* Used within the pool. */
void origin_resume(struct origin *o);                 /* behind a pause: settles the bound ones */
struct waiter *origin_oldest(const struct origin *o); /* whom the next ready socket serves, or NULL */
void origin_give(struct waiter *p, struct socket *s); /* s is active; p leaves its list and is told later */
void origin_fail(struct waiter *p, enum connect_error error, const char *text);
void origin_connect_failed(struct origin *o,
                           const struct connect_result *r); /* the oldest waiting one gets the error */
void origin_remember_failure(struct origin *o, const char *text);
void origin_balance(struct origin *o);      /* restores waiting_count = sockets connecting for anybody */
bool origin_serve_oldest(struct origin *o); /* a free socket or a new connection for the oldest blocked one */
void origin_keep_warm(struct origin *o);    /* minFreeSockets */

#endif
