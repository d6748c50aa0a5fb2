#ifndef CARPOOL_ADMIN_ROUTES_H
#define CARPOOL_ADMIN_ROUTES_H

/* What the admin API answers, by method and path; knows nothing of sockets. */

#include "admin/diagnosis.h"
#include "admin/page.h"
#include "admin/server.h"
#include "admin/text.h"

enum admin_method { ADMIN_GET, ADMIN_POST, ADMIN_OTHER }; /* HEAD is GET whose body is not sent */

struct admin_answer {
    unsigned status;
    const char *type;              /* Content-Type */
    const char *allow;             /* of a 405; NULL otherwise */
    char policy[PAGE_POLICY_SIZE]; /* Content-Security-Policy; "": none */
    struct text body;
};

/* `path` is as it came, percent-encoding and all, without the query. */
void admin_answer(const struct admin_daemon *d, struct diagnosis *diagnosis, enum admin_method method,
                  struct slice path, struct admin_answer *out);

/* {"error": sentence} */
void admin_answer_error(struct admin_answer *out, unsigned status, const char *sentence);

#endif
