#ifndef CARPOOL_PROXY_REWRITE_H
#define CARPOOL_PROXY_REWRITE_H

/* Heads as they leave: hop-by-hop fields are left out, framing is written anew, Via is appended (RFC 9110
 * 7.6), and so is a Date that is missing (6.6.1). */

#include <stdbool.h>

#include "base/buffer.h"
#include "http/framing.h"
#include "http/head.h"
#include "proxy/own_urls.h"

struct outgoing_request {
    struct slice path; /* path and query; "" or "?..." gets a slash, OPTIONS without either becomes "*" */
    struct slice authority; /* of Host */
    struct slice via_name;  /* empty: no Via is added */
    struct framing framing;
    bool upgrade; /* Upgrade goes along */
};

/* Writes the head up to, but without, its Connection field and empty line: see connection_lines()
 * (wire/h1.h). The buffer is empty and is replaced by a larger one when it must be; false when memory is
 * short. */
bool rewrite_request(struct buffer **out, const struct head *h, const struct outgoing_request *o);

struct outgoing_response {
    struct slice via_name;
    bool from_http2;
    struct framing framing;      /* as received */
    bool chunked;                /* sent on in chunks of our own */
    bool bodiless;               /* the answer to HEAD, 204, 304: a length is passed on, no content follows */
    bool interim;                /* 1xx: no framing, no Connection */
    bool upgrade;                /* 101 */
    bool close;                  /* says Connection: close */
    unsigned keep_alive_seconds; /* advertised; 0: not */
    struct slice date;           /* for a final response that has none; empty: it stays without */
    struct own_origin own;
    struct slice server_timing; /* a line to be added; empty: none */
};

/* Writes the whole head. */
bool rewrite_response(struct buffer **out, const struct head *h, const struct outgoing_response *o);

#endif
