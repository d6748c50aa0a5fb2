#ifndef CARPOOL_ADMIN_ROUTES_H
#define CARPOOL_ADMIN_ROUTES_H

/* What the admin API answers, by method and path; knows nothing of sockets. */

#include "admin/answer.h"
#include "admin/diagnosis.h"
#include "admin/request.h"
#include "admin/server.h"

/* `path` is as it came, percent-encoding and all, without the query. */
void admin_answer(const struct admin_daemon *d, struct diagnosis *diagnosis, enum admin_method method,
                  struct slice path, struct admin_answer *out);

/* What a reload that was waited for, the last one, came to. `out` is zeroed. */
void answer_reloaded(const struct admin_daemon *d, struct admin_answer *out);

#endif
