#ifndef CARPOOL_IO_LISTENER_H
#define CARPOOL_IO_LISTENER_H

/* A listening socket and the batches of connections it takes. */

#include <event2/event.h>
#include <stdbool.h>

#include "base/address.h"
#include "base/slice.h"
#include "io/relief.h"

struct listener;

/* Called for each connection; the descriptor is non-blocking, close-on-exec, and the callee's. */
typedef void listener_accept(void *ctx, int fd, const struct address *peer);

/* Takes connections from a listening descriptor, which stays the caller's and must outlive it, once
 * listener_begin() was called. They come in batches of at most 64 per turn. When descriptors run short it
 * pauses for 100 ms instead of spinning, after closing what its reserve descriptor let it take. NULL when
 * memory is short. */
struct listener *listener_new(struct event_base *base, int fd, listener_accept *accepted, void *ctx);

/* What a connection is answered that is taken only to be turned away, because descriptors run short. Empty at
 * first. The bytes must stay as long as the listener. */
void listener_set_refusal(struct listener *l, struct slice text);

/* Asked when descriptors run short, before anybody is turned away. */
void listener_set_relief(struct listener *l, enum relief (*relieve)(void *ctx), void *ctx);

/* Connections wait in the kernel's queue before. */
void listener_begin(struct listener *l);

/* Takes what waits in the kernel's queue, before the descriptor is closed. TCP clients that come later are
 * not lost: they meet who listens at the address a second later. Those of a unix listener are refused, and
 * never reset. */
void listener_drain(struct listener *l);

/* May be called from `accepted`. NULL is allowed. */
void listener_free(struct listener *l);

#endif
