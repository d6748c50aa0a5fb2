#ifndef CARPOOL_WIRE_H1_H
#define CARPOOL_WIRE_H1_H

/* HTTP/1.1 on a wire (RFC 9112): one call at a time. */

#include "wire/wire.h"

/* Makes a wire of one whose conn is open and watched. Nothing can fail: memory is taken when a call is
 * opened. */
void h1_begin(struct wire *w, struct wire_loop *loop, const struct wire_owner *owner);

/* For wire_loop_init(). */
void h1_init_turns(struct wire_loop *loop);

/* Frees what the loop kept for further calls. */
void h1_destroy_freelist(struct wire_loop *loop);

/* What ends a request's head: "Connection: ...", the empty line (RFC 9110 7.6.1). */
struct slice connection_lines(bool close, bool upgrade, bool te_trailers);

#endif
