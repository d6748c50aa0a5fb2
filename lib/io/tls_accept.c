/* The server's side of a connection: its beginning, and why it did not come about. */

#include <assert.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "io/tls_internal.h"

/* What was read before OpenSSL came is read by it first. */
static bool read_first(SSL *ssl, struct slice early)
{
    BIO *bio = early.n > 0 ? BIO_new(BIO_s_mem()) : NULL;

    if (early.n == 0)
        return true;
    if (!bio || BIO_write(bio, early.p, (int)early.n) != (int)early.n) {
        BIO_free(bio);
        return false;
    }
    BIO_set_mem_eof_return(bio, -1);
    SSL_set0_rbio(ssl, bio);
    return true;
}

bool tls_accept(struct conn *s, struct ssl_st *ssl, struct slice early)
{
    struct tls *t = calloc(1, sizeof *t);

    assert(s->fd >= 0 && !s->tls);
    if (!t) {
        SSL_free(ssl);
        return false;
    }
    t->ssl = ssl;
    if (!tls_set_role(ssl, SSL_set_accept_state) || SSL_set_app_data(ssl, t) != 1 ||
        SSL_set_fd(ssl, s->fd) != 1 || !read_first(ssl, early)) {
        tls_free(t);
        ERR_clear_error();
        return false;
    }
    tls_note_reads(t);
    tls_limit_messages(t);
    s->tls = t;
    return true;
}

bool tls_reads_on(struct tls *t)
{
    BIO *socket = SSL_get_wbio(t->ssl);

    if (BIO_method_type(SSL_get_rbio(t->ssl)) != BIO_TYPE_MEM || !BIO_up_ref(socket))
        return false;
    SSL_set0_rbio(t->ssl, socket);
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
