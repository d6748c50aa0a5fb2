#ifndef CARPOOL_CONFIG_BINDABLE_H
#define CARPOOL_CONFIG_BINDABLE_H

/* Whether this host could listen at an address: asked of the kernel, at a port of its choice, since the one
 * that is configured may be this Carpool's own already. */

#include "base/address.h"

/* NULL: it could, as far as can be seen; otherwise what is wrong with the address, or with the folder of a
 * unix path. */
const char *bindable_problem(const struct address *a);

/* Whether two unix paths, however they are written, name one file. */
bool bindable_is_same(const struct address *a, const struct address *b);

#endif
