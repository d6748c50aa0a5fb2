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

/* Opens and listens: TCP with SO_REUSEADDR; a unix path with `mode`, where a dead socket file is replaced and
 * a live one is an error. -1 with a sentence in `error`. */
int listener_bind(const struct address *a, unsigned mode, char *error, size_t error_size);

/* The same for several loops, a descriptor each: TCP connections are spread over them by the kernel (SO_REUSEPORT),
 * those of a unix path go to whoever is first. As with one, an address where somebody listens is an error. */
bool listener_bind_all(const struct address *a, unsigned mode, int *fds, unsigned count, char *error,
                       size_t error_size);

/* Watches a listening descriptor (from listener_bind or from systemd) and takes it over. Connections come in
 * batches of at most 64 a turn. When descriptors run short it pauses for 100 ms instead of spinning, after
 * closing what its reserve descriptor let it take. */
struct listener *listener_new(struct event_base *base, int fd, listener_accept *accepted, void *ctx);

/* What a connection is told that is taken only to be turned away, because descriptors run short. Empty at
 * first. The bytes must stay as long as the listener. */
void listener_set_refusal(struct listener *l, struct slice text);

/* Asked when descriptors run short, before anybody is turned away. */
void listener_set_relief(struct listener *l, enum relief (*relieve)(void *ctx), void *ctx);

/* Connections wait in the kernel's queue in between. Both may be called from `accepted`. */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);

/* The address it is bound to. */
const struct address *listener_address(const struct listener *l);
int listener_fd(const struct listener *l);

/* Closes. A unix path is removed when `unlink_path`, unless another socket has taken its place. May be called
 * from `accepted`. */
void listener_free(struct listener *l, bool unlink_path);

#endif
