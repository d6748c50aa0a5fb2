#ifndef CARPOOL_ADMIN_OVERVIEW_H
#define CARPOOL_ADMIN_OVERVIEW_H

/* The daemon itself, as /agents begins with it. */

#include "admin/server.h"
#include "admin/text.h"
#include "admin/traffic.h"

/* {"uptimeMs": ..., ...} */
void overview_write(struct text *t, const struct admin_daemon *d, const struct traffic *traffic);

#endif
