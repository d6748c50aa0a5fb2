#ifndef CARPOOL_CA_CONSTRAINTS_H
#define CARPOOL_CA_CONSTRAINTS_H

/* The name constraints of a CA: the hosts it may sign for (RFC 5280 4.2.1.10). */

#include <openssl/x509.h>
#include <stdbool.h>

#include "base/slice.h"

struct constraints;

/* Those of a certificate; NULL when memory is short or they cannot be read. */
struct constraints *constraints_of(X509 *x);
void constraints_free(struct constraints *c); /* NULL is allowed */

/* Whether it has any. */
bool constraints_exist(const struct constraints *c);

/* A name in lower case, perhaps with a dot at its end, or an IP address without brackets. A permitted name
 * permits those below it, too. What is of a kind of which nothing is permitted is not, if anything is: an
 * address where only names are. */
bool constraints_permit(const struct constraints *c, struct slice host);

/* Calls `each` with a text for every permitted name ("pay.example.com") and network ("10.0.0.7",
 * "10.0.0.0/8"). */
void constraints_each(const struct constraints *c, void (*each)(void *ctx, const char *text), void *ctx);

/* Into a CA that is being made: permits these names and IP addresses alone. All addresses of a family of
 * which none is given are excluded, and all names where none is given. False when memory is short. */
bool constraints_add(X509 *x, const char *const *hosts, size_t count);

#endif
