#ifndef CARPOOL_CONFIG_TLS_SETUP_H
#define CARPOOL_CONFIG_TLS_SETUP_H

/* What `tls` of an upstream comes to in OpenSSL: whom it trusts, its own certificate, versions and ciphers.
 * Setups with the same options and the same contents of their files are one: of several upstreams, and of a
 * reload's configuration and the one in force. */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

struct tls_options; /* config/config.h */
struct tls_trust;

#define TLS_SUBJECT_SIZE 128

/* Unix seconds between which several certificates are all valid, and whose dates these are; 0: there is
 * none. */
struct tls_dates {
    int64_t not_before, not_after;
    char youngest[TLS_SUBJECT_SIZE], oldest[TLS_SUBJECT_SIZE];
};

struct tls_setup {
    int refs;     /* atomic */
    char key[65]; /* of the options and what stands in the files; the system's store is not part of it */
    SSL_CTX *ssl;
    bool verify, resume;
    struct tls_trust *trust;
    struct tls_dates dates; /* of `cert` and its chain */
};

/* What is wrong with `tls`, or worth a warning. */
struct tls_finding {
    const char *option; /* such as "tls.ca" */
    bool is_error;
    char text[512]; /* what goes on after the option's value: "cannot be read: ..." */
};

struct tls_findings {
    struct tls_finding items[8];
    int count;
};

/* All setups of one configuration. */
struct tls_setups;

/* Those of `running` (may be NULL, and is only read) are shared. NULL when memory is short. */
struct tls_setups *tls_setups_new(const struct tls_setups *running);
void tls_setups_free(struct tls_setups *all);

/* The one for these options, made if need be; it lives at least as long as `all`. Reads files, so it may take
 * long. `dates` are those of `ca` and `cert` together. NULL with an error among the findings. */
struct tls_setup *tls_setups_get(struct tls_setups *all, const struct tls_options *o, struct tls_dates *dates,
                                 struct tls_findings *f);

/* No file will be asked for any more, and what was read is forgotten. */
void tls_setups_close_files(struct tls_setups *all);

#endif
