#ifndef CARPOOL_ADMIN_OVERVIEW_H
#define CARPOOL_ADMIN_OVERVIEW_H

/* The daemon itself, as /agents begins with it. */

#include "admin/server.h"
#include "admin/text.h"
#include "admin/traffic.h"

/* {"uptimeMs": ..., ...} */
void overview_write(struct text *t, const struct admin_daemon *d, const struct traffic *traffic);

/* ["workers"]: what a reload cannot change, where the file has it otherwise than it runs. */
void overview_write_restart_needed(struct text *t, const struct config *c);

#endif
