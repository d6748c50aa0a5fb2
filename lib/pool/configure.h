#ifndef CARPOOL_POOL_CONFIGURE_H
#define CARPOOL_POOL_CONFIGURE_H

/* How pools get their agents: at a start and at a reload. */

#include <stdbool.h>
#include <stddef.h>

struct config;
struct pool;
struct pools_plan;

/* Swaps the policy: agents keep sockets, queue and counters unless what decides about their sockets
 * changed. All or nothing: on false nothing has changed and `error` says why. */
bool pool_configure(struct pool *p, struct config *config, char *error, size_t error_size);

/* The same for several loops, always the same pools in the same order, while none of them turns. */
bool pools_configure(struct pool *const *pools, unsigned count, struct config *config, char *error,
                     size_t error_size);

/* The same in two steps, so that a caller can prepare other things beside. To prepare changes nothing, and
 * the other loops may turn meanwhile; NULL when memory is short. To commit cannot fail, and they stand
 * still. */
struct pools_plan *pools_prepare(struct pool *const *pools, unsigned count, struct config *config);
void pools_commit(struct pools_plan *plan);
void pools_discard(struct pools_plan *plan);

#endif
