#ifndef CARPOOL_CA_ISSUE_H
#define CARPOOL_CA_ISSUE_H

/* Certificates being made. All keys are ECDSA P-256. Times are Unix seconds. */

#include <stdint.h>

#include "ca/ca.h"

/* How long a host's certificate is valid, and how much it is backdated for clients whose clocks are late. */
#define ISSUE_VALID_S     (7 * 24 * 3600)
#define ISSUE_BACKDATED_S 3600

struct issued {
    X509 *certificate;
    EVP_PKEY *key;
};

/* A server certificate for one host (a name in lower case, or an IP address without brackets), which ends
 * with the CA at the latest. False when memory is short; does not ask whether the CA may sign for it. */
bool issue_for_host(const struct ca *c, struct slice host, int64_t now, struct issued *out);

/* A new CA that may sign for these names and IP addresses alone, names in lower case. False when memory is
 * short. */
bool issue_authority(const char *subject, const char *const *hosts, size_t count, unsigned days, int64_t now,
                     struct issued *out);

void issued_free(struct issued *i);

#endif
