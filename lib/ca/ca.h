#ifndef CARPOOL_CA_CA_H
#define CARPOOL_CA_CA_H

/* A certification authority of this host's own (connectTls): read, asked what it may sign for, never
 * changed. */

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "ca/constraints.h"

struct ca {
    X509 *certificate;
    EVP_PKEY *key; /* NULL: only looked at */
    struct constraints *constraints;
    int64_t not_before, not_after; /* Unix seconds */
};

enum ca_problem {
    CA_FINE,
    CA_NO_MEMORY,
    CA_NO_CERTIFICATE, /* no certificate in PEM form */
    CA_NO_AUTHORITY,   /* a certificate that may sign no others (RFC 5280 4.2.1.3, 4.2.1.9) */
    CA_NO_KEY,         /* no private key in PEM form */
    CA_KEY_LOCKED,     /* by a pass phrase */
    CA_OTHER_KEY,      /* not the certificate's */
    CA_CANNOT_SIGN,    /* a key by which no certificate for a host can be made, or memory is short */
};

/* From the texts of its files; an empty `key`: it is only to be looked at. It is the caller's. NULL with
 * `*problem`. */
struct ca *ca_read(struct slice certificate, struct slice key, enum ca_problem *problem);
void ca_free(struct ca *c); /* NULL is allowed */

/* Whether its name constraints let it sign for this host: a name in lower case, or an IP address without
 * brackets. Stricter than RFC 5280 4.2.1.10: a CA that names no addresses may sign for none. One without
 * constraints may sign for all. */
bool ca_permits(const struct ca *c, struct slice host);

/* Whether it may sign for this host at that time, in Unix seconds: ca_permits(), and it has not ended. */
bool ca_may_sign(const struct ca *c, struct slice host, int64_t now);

/* malloc'd texts; NULL when memory is short. */
char *ca_pem(const struct ca *c);
char *ca_subject(const struct ca *c);
char *ca_fingerprint(const struct ca *c); /* SHA-256, "AB:CD:..." */

#endif
