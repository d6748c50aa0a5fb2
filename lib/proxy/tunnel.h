#ifndef CARPOOL_PROXY_TUNNEL_H
#define CARPOOL_PROXY_TUNNEL_H

/* What an exchange becomes after 101, or CONNECT's 2xx: bytes both ways until both ends have ended (RFC 9110
 * 7.8, 9.3.6). What one side has sent is delivered though the other side has gone; an end is passed on as an
 * end, a reset as a reset. It owns the socket, and lives no longer than the proxy. */

#include "io/uptake.h"
#include "proxy/exchange.h"
#include "proxy/flow.h"

#define TUNNEL_ESTABLISHED SLICE("HTTP/1.1 200 Connection established\r\n\r\n")

/* OPEN until neither flow moves any more. If one side is to be reset, then not before its kernel has sent
 * what was written: a reset throws that away. Meanwhile, CLOSING, the other side is closed already. */
enum tunnel_state { TUNNEL_OPEN, TUNNEL_CLOSING, TUNNEL_DEAD };

struct tunnel {
    TAILQ_ENTRY(tunnel) link;
    enum tunnel_state state;
    struct proxy *proxy;
    struct client *client; /* NULL: closed */
    struct socket *socket; /* NULL: closed */
    struct origin *origin;
    struct flow up, down;
    struct timer timer;
    uint64_t moved_ms; /* when a byte was last moved */
    struct uptake by_client, by_socket;
    uint64_t look_ms;              /* CLOSING: until the next look */
    size_t unsent;                 /* CLOSING: what the kernel had at the last one */
    struct exchange_record record; /* of its exchange, less what is known at the end only */
    uint64_t began_us;
    uint64_t response_us; /* until its exchange's response was whole: what it carried since is no response */
    struct peer_address peer;
    struct caller *caller; /* held: the record has its name */
    char text[];           /* the record's method and target */
};

/* The exchange hands over its client, its socket and what was read and not sent, and ends; it will be
 * recorded when the tunnel ends. Without memory for a tunnel the exchange fails. */
void tunnel_begin(struct exchange *e);

/* One of its connections is ready. */
void tunnel_go_on(struct tunnel *t);

/* Ends it now: by a reset of both sides unless it is idle, since what they have is not whole then. */
void tunnel_cut(struct tunnel *t, enum client_close reason);

/* All of a proxy's. A graceful stop has begun: each ends as soon as it is idle. */
void tunnels_stop(struct proxy *p);
void tunnels_cut(struct proxy *p, enum client_close reason);
/* timeouts.tunnel may have changed. */
void tunnels_arm(struct proxy *p);
/* Frees the dead, at the end of a turn. */
void tunnels_bury(struct proxy *p);

#endif
