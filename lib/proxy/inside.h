#ifndef CARPOOL_PROXY_INSIDE_H
#define CARPOOL_PROXY_INSIDE_H

/* What is inside a CONNECT whose first bytes decide: the client was told 200, and nothing is connected yet.
 * HTTP is served request by request, TLS is answered here where connectTls may sign for the host, and
 * anything else becomes a tunnel where one is allowed.
 *
 *   ANSWERING --200 is out--> LISTENING --HTTP-----------------------> SERVING (the client's own states from here on)
 *                                 |  \--HELLO--> HANDSHAKE -----------^
 *                                 |
 *                                 +--anything else, or silence--> TUNNEL (an exchange, maybe in another loop)
 *
 * The client is in CLIENT_OPENING until SERVING or TUNNEL. */

#include "http/uri.h"
#include "proxy/client.h"
#include "proxy/route.h"

enum inside_state {
    INSIDE_ANSWERING,
    INSIDE_LISTENING,
    INSIDE_HELLO,  /* the rest of it is still to come */
    INSIDE_QUEUED, /* it is there; other handshakes come first */
    INSIDE_HANDSHAKE,
    INSIDE_OVER, /* no handshake came about */
    INSIDE_SERVING,
    INSIDE_TUNNEL,
};

struct inside {
    enum inside_state state;
    TAILQ_ENTRY(inside) queued; /* QUEUED */
    struct client *client;
    struct uri authority; /* that CONNECT named; the scheme is that of what came */
    bool may_tunnel;      /* by access.connectPorts when it came: silence may mean that */
    bool may_sign;        /* TLS is answered here */
    size_t answered;      /* ANSWERING: bytes of the 200 that are out */
    uint64_t began_us;
};

/* The head of such a CONNECT was read and found fine; it is not in c->in any more. */
void inside_begin(struct client *c, const struct route *route);

/* CLIENT_OPENING: its connection is ready, or its time is up. */
void inside_ready(struct client *c);
void inside_on_deadline(struct client *c);

/* OPENING: waits for what comes next, with its time limit; where the loop does not take the client, it is
 * closed. */
void inside_await(struct client *c);

/* Sets the timer for what the client is waited for. */
void inside_arm(struct client *c);

/* A client with INSIDE_TUNNEL has come to the loop in which its tunnel is to be opened. */
void inside_arrive(struct client *c);

/* From here on it is a client like any other: its requests are for the authority, with this scheme. */
void inside_serve(struct client *c, enum scheme scheme);

/* Its client is closed. */
void inside_end(struct client *c);

/* The authority that requests of this client are for; NULL: it is in no CONNECT. */
static inline const struct uri *inside_authority(const struct client *c)
{
    return c->inside ? &c->inside->authority : NULL;
}

#endif
