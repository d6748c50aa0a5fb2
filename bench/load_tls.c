/* TLS of the clients, as a client that knows its proxy has it: TLS 1.3, the name that it asks for as SNI. */

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

#include "load.h"

bool tls_init(struct load *l, const char *ca)
{
    l->tls = SSL_CTX_new(TLS_client_method());
    if (!l->tls || (ca && SSL_CTX_load_verify_locations(l->tls, ca, NULL) != 1)) {
        fprintf(stderr, "load: cannot read %s\n", ca ? ca : "the configuration of OpenSSL");
        return false;
    }
    SSL_CTX_set_mode(l->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(l->tls, SSL_SESS_CACHE_OFF);
    l->is_trusted = ca == NULL;
    return true;
}

struct ssl_st *tls_open(struct load *l, int fd, struct ssl_session_st *session)
{
    SSL *s = SSL_new(l->tls);

    if (!s || SSL_set_fd(s, fd) != 1)
        abort();
    SSL_set_connect_state(s);
    SSL_set_tlsext_host_name(s, l->host);
    if (!l->is_trusted) {
        SSL_set1_host(s, l->host);
        SSL_set_verify(s, SSL_VERIFY_PEER, NULL);
        l->is_trusted = true;
    }
    if (session)
        SSL_set_session(s, session);
    return s;
}

/* What a call that moved nothing means: -1 with errno, 0 for the end. */
static ssize_t outcome(SSL *s, int result)
{
    int error = SSL_get_error(s, result);

    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (error == SSL_ERROR_SSL)
        errno = EPROTO;
    ERR_clear_error();
    return -1;
}

ssize_t tls_send(struct ssl_st *s, const void *p, size_t n)
{
    size_t moved = 0;
    int result = SSL_write_ex(s, p, n, &moved);

    return result == 1 ? (ssize_t)moved : outcome(s, result);
}

ssize_t tls_recv(struct ssl_st *s, void *p, size_t n)
{
    size_t moved = 0;
    int result = SSL_read_ex(s, p, n, &moved);

    return result == 1 ? (ssize_t)moved : outcome(s, result);
}

void tls_close(struct load *l, struct ssl_st *s, struct ssl_session_st **session)
{
    if (l->resume) {
        SSL_SESSION_free(*session);
        *session = SSL_get1_session(s);
    }
    SSL_free(s);
}
