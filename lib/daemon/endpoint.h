#ifndef CARPOOL_DAEMON_ENDPOINT_H
#define CARPOOL_DAEMON_ENDPOINT_H

/* One address at which connections are taken, and whose they are. Made silent; opened and closed while all
 * loops stand still, which cannot fail. */

#include <stdbool.h>

#include "admin/text.h"
#include "base/list.h"
#include "base/slice.h"
#include "daemon/workers.h"
#include "io/binding.h"

struct admin;

enum role { ROLE_PROXY, ROLE_ADMIN, ROLE_GATEWAY };

struct endpoint;

/* One loop's part of it. */
struct acceptor {
    struct endpoint *endpoint;
    struct worker *worker;
    struct listener *listener;
};

struct endpoint {
    TAILQ_ENTRY(endpoint) link;
    enum role role;
    char *upstream; /* of a gateway; NULL otherwise */
    struct binding *binding;
    struct admin *admin;       /* ROLE_ADMIN; NULL otherwise */
    struct frontend *frontend; /* NULL for ROLE_ADMIN */
    bool kept;                 /* by the configuration that is prepared */
    unsigned mode;             /* which that wants for a unix path's file */
    unsigned mode_before;      /* which the file had */
    unsigned acceptor_count;   /* at least one per loop; those of the admin API are all the first loop's */
    struct acceptor acceptors[];
};

TAILQ_HEAD(endpoint_list, endpoint);

/* `refusal` is what a connection is answered for which there is no descriptor; it outlives the endpoint. The
 * binding is counted. NULL when memory is short. */
struct endpoint *endpoint_new(struct workers *workers, struct admin *admin, enum role role,
                              const char *upstream, struct binding *binding, struct slice refusal);

/* Takes connections from now on. */
void endpoint_open(struct endpoint *e);

/* Takes none any more; frees it. Connections that wait in the kernel are served still, unless another
 * endpoint has the binding now. Those of the admin API end. */
void endpoint_close(struct endpoint *e);

/* As a row of GET /listeners. */
void endpoint_write(const struct endpoint *e, struct text *out);

/* Frees one that was never opened. */
void endpoint_discard(struct endpoint *e);

#endif
