#ifndef CARPOOL_ADMIN_SYSTEM_STORE_H
#define CARPOOL_ADMIN_SYSTEM_STORE_H

/* The authorities that this system trusts, as one PEM file. */

#include "admin/text.h"

/* Appends them: the file that SSL_CERT_FILE names, or OpenSSL's own or the first that a distribution has.
 * Nothing where there is none. */
void system_store_put(struct text *out);

#endif
