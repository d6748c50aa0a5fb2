#ifndef CARPOOL_IO_ADDRESS_ORDER_H
#define CARPOOL_IO_ADDRESS_ORDER_H

/* Which of several addresses is tried first: families take turns (RFC 8305 4), addresses of one family rotate
 * from connect to connect, and those that failed lately come last. */

#include "io/connector.h"
#include "io/resolver.h"

/* How long a failure counts. */
#define ADDRESS_FAILED_MS 10000

/* Copies the answer's addresses in the order in which they are to be tried, the family of its first one
 * first; returns their count. */
int address_order(const struct resolver_answer *answer, uint32_t rotation,
                  struct address out[RESOLVER_MAX_ADDRESSES]);

bool address_failed_lately(const struct connect_memory *m, const struct address *a);
/* The one that is over soonest is forgotten when there are too many. */
void address_remember_failure(struct connect_memory *m, const struct address *a);
void address_forget_failure(struct connect_memory *m, const struct address *a);

#endif
