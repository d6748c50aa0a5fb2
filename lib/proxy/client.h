#ifndef CARPOOL_PROXY_CLIENT_H
#define CARPOOL_PROXY_CLIENT_H

/* One connection of an app. With several loops it is where its last request was served: a request that belongs
 * to another loop takes its client there (handover.h), between READING and EXCHANGE.
 *
 *            first byte            head complete
 *   IDLE ------------------> READING ----------> EXCHANGE ----+
 *    ^                          ^                 |  |        | last response, bytes still coming
 *    |  response complete       | more is there   |  |        | or no room for the end of TLS
 *    +--------------------------+-----------------+  |        v
 *                                      TUNNEL <------+     ENDING --FIN--> LINGERING
 *                                         | cuts, end v        |               |
 *                                         +-------> DEAD <-----+---------------+
 *
 * OPENING stands between a CONNECT whose first bytes decide and what comes of it (inside.h).                */

#include <stdbool.h>
#include <stdint.h>

#include "proxy/proxy.h"

/* At a stop, a client that was accepted a moment ago, whose head is half read, or whose CONNECT was answered,
 * has a request on the way: closing at once would lose it. */
#define CLIENT_GRACE_MS 500

enum client_state {
    CLIENT_IDLE,
    CLIENT_READING,
    CLIENT_MOVING,
    CLIENT_EXCHANGE,
    CLIENT_OPENING,
    CLIENT_TUNNEL,
    CLIENT_ENDING,
    CLIENT_LINGERING,
    CLIENT_DEAD
};

struct client {
    struct conn conn;
    struct proxy *proxy;
    struct frontend *frontend;
    TAILQ_ENTRY(client) link;
    union {
        TAILQ_ENTRY(client) lasting_link;
        struct loop_message message; /* MOVING */
    };
    uint64_t lasting_since_ms;
    struct deadline deadline;
    struct buffer *in; /* read and not used yet */
    /* Of the first byte of the request being read, or of the accept; IDLE, ENDING: of that */
    uint64_t since_ms;
    struct exchange *exchange; /* EXCHANGE */
    struct tunnel *tunnel;     /* TUNNEL */
    struct inside *inside;     /* NULL: it is in no CONNECT; owned */
    /* Bound to this client by NTLM or Negotiate, one an origin; a socket that ends leaves the list */
    struct socket *private_sockets;
    struct caller *caller;
    enum callers_by identified; /* how `caller` was found; CALLERS_OFF: it was not, and is to be if any are */
    enum client_state state;
    enum client_close ending; /* ENDING, LINGERING: why it is closed */
    uint32_t lingered;        /* ENDING, LINGERING: bytes thrown away */
    uint32_t requests;
    uint32_t scanned; /* of the head in `in` */
    uint8_t skipped;  /* bytes of empty lines before the request being read */
    bool on_lasting;  /* client_watch_later() */
    bool at_boundary; /* the next request begins where c->in does: the last one was taken to its end */
    bool gone;        /* reset, or a write failed */
    /* Its request by the loop from which it comes: not refused for a stop that began meanwhile */
    bool admitted;
    bool turned_away; /* beyond server.maxConnections: it takes no place of it */
    struct peer_address peer;
};

/* There may be tens of thousands that do nothing. Each costs malloc's 8 bytes and the loop's 48 besides. */
_Static_assert(sizeof(struct client) <= 376, "an idle client stays small");

/* Registers it with the loop, if it is not yet. False: the loop does not take it. */
bool client_watch(struct client *c);

/* The same, where a request has begun, of which `came` bytes have come: see ack_part(). */
bool client_watch_for_rest(struct client *c, uint64_t came);

/* The same, and the loop reports both directions once more, after what else is ready: for who stopped
 * early. */
bool client_yield(struct client *c);

/* The same, if its exchange lasts: see proxy.c. One that is registered already is looked at then: a reset may
 * have come with the last bytes of its request, in one event, and no other will report it. */
void client_watch_later(struct client *c);

/* It has lasted. */
void client_lasts(struct client *c);

/* What proxy->client_deadlines call. */
void client_on_deadline(struct deadline *d);

/* The list and the counters go with the state. */
void client_set_state(struct client *c, enum client_state state);

/* Begins to read a head, or goes on with it. */
void client_begin_reading(struct client *c);

/* Reads what is there into c->in. False: nothing, and the loop will report it, or the client is closed. */
bool client_read_some(struct client *c);

/* Bytes at the front of c->in were used; an empty buffer is given back. */
void client_consume(struct client *c, size_t n);

/* Its head took longer than server.headersTimeout, or a stop is under way: answers so and closes. */
void client_refuse_slow_head(struct client *c);

/* Reads and begins exchanges, one after the other, until one is running or nothing is there. */
void client_process(struct client *c);

/* The exchange has ended and the response was handed to the kernel whole: on to the next request, or the
 * end. `c->exchange` is gone. Where the next request would begin somewhere else than after the last one, it
 * is the end whatever `fate` says. */
void client_exchange_done(struct client *c, enum client_close fate);

/* Only for a head that has not come whole: most have, and no deadline is touched for them. The limit is never
 * stored as a time that is due: a reload may change it. */
void client_arm_for_head(struct client *c);

/* Closes at once; by a reset where the peer must not take what it has for a whole message. */
void client_close(struct client *c, enum client_close reason, bool reset);

/* Whether it is still idle, by a look of its own: what came in this very turn was announced by nothing yet,
 * and closing over a request that has come would lose it. That request has begun when this returns. */
bool client_is_idle(struct client *c);

/* Looks for bytes, an end or a reset after a request that was read whole. */
void client_look(struct client *c);

/* The limit of what is no exchange, counted from since_ms; 0: none. A stop allows it a moment. */
void client_arm(struct client *c, uint64_t limit);

static inline void client_set_deadline(struct client *c, uint64_t due)
{
    deadline_set_at(&c->proxy->client_deadlines, &c->deadline, due);
}

/* TCP keep-alive probes as server.keepAliveInitialDelay says now. */
void client_set_keepalive(struct client *c);

/* A reload changed the time limits: that of its state is counted from when that began. */
void client_limits_changed(struct client *c);

/* Ends the sockets that are kept for this client alone. */
void client_drop_private(struct client *c);

#endif
