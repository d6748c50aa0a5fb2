#ifndef CARPOOL_POOL_ORIGIN_H
#define CARPOOL_POOL_ORIGIN_H

/* One key (scheme, host, port under an agent's policy) with its sockets and the requests that wait for one.
 *
 * Lists, who enters, who leaves:
 *   connecting  socket_connect()                     established, failed, cancelled
 *   active      carries exchanges, has no room       released, retired, drained; has room
 *   roomy       carries exchanges, has room (HTTP/2) has none; its last exchange ended
 *   free        carries none                         acquired, idle too long, closed by the peer, evicted
 *   draining    ends with its last exchange (HTTP/2) that ended
 *   sent_away   the same, at the origin's word: counts under no limit
 *   waiting     the oldest requests, as many as the connecting sockets are expected to carry: they wait for a handshake
 *   blocked     the other waiting requests: a limit or a pause holds them; Node's `requests`
 * All requests of `waiting` come before all of `blocked`, repeats before new ones, in the order in which they first asked;
 * whichever place is there first goes to the first of them. */

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "pool/demand.h"
#include "pool/forget.h"
#include "pool/learned.h"
#include "pool/ledger.h"
#include "pool/place.h"
#include "pool/protocol.h"
#include "pool/queue.h"
#include "pool/savings.h"
#include "pool/socket.h"
#include "pool/turns.h"

struct agent;

TAILQ_HEAD(socket_list, socket);

/* What of a URL makes the key, beside host and port. */
enum origin_kind { ORIGIN_HTTP, ORIGIN_HTTPS, ORIGIN_TUNNEL };

struct origin {
    UT_hash_handle hh; /* in agent->origins by key */
    struct agent *agent;
    enum origin_kind kind;
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

    struct socket_list connecting, active, roomy, free, draining, sent_away;
    uint32_t connecting_count, active_count, roomy_count, free_count, draining_count, sent_away_count;
    uint32_t aside_count;       /* of the free ones, those that are set aside */
    uint32_t owned_count;       /* of the connecting ones, those with an owner */
    uint32_t connecting_places; /* what the others are expected to carry */
    uint32_t in_flight;         /* places taken, on all sockets but those that were sent away */
    struct waiter_list waiting, blocked;
    uint32_t waiting_count, blocked_count;
    struct demand demand;             /* in_flight, waiting_count and blocked_count, summed */
    uint64_t settled_us;              /* up to when stats.used_us is known */
    TAILQ_ENTRY(origin) blocked_link; /* on agent->blocked while blocked_count > 0 */
    struct turn_list ring; /* queue: fair: callers that have blocked requests, the next one first */

    enum protocol_offer offer;
    uint64_t http1_until_ms;    /* it said that it requires HTTP/1.1; 0: it did not */
    enum protocol protocol;     /* of the last connection that was established */
    uint32_t http2_capacity;    /* of the last one that spoke HTTP/2 */
    uint32_t expected_capacity; /* of the next one */
    uint32_t stillborn;         /* HTTP/2: how many ended in a row before they let any exchange begin */
    struct timer second_probe;

    enum origin_keeping keeping; /* forget.h */
    TAILQ_ENTRY(origin) empty_link;
    uint64_t empty_since_ms;

    uint64_t created_ms, last_request_ms;
    TAILQ_ENTRY(origin) short_link; /* on agent->short_of_spares */
    bool may_be_short;
    uint64_t spare_not_before_ms;        /* back-off of minFreeSockets after a failed connect */
    uint32_t spare_failures, spare_ends; /* since one stood */
    char *connect_failure;               /* what the last failed connect said; NULL: none failed yet */
    uint64_t connect_failed_wall_ms;     /* when that was, */
    uint64_t opened_before_failure;      /* and how many connections had been opened by then */
    struct ledger ledger;
    struct learned learned;
    struct connect_times connect_times;
    struct origin_stats stats;
};

/* The origin of this agent for the host (lower case, no brackets) and port of a URL, made when it is new.
 * Where the upstream says `tls: true`, http becomes https and port 80 becomes 443. NULL: memory is short. */
struct origin *origin_find_or_make(struct agent *a, enum origin_kind kind, struct slice host, bool ipv6,
                                   uint16_t port);

/* The index of the pool in which that origin lives; any share may be asked. */
unsigned origin_worker(const struct agent *a, enum origin_kind kind, struct slice host, uint16_t port);

/* Its sockets that carry exchanges and are there for more. */
static inline uint32_t origin_used(const struct origin *o)
{
    return o->active_count + o->roomy_count;
}

/* All its sockets that count under a limit. */
static inline uint32_t origin_sockets(const struct origin *o)
{
    return o->connecting_count + origin_used(o) + o->free_count + o->draining_count;
}

/* How long its free sockets are kept, by what was learned of it; 0: that does not matter. */
uint64_t origin_learned_ms(const struct origin *o);

/* For one who keeps a pointer: an origin may be forgotten after its last socket and its last user. */
void origin_hold(struct origin *o);
void origin_let_go(struct origin *o);

/* No socket, no waiter, no user. */
bool origin_is_empty(const struct origin *o);

/* Retires free and idle private sockets now, active and connecting ones when they finish; what waits gets new
 * ones. */
void origin_drain(struct origin *o, enum retire_reason reason);

/* maxSockets bounds its sockets, and its exchanges in flight whatever they share. Another socket may be
 * opened; another exchange may begin. */
bool origin_below_max(const struct origin *o);
bool origin_may_begin(const struct origin *o);

/* Another socket may be opened, or could be where a free one that is set aside gave up its place. */
static inline bool origin_may_grow(const struct origin *o)
{
    return o->aside_count > 0 || origin_below_max(o);
}

/* Used within the pool. */

/* Where the upstream names one host in full and minFreeSockets are wanted, its origin is made at once. */
void origin_warm_up(struct agent *a);

/* What the present configuration says of how to connect, and of names. What is running keeps what it began
 * with. */
void origin_update_plan(struct origin *o);
void origin_update_names(struct origin *o);

/* What a connect failed with, for the diagnosis; without memory there is none. */
void origin_remember_failure(struct origin *o, const char *text);

/* Frees one that is empty; what it has counted is added to its agent's row "*". */
void origin_forget(struct origin *o);

#endif
