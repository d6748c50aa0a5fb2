#ifndef CARPOOL_ADMIN_GUARD_H
#define CARPOOL_ADMIN_GUARD_H

/* Who may ask the admin listener. A page from elsewhere, opened in a browser on this host, must not: not by a
 * request of its own (Origin, RFC 6454) and not after pointing its name at 127.0.0.1 (DNS rebinding; it
 * cannot forge Host). */

#include <stdbool.h>

#include "base/slice.h"
#include "config/config.h"

/* What of a request decides. Slices with p == NULL: the field is not there. */
struct guard_request {
    bool is_local; /* came by a unix socket: the file's mode says who may */
    struct address peer;
    struct slice host;   /* the Host field's value, or the authority of an absolute target */
    struct slice origin; /* the Origin field's value */
};

/* NULL: it may. Else a sentence for the answer (403). */
const char *guard_refusal(const struct config *c, const struct guard_request *r);

#endif
