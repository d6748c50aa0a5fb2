#ifndef CARPOOL_CONFIG_TLS_BUILD_H
#define CARPOOL_CONFIG_TLS_BUILD_H

/* One setup from its options and files. Inside lib/config only. */

#include "base/slice.h"
#include "config/config.h"
#include "config/tls_file.h"
#include "config/tls_setup.h"
#include "config/tls_trust.h"

struct tls_draft {
    const struct tls_options *options;
    struct tls_file *ca, *cert, *key; /* NULL: none, or not readable */
    const char *passphrase_option;    /* which one says it */
    struct slice passphrase;          /* of the key; p is NULL when there is none */
    struct tls_findings *findings;
    struct tls_setup *setup;
};

/* Notes what is wrong, or worth a warning; what is too much is left out. */
void tls_find(struct tls_findings *f, const char *option, bool is_error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool tls_has_errors(const struct tls_findings *f);

/* Makes d->setup. `trust` may be NULL where it could not be read: what else is wrong is found all the same.
 * NULL with an error among the findings. */
struct tls_setup *tls_build(struct tls_draft *d, const char key[TLS_DIGEST_SIZE], struct tls_trust *trust);

struct tls_setup *tls_setup_ref(struct tls_setup *s);
void tls_setup_unref(struct tls_setup *s);

#endif
