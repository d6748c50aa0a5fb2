#ifndef CARPOOL_PROXY_ATTEMPT_H
#define CARPOOL_PROXY_ATTEMPT_H

/* From the queue to a place on a socket and, when that was stale, to another one; and what the client is
 * answered when no attempt succeeds (attempt_failed.c). */

#include "proxy/exchange.h"

/* ASKING: asks the pool. It is in RELAY after that (or became a tunnel), WAITING, still ASKING, or failed. */
void attempt_ask(struct exchange *e);

/* Of the waiters that are embedded in exchanges. */
extern const struct waiter_owner attempt_waiters;

/* The call has failed, see wire_loop.failure: repeats the request where that is safe, else fails the
 * exchange. */
void attempt_failed(struct exchange *e);

/* The response is complete: gives the place back. Says what becomes of the client's connection. */
enum client_close attempt_finished(struct exchange *e);

/* How often it may still be repeated where its socket proves stale. It has a transfer. */
uint32_t attempt_repeats_left(const struct exchange *e);

/* Gives the call and its place up. Nothing where there is none. */
void attempt_give_up(struct exchange *e, enum retire_reason reason);

#endif
