#ifndef CARPOOL_ADMIN_CALLERS_H
#define CARPOOL_ADMIN_CALLERS_H

/* Who uses Carpool, over all loops: as JSON and as metrics. Callers of the same name are one row. The loops
 * must stand still. With `callers: off` there are none. */

#include "admin/server.h"
#include "admin/text.h"

/* "callers": [...], most requests first. Those that were forgotten are together in the row "*". */
void callers_put(struct text *t, const struct admin_daemon *d);
/* The same within braces. */
void callers_write(struct text *t, const struct admin_daemon *d);

/* The 50 with most requests by name, the others together as "*". Nothing before there was a caller. */
void callers_write_metrics(struct text *t, const struct admin_daemon *d);

#endif
