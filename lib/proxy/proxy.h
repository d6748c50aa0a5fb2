#ifndef CARPOOL_PROXY_PROXY_H
#define CARPOOL_PROXY_PROXY_H

/* The data path of one event loop: its clients, their exchanges, and the memory that both borrow. */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/deadline.h"
#include "base/freelist.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/memory_trim.h"
#include "config/config.h"
#include "http/head.h"
#include "io/pipe.h"
#include "pool/pool.h"
#include "proxy/caller.h"
#include "proxy/record.h"
#include "proxy/reply.h"
#include "proxy/stats.h"

struct client;
struct exchange;
struct transfer;
struct tunnel;
struct inside;

TAILQ_HEAD(client_list, client);
TAILQ_HEAD(tunnel_list, tunnel);
TAILQ_HEAD(inside_list, inside);

/* A way in: one listening socket. Counted, since clients outlive the listener that took them. */
struct frontend {
    int refs;               /* atomic: a client may go to another loop */
    char *upstream;         /* NULL: an ordinary proxy; otherwise the gateway of this upstream */
    struct address address; /* where it listens */
    char *text;             /* the same for people */
};

struct frontend *frontend_new(const char *upstream, const struct address *address);
struct frontend *frontend_ref(struct frontend *f);
void frontend_unref(struct frontend *f);

/* What the proxies of several loops have in common. */
struct proxy_shared {
    unsigned count;
    struct proxy **members; /* by the index of their pools */
    uint32_t clients;       /* atomic: connections open in all of them, but for those: */
    uint32_t turned_away;   /* atomic: beyond server.maxConnections, and not closed yet */
};

/* Why a pump failed, and what that does to the socket. */
struct failure {
    enum fault fault;
    enum retire_reason reason;
    char text[512];
};

struct proxy {
    struct proxy_shared *shared; /* `alone`, or the daemon's */
    struct proxy_shared alone;
    struct mailbox *mailbox; /* of its loop; NULL: alone */
    /* Clients that go to other loops at the end of the turn, a list for each */
    struct loop_message_list *outgoing;
    bool has_outgoing;
    struct event_base *base;
    struct config *config; /* counted */
    struct pool *pool;
    struct buffer_pool *heads, *bodies; /* the pool's: wires borrow from them, too */
    struct pipe_pool pipes;
    struct head request_head, response_head; /* scratch: good until the next one is read */
    struct slice instance;                   /* this Carpool's own name, in Via and Proxy-Status */
    struct address *own;                     /* addresses of all listeners, for loops; the daemon's */
    unsigned own_count;
    struct proxy_stats stats;
    struct callers callers;
    struct memory_trim memory; /* by all loops' clients */
    struct client_list clients;
    /* Running an exchange, and to be watched or looked at if it lasts; oldest first */
    struct client_list lasting;
    struct client_list dead_clients;
    struct exchange *dead_exchanges; /* those that run: client.exchange */
    struct freelist spare_clients, spare_exchanges, spare_transfers;
    struct tunnel_list tunnels, dead_tunnels;
    uint32_t client_count; /* structs, spare ones included: each may have a deadline */
    struct deadlines client_deadlines;
    struct timer watch;        /* for the oldest of `lasting` */
    struct inside_list hellos; /* clients whose handshake may begin in another turn, oldest first */
    struct event hello_turn;
    unsigned handshakes_begun;  /* in this turn */
    struct failure failure;     /* scratch: of the pump that said PUMP_FAILED last */
    uint64_t stopping_since_ms; /* clock_ms(); 0: it is not stopping */
    void (*record)(void *ctx, const struct exchange_record *r); /* NULL: not wanted */
    void *record_ctx;
};

/* The loop, the pool, the name and `own` must outlive it. NULL when memory is short. */
struct proxy *proxy_new(struct event_base *base, struct pool *pool, struct config *config,
                        struct slice instance);

/* Makes one of several: from now on it takes only requests of origins that live in its pool, and hands the
 * others over. `mailbox` is that of its loop; both must outlive it. False when memory is short. Called
 * once. */
bool proxy_join(struct proxy *p, struct proxy_shared *shared, struct mailbox *mailbox);

/* What is open, runs or waits goes by the new policy from now on; its pool's comes before. */
void proxy_configure(struct proxy *p, struct config *config);

/* Takes a connection over. */
void proxy_accept(struct proxy *p, struct frontend *f, int fd, const struct address *peer);

/* Buries the dead. Called by the loop at the end of a turn, after pool_end_turn(). */
void proxy_end_turn(struct proxy *p);

/* Graceful: idle clients are closed, running exchanges say Connection: close, idle tunnels are cut. */
void proxy_stop(struct proxy *p);

/* Nothing runs any more. */
bool proxy_is_idle(const struct proxy *p);

/* Cuts what is left. */
void proxy_cut(struct proxy *p);

void proxy_free(struct proxy *p);

/* pool's question before each connect: pass the proxy as its context. */
enum connect_error proxy_permit(void *proxy, const struct address *a, bool named);

#endif
