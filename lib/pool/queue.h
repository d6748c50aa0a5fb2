#ifndef CARPOOL_POOL_QUEUE_H
#define CARPOOL_POOL_QUEUE_H

/* Who waits for a socket of an origin, and who is served next: first come, first served, or caller by caller
 * in turn (turns.h). */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/stopwatch.h"
#include "io/connector.h"

struct agent;
struct origin;
struct socket;
struct turn_entry;

TAILQ_HEAD(waiter_list, waiter);

enum waiter_state {
    WAITER_IDLE, /* on no list */
    WAITER_BLOCKED,
    WAITER_WAITING, /* a connection that is being opened will serve it, or a socket that is released before */
    WAITER_OWNER,   /* waits for a connection of its own */
    WAITER_SETTLED, /* has its socket or its error and is notified at the end of the turn */
} __attribute__((packed));

enum acquire_how {
    ACQUIRE_NEW,            /* a request's first attempt: joins the end of the queue */
    ACQUIRE_AGAIN,          /* a repeat: joins at its head, where those that asked first are first again */
    ACQUIRE_OWN_CONNECTION, /* the last repeat: a new connection takes the place of the socket that failed */
} __attribute__((packed));

/* Embedded in what waits; zeroed at first. */
struct waiter {
    TAILQ_ENTRY(waiter) link;
    struct origin *origin; /* the caller's, set before it asks */
    union {
        struct turn_entry *entry; /* BLOCKED, queue: fair: its place among its caller's (turns.h) */
        uint64_t promoted;        /* WAITING: when its turn came, by the pool's count; 0: it had no turn */
        char *error_text;         /* SETTLED without a socket: see waiter_error() */
    };
    /* SETTLED: the one on which it has a place, or NULL; OWNER: the one being opened */
    struct socket *socket;
    uint64_t nth;             /* its place in the order in which the pool's requests first asked */
    struct stopwatch waited;  /* runs from ACQUIRE_WAITS until settled(), in each attempt of this request */
    struct stopwatch pending; /* runs while it is BLOCKED */
    enum waiter_state state;
    /* NEW at first. The caller may set it to OWN_CONNECTION before it asks again; else it is AGAIN from when
     * the request has waited, or had no need to */
    enum acquire_how how;
    enum connect_error error; /* SETTLED without a socket; CONNECT_OK: it was bound and may ask again */
    bool http1_only;          /* the caller's: a connection of HTTP/2 is no use to it */
    bool bound; /* BLOCKED: its client has a socket of its own, and it waits for a resume only */
    /* SETTLED without a socket: another caller took its place in a full queue; waiter_error() says so */
    bool displaced;
    uint8_t uncounted; /* BLOCKED: what holds it, not counted yet: 1 + an enum held_by; 0: none */
};

/* What the pool tells those whose waiters they are, and asks them; the same for all waiters of a pool. */
struct waiter_owner {
    /* It has a place on p->socket, or an error. p is IDLE again. */
    void (*settled)(struct waiter *p);
    /* The connection that it waited for is gone: a limit or a pause holds it now. Called from within other
     * calls, so it may not call the pool. NULL: it does not matter. */
    void (*blocked)(struct waiter *p);
    /* Whose request it is, for queue: fair; only compared. NULL: one that is not known. */
    const void *(*caller)(const struct waiter *p);
};

/* Why it was settled without a socket: good until settled() returns. */
static inline const char *waiter_error(const struct waiter *p)
{
    return p->error_text ? p->error_text : "out of memory";
}

/* Whose request it is: waiter_owner.caller. */
const void *waiter_caller(const struct waiter *p);

enum acquire_result {
    ACQUIRED,           /* a place on p->socket is the caller's (place.h) */
    ACQUIRE_WAITS,      /* settled() comes later, never from within this call */
    ACQUIRE_QUEUE_FULL, /* maxPendingRequests */
    ACQUIRE_NO_MEMORY,
};

/* Asks its origin for a place. Counts the request when p->how is ACQUIRE_NEW. */
enum acquire_result origin_acquire(struct waiter *p);

/* The same for a request whose client has a socket of its own: it takes no place, and nothing but a pause
 * holds it. When that is over it is settled without a socket and without an error: `own` may have been
 * retired meanwhile, so it asks again. */
enum acquire_result origin_acquire_own(struct waiter *p, struct socket *own);

/* What keeps requests of the origin from a place, where one does. */
enum held_by queue_held_by(const struct origin *o);

/* How long the request that has waited longest for a limit has done so; 0: none waits. */
uint64_t origin_oldest_pending_us(const struct origin *o);

/* Leaves the queue, or gives back what it was not yet notified of. Allowed in any state. */
void waiter_cancel(struct waiter *p);

/* Used within the pool. */

/* The order of the queue: repeats, then new requests, each as they first asked. */
bool waiter_is_before(const struct waiter *p, const struct waiter *q);

/* Whom the next ready socket of the origin serves; NULL: none waits. */
struct waiter *queue_oldest(const struct origin *o);

/* HTTP/2 would serve it, too. */
bool waiter_takes_http2(const struct waiter *p);

/* queue: fair, where maxTotalSockets holds: whom a place on a socket of `o` that came free serves, or for
 * whom that socket must be closed, since it waits at another origin. NULL: none waits, or turns are not
 * taken. */
struct waiter *queue_next_in_turn(const struct origin *o, uint64_t fairness_us);

/* The oldest blocked request of an origin other than `but` that is below its own maxSockets; NULL: none. */
struct waiter *queue_oldest_elsewhere(const struct agent *a, const struct origin *but);

/* The waiter leaves its list and is notified later, with a place on a socket that has room or with an
 * error. */
void queue_give(struct waiter *p, struct socket *s);
void queue_fail(struct waiter *p, enum connect_error error, const char *text);

/* The same for all of an origin that are next and could be served by HTTP/2. */
void queue_fail_all(struct origin *o, enum connect_error error, const char *text);

/* The waiter gives up the place or error that it was given, and waits again, as repeats do. queue_balance()
 * is due. */
void queue_again(struct waiter *p);

/* Those who were given a place on the socket and are not notified yet wait again, as repeats do: at most so
 * many, those who were given one last. queue_balance() is due. */
void queue_take_back(struct socket *s, uint32_t most);

/* A connection that was anybody's failed. Where it was to carry one exchange, the oldest that waits gets the
 * error; where more, all whom no other connection will carry. */
void queue_connect_failed(struct origin *o, const struct connect_result *r, uint32_t stood_for);

/* How many of those who wait will have a place when what is being opened is there, as far as maxSockets
 * allows. */
uint32_t queue_places_to_come(const struct origin *o);

/* Restores waiting_count = queue_places_to_come(), as far as there are requests. */
void queue_balance(struct origin *o);

/* Opens the connections that are missing when those that are being opened carry less than was expected, and
 * another one, which is about to be handed on, has so much room. */
void queue_connect_more(struct origin *o, uint32_t room);

/* Another connection for another request: one that neither has a place nor will get one from those that are
 * being opened. A free socket on which there is none is one whose peer lets none begin for now (HTTP/2): the
 * next would say the same. */
bool queue_may_connect(const struct origin *o);

/* For it, under maxSockets and maxTotalSockets. */
bool queue_make_room(struct origin *o);

/* A blocked one, for which a connection is being opened. queue_balance() is due. */
void queue_promote(struct waiter *p);

/* It waits for this connection, which no other may take. */
void queue_own(struct waiter *p, struct socket *s);

/* queue_serve.c */

/* The socket on which the next request begins, none that was kept for too long: `lifo` packs the fullest that
 * has room, and takes the free one that was used last, `fifo` the emptiest, and the one that has been free
 * for longest. NULL: none has room. */
struct socket *queue_find_place(struct origin *o, const struct waiter *p);

/* For a request that HTTP/2 is no use to: whether a connection of its own could be opened, where one of
 * HTTP/2 that carries nothing makes way for it; and opens it. False: memory is short. */
bool queue_could_connect_http1(const struct origin *o);
bool queue_connect_http1(struct waiter *p);

/* Gives free places and new connections to the blocked requests of all origins, oldest first, as far as
 * limits allow. */
void queue_serve(struct agent *a);

/* The policy's `queue` has changed; queue_balance() is due for all origins. */
void queue_reorder(struct agent *a);

/* A pause is over: settles the bound ones. */
void queue_resume(struct origin *o);

#endif
