#ifndef CARPOOL_POOL_QUEUE_INTERNAL_H
#define CARPOOL_POOL_QUEUE_INTERNAL_H

/* The lists on which a waiter stands, for those who put it there: queue.c and acquire.c. */

#include <stdbool.h>

#include "pool/queue.h"

/* An IDLE waiter becomes BLOCKED. `first`: it was to be served already. */
void queue_enter_blocked(struct waiter *p, bool first);
/* An IDLE waiter becomes WAITING. */
void queue_enter_waiting(struct waiter *p);
/* Once a request, whatever came of its waiting. */
void queue_note_wait(struct waiter *p);

#endif
