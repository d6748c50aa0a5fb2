#ifndef CARPOOL_CMD_CTL_CELLS_H
#define CARPOOL_CMD_CTL_CELLS_H

/* A row of a table of pools, cell by cell. */

#include "cmd/ctl_pools.h"

#define POOL_NAME_SIZE 300

/* The agent, and whether it is no longer configured; the origin without its scheme's default port; each
 * returns `out`. */
const char *pool_agent_name(const struct pool_row *r, char out[POOL_NAME_SIZE]);
const char *pool_origin_name(const struct pool_row *r, char out[POOL_NAME_SIZE]);

/* What the origin "*" stands for, as a line below a table. */
extern const char pool_forgotten_legend[];

/* "2/20", or "2" where there is no limit; of an agent with several origins "2/1000, 1 full". Returns
 * `out`. */
const char *pool_active(const struct pool_row *r, char out[POOL_NAME_SIZE]);

/* "12/100", or "-" where HTTP/2 is not spoken. Returns `out`. */
const char *pool_streams(const struct pool_row *r, char out[POOL_NAME_SIZE]);

/* The reuse of connections in per cent, or "-". Returns `out`. */
const char *pool_reuse(const struct pool_row *r, char out[POOL_NAME_SIZE]);

/* At its limit; has as many exchanges in flight over HTTP/2 as its limit or its connections allow. */
bool pool_is_full(const struct pool_row *r);
bool pool_streams_are_full(const struct pool_row *r);

/* Has no connection, and nothing waits. */
bool pool_is_idle(const struct pool_row *r);

#endif
