#ifndef CARPOOL_CONFIG_TLS_TRUST_H
#define CARPOOL_CONFIG_TLS_TRUST_H

/* Certificates read once: those of authorities as a store that many contexts share, and between which dates
 * all of a file are valid. Inside lib/config only. */

#include <openssl/x509.h>
#include <stdbool.h>

#include "config/tls_file.h"
#include "config/tls_setup.h"

void tls_dates_add(struct tls_dates *d, X509 *x);
void tls_dates_join(struct tls_dates *d, const struct tls_dates *other);

struct tls_trust {
    int refs;                  /* atomic */
    char key[TLS_DIGEST_SIZE]; /* of the contents, or of the state of the system's store */
    X509_STORE *store;
    struct tls_dates dates;
};

/* Calls `each` for every certificate of the file, which it may keep by a reference of its own, until it
 * returns false. False when it did, or with f->broken: there is none, or one is broken. */
bool tls_certificates(struct tls_file *f, bool (*each)(void *ctx, X509 *x, int place), void *ctx);

/* NULL with f->broken, which a second call reports at once. */
struct tls_trust *tls_trust_parse(struct tls_file *f);

/* The key that the system's store has now, its file and folder as they are. */
void tls_trust_system_key(char key[TLS_DIGEST_SIZE]);

/* The system's store, which is read when a certificate is first to be verified; that there is none is no
 * error. NULL when memory is short. */
struct tls_trust *tls_trust_of_system(const char key[TLS_DIGEST_SIZE]);

/* Reads it now, if that has not been done. False when its file is there and cannot be read: the next call
 * tries again. Threads may call it at once. */
bool tls_trust_read_system(X509_STORE *store);
/* Whether it has been read. False of a file's. */
bool tls_trust_is_in_use(const struct tls_trust *t);

/* SSL_CTX_set_cert_verify_callback(): reads the system's store before. Where it could not, and the
 * certificate is refused, the result of the verification is X509_V_ERR_STORE_LOOKUP. */
int tls_trust_verify(X509_STORE_CTX *x, void *unused);

struct tls_trust *tls_trust_ref(struct tls_trust *t);
void tls_trust_unref(struct tls_trust *t);

#endif
