#ifndef CARPOOL_IO_ADDRESS_MEMORY_H
#define CARPOOL_IO_ADDRESS_MEMORY_H

/* What an origin remembers of addresses between connects: those that failed lately are tried last. */

#include "io/connector.h"

/* How long a failure counts. */
#define ADDRESS_FAILED_MS 10000

bool address_failed_lately(const struct connect_memory *m, const struct address *a);
/* The one that is over soonest is forgotten when there are too many. */
void address_remember_failure(struct connect_memory *m, const struct address *a);
void address_forget_failure(struct connect_memory *m, const struct address *a);

#endif
