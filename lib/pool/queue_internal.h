#ifndef CARPOOL_POOL_QUEUE_INTERNAL_H
#define CARPOOL_POOL_QUEUE_INTERNAL_H

/* The lists on which a waiter stands, for those who put it there: queue.c and acquire.c. */

#include <stdbool.h>

#include "pool/queue.h"

/* An IDLE waiter becomes BLOCKED. `first`: it was to be served already. */
void queue_enter_blocked(struct waiter *p, bool first);
/* An IDLE waiter becomes WAITING. */
void queue_enter_waiting(struct waiter *p);
/* queue: fair: an IDLE waiter that comes again takes the place to come of a younger one of its caller, which is
 * BLOCKED then. False: there is none, and nothing has changed. */
bool queue_take_over(struct waiter *p);
/* Once a request, whatever came of its waiting. */
void queue_note_wait(struct waiter *p);

#endif
