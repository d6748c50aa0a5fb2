#ifndef CARPOOL_CA_SIGNER_H
#define CARPOOL_CA_SIGNER_H

/* Stands for hosts towards clients: the server's side of TLS, with a certificate for each host that is issued
 * when it is first needed. Several threads may use it; sessions resume with all of them. */

#include <openssl/ssl.h>

#include "ca/ca.h"

/* Certificates that are kept; the least recently used one goes first. */
#define SIGNER_KEPT_MAX 1000

struct signer;

/* Takes the CA's reference over, also when it fails: memory is short. The caller holds one reference. */
struct signer *signer_new(struct ca *ca);
struct signer *signer_ref(struct signer *s);
void signer_unref(struct signer *s); /* NULL is allowed */

const struct ca *signer_ca(const struct signer *s);

/* For tls_accept(): a connection with the certificate of this host, as ca_permits() takes it; its tickets are
 * good for this host alone. `now` in Unix seconds. The caller frees it. NULL when memory is short. */
SSL *signer_accept(struct signer *s, struct slice host, int64_t now);

/* How many certificates are kept, for tests. */
unsigned signer_kept(const struct signer *s);

#endif
