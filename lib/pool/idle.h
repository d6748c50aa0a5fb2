#ifndef CARPOOL_POOL_IDLE_H
#define CARPOOL_POOL_IDLE_H

/* Sockets that carry nothing, FREE and PRIVATE ones: how long they are kept, by timeouts.free, the origin's
 * hint, or what was learned of it, and what is noticed of them meanwhile. Used within the pool. */

#include "pool/socket.h"

struct pool;

/* It carries nothing from now on; carries something again. */
void idle_begin(struct socket *s, enum socket_state state);
void idle_end(struct socket *s);

/* The socket's `idle` timer; something came while it carried no exchange. */
void idle_on_timer(void *ctx);
void idle_on_ready(struct socket *s);

/* It is retired for this: what that says of the origin where it was the origin's doing. */
void idle_note_end(struct socket *s, enum retire_reason reason);

/* A reload may have changed how long it is kept. */
void idle_limits_changed(struct socket *s);

/* The system was suspended. The peers were not: for them the idle sockets have been idle for that time,
 * too. */
void idle_note_suspend(struct pool *p);

/* Retires a free one that was kept for too long: its timer has not said so yet, since the system was
 * suspended meanwhile, or the limit is new. */
bool idle_retire_overdue(struct socket *s);

/* A private one has waited long enough that its user is hardly in the middle of logging in. */
bool idle_is_settled(const struct socket *s);

#endif
