#ifndef CARPOOL_POOL_HTTP2_H
#define CARPOOL_POOL_HTTP2_H

/* A socket's connection that speaks HTTP/2. Until the origin's SETTINGS have come it is CONNECTING still,
 * within timeouts.connect: only they say how many exchanges it carries. What its wire reports later becomes
 * room, a drain, an end. */

#include "pool/socket.h"
#include "wire/wire.h"

/* The connection is established and watched. False when memory is short. */
bool http2_greet(struct socket *s);

/* CONNECTING, and timeouts.connect is over. */
void http2_on_timeout(struct socket *s);

/* A reload. */
void http2_options_changed(struct socket *s);

/* Before an exchange begins in the place that it was given: false where its connection has found since that
 * it takes no more (a lower limit, a GOAWAY, silence), of which the pool hears at the end of the turn only.
 * The place is taken back then, and the socket may be gone. */
bool http2_takes_exchange(struct socket *s);

/* Of an origin's sockets that speak HTTP/2. */
struct http2_figures {
    uint32_t streams;     /* exchanges in flight */
    uint32_t max_streams; /* at a time, of those that take new ones */
    uint32_t draining;    /* sockets that take no new ones, and carry some */
    uint32_t active;      /* sockets that take new ones, and carry some */
};
void http2_figures_add(struct http2_figures *f, const struct origin *o);

/* How many exchanges one of them carries at a time, by the origin's last word and the configuration; 0: none
 * of them is open. */
uint32_t http2_streams_each(const struct origin *o);

/* The wire's owner is notified (wire/wire.h). */
void http2_on_room(struct wire *w);
void http2_on_draining(struct wire *w, enum retire_reason reason);
void http2_on_closed(struct wire *w, enum retire_reason reason);
void http2_on_note(struct wire *w, enum wire_note what, uint64_t value);

#endif
