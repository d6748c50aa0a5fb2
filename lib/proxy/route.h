#ifndef CARPOOL_PROXY_ROUTE_H
#define CARPOOL_PROXY_ROUTE_H

/* Where a request wants to go, and whether it may: every check on a request's head beyond its syntax, in
 * order. */

#include "http/framing.h"
#include "http/head.h"
#include "http/uri.h"
#include "proxy/proxy.h"
#include "proxy/reply.h"

struct route {
    struct agent *agent;
    enum origin_kind kind;
    struct uri uri;         /* host, port, path */
    struct framing framing; /* of the request */
    bool upgrade;           /* a switch of protocols is asked for that is passed on */
    /* CONNECT: it is told 200, and what the client says then decides (inside.h); whether it may open a
     * tunnel */
    bool first_bytes_decide, may_tunnel;
    bool answer_here; /* Max-Forwards: 0 in TRACE or OPTIONS (RFC 9110 7.6.2) */
};

/* FAULT_NONE, or what to answer, with a sentence in `text`. `inside`: the only scheme, host and port that
 * requests inside this CONNECT may be for; NULL: the request is not inside a CONNECT. */
enum fault route_find(struct proxy *p, const struct frontend *frontend, const struct uri *inside,
                      const struct head *h, struct route *out, char *text, size_t text_size);

/* The same for a tunnel to where an earlier CONNECT led, when what is inside it turned out to need one: as
 * things are now, since a reload may have come in between. */
enum fault route_tunnel(struct proxy *p, const struct uri *to, struct route *out, char *text,
                        size_t text_size);

/* Whose a URL's host and port are now; in the pool of a loop. */
struct agent *route_agent(struct proxy *p, const struct uri *uri);
struct agent *route_agent_in(struct pool *pool, const struct config *config, const struct uri *uri);

#endif
