/* The server's side of a connection: its beginning, and why it did not come about. */

#include <assert.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "io/tls_internal.h"

bool tls_accept(struct conn *s, struct ssl_st *ssl, struct slice early)
{
    struct tls *t = calloc(1, sizeof *t);

    assert(s->fd >= 0 && !s->tls);
    if (!t) {
        SSL_free(ssl);
        return false;
    }
    t->ssl = ssl;
    if (!tls_set_role(ssl, SSL_set_accept_state) || SSL_set_app_data(ssl, t) != 1 || !tls_set_bio(t) ||
        !tls_read_first(t, early)) {
        tls_free(t);
        ERR_clear_error();
        return false;
    }
    tls_limit_messages(t);
    s->tls = t;
    return true;
}

bool tls_is_distrusted(const struct conn *s)
{
    switch (s->tls ? s->tls->alert : 0) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA: return true;
    default: return false;
    }
}

void tls_let_go(struct conn *s)
{
    tls_free(s->tls);
    s->tls = NULL;
}
