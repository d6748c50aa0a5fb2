/* How OpenSSL reads and writes the connection. Its own way for sockets does not say whether a read emptied
 * the socket, and sends each record in a packet of its own. */

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "io/tls_internal.h"

/* Of all loops: made by the first one that needs it. */
static BIO_METHOD *method;
static pthread_mutex_t method_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t take_early(struct tls *t, char *to, size_t n)
{
    struct tls_early *e = t->early;
    size_t part = n < e->end - e->start ? n : e->end - e->start;

    memcpy(to, e->bytes + e->start, part);
    e->start += part;
    if (e->start == e->end) {
        free(e);
        t->early = NULL;
    }
    return part;
}

static int bio_read(BIO *b, char *to, size_t n, size_t *got)
{
    struct tls *t = BIO_get_data(b);
    ssize_t rc;

    BIO_clear_retry_flags(b);
    *got = 0;
    if (t->early) {
        *got = take_early(t, to, n);
        return 1;
    }
    do
        rc = recv(t->conn->fd, to, n, 0);
    while (rc < 0 && errno == EINTR);
    bool again = rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    t->rest = again || (rc > 0 && (size_t)rc < n) ? TLS_REST_IN_OPENSSL : TLS_REST_UNKNOWN;
    if (again)
        BIO_set_retry_read(b);
    else if (rc == 0)
        BIO_set_flags(b, BIO_FLAGS_IN_EOF);
    *got = rc > 0 ? (size_t)rc : 0;
    return rc > 0 ? 1 : (int)rc;
}

/* A client of TLS 1.3 does not wait for its ticket, which goes with the answer where the request is here
 * already. Elsewhere it goes at once: it acknowledges the handshake, and a client that knows no TCP_NODELAY
 * sends its request only then. */
static bool may_wait(const SSL *ssl)
{
    return SSL_get_state(ssl) == TLS_ST_SW_SESSION_TICKET && SSL_version(ssl) == TLS1_3_VERSION &&
           SSL_has_pending(ssl);
}

static int bio_write(BIO *b, const char *from, size_t n, size_t *put)
{
    struct tls *t = BIO_get_data(b);
    int flags = t->more_follows || may_wait(t->ssl) ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
    ssize_t rc;

    BIO_clear_retry_flags(b);
    do
        rc = send(t->conn->fd, from, n, flags);
    while (rc < 0 && errno == EINTR);
    if (rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_write(b);
    *put = rc > 0 ? (size_t)rc : 0;
    return rc > 0 ? 1 : (int)rc;
}

/* cppcheck-suppress constParameterCallback; the type is OpenSSL's */
static long bio_ctrl(BIO *b, int what, long number, void *p)
{
    (void)number, (void)p;
    switch (what) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_EOF: return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
    default: return 0;
    }
}

static BIO_METHOD *new_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");

    if (m && BIO_meth_set_read_ex(m, bio_read) == 1 && BIO_meth_set_write_ex(m, bio_write) == 1 &&
        BIO_meth_set_ctrl(m, bio_ctrl) == 1)
        return m;
    BIO_meth_free(m);
    return NULL;
}

static const BIO_METHOD *method_of_all(void)
{
    pthread_mutex_lock(&method_lock);
    if (!method)
        method = new_method();
    const BIO_METHOD *made = method;
    pthread_mutex_unlock(&method_lock);
    return made;
}

bool tls_set_bio(struct tls *t)
{
    const BIO_METHOD *m = method_of_all();
    BIO *b = m ? BIO_new(m) : NULL;

    if (!b)
        return false;
    BIO_set_data(b, t);
    BIO_set_init(b, 1);
    SSL_set_bio(t->ssl, b, b);
    return true;
}

bool tls_read_first(struct tls *t, struct slice early)
{
    assert(!t->early);
    if (early.n == 0)
        return true;
    t->early = malloc(sizeof *t->early + early.n);
    if (!t->early)
        return false;
    t->early->start = 0;
    t->early->end = early.n;
    memcpy(t->early->bytes, early.p, early.n);
    return true;
}
