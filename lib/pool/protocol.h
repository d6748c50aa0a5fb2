#ifndef CARPOOL_POOL_PROTOCOL_H
#define CARPOOL_POOL_PROTOCOL_H

/* What an origin speaks, as far as its connections have shown, and so how many exchanges the next one is
 * expected to carry.
 *
 * While that is not known and it may be HTTP/2, one connection is opened however many requests wait, and a
 * second one after 300 ms. When it turns out to be HTTP/1.1, the others are opened at that instant
 * (queue_connect_more()).
 *
 * An origin may let no request begin on a connection (SETTINGS_MAX_CONCURRENT_STREAMS 0). When requests have
 * waited for that for a second, another one is tried, which may lead to a server that does. */

#include <stdbool.h>
#include <stdint.h>

#include "pool/socket.h"

struct origin;

/* What new connections are offered. */
enum protocol_offer {
    OFFER_HTTP1,
    OFFER_BOTH,  /* by ALPN */
    OFFER_HTTP2, /* by prior knowledge */
};

/* The configuration says so now; what was learned by another offer is forgotten. */
void protocol_offer(struct origin *o, enum protocol_offer offer);

/* Whether the configuration lets this origin speak HTTP/2. */
bool protocol_may_be_http2(const struct origin *o);

/* The origin said HTTP_1_1_REQUIRED (RFC 9113 7): for ten minutes it is offered nothing else, and its
 * connections of HTTP/2 take no more requests; those that are being opened are given up. Not from within a
 * call of the pool's. */
void protocol_require_http1(struct origin *o);

/* Used within the pool. */

/* What the configuration offers now, or what the origin required. */
void protocol_update(struct origin *o);

void protocol_init(struct origin *o);
void protocol_release(struct origin *o);

/* A connection speaks this, and lets so many exchanges run at a time. */
void protocol_learn(struct origin *o, enum protocol protocol, uint32_t capacity);

/* A request waits for a limit. */
void protocol_note_blocked(struct origin *o);

/* A connection is being opened. */
void protocol_note_connecting(struct origin *o);

#endif
