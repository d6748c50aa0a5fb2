#ifndef CARPOOL_ADMIN_RECENT_ERRORS_H
#define CARPOOL_ADMIN_RECENT_ERRORS_H

#include "admin/text.h"
#include "pool/pool.h"

/* [{"time":...,"origin":...,"error":...,"text":...}]: the last AGENT_RECENT_ERRORS of all shares of an agent,
 * oldest first, as a log is read. */
void recent_errors_write(struct text *t, const struct agent *a);

#endif
