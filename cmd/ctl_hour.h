#ifndef CARPOOL_CMD_CTL_HOUR_H
#define CARPOOL_CMD_CTL_HOUR_H

/* The last hour of all agents, as the daemon remembers it. */

#include "cmd/ctl_pools.h"

/* "last hour: 9,121 requests, 41 connections opened: 24 peer-closed, 12 connection-close, 5 others". False:
 * there was nothing. */
bool hour_summary(const struct pool_table *t, char *out, size_t size);

#endif
