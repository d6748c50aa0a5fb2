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
    struct slice protocols; /* of its Upgrade field */
    bool answer_here;       /* Max-Forwards: 0 in TRACE or OPTIONS (RFC 9110 7.6.2) */
};

/* FAULT_NONE, or what to answer, with a sentence in `text`. */
enum fault route_find(struct proxy *p, const struct frontend *frontend, const struct head *h,
                      struct route *out, char *text, size_t text_size);

#endif
