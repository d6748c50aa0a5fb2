#include "io/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "io/conn.h"
#include "io/tls_internal.h"

/* The most that one record carries (RFC 8446 5.1). */
#define RECORD_SIZE 16384

/* No buffer takes more than five full ones. Of tiny ones a peer could otherwise have tens of thousands read
 * at once. */
#define RECORDS_PER_READ 16

/* ---- begin */

static bool set_peer(struct tls *t, const char *servername)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    size_t n = strlen(servername);
    char name[256];
    unsigned char ip[16];

    /* Neither SNI (RFC 6066 3) nor certificates have the dot that may end a name. */
    if (n > 1 && servername[n - 1] == '.')
        n--;
    if (n >= sizeof name)
        return false;
    memcpy(name, servername, n);
    name[n] = '\0';
    if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1)
        return !t->context->verify || X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (t->context->verify && X509_VERIFY_PARAM_set1_host(param, name, n) != 1)
        return false;
    return SSL_set_tlsext_host_name(t->ssl, name) == 1;
}

/* From OpenSSL 3.2 on these functions make anew what reads and writes records. They do not return that it
 * failed, and it is missing then: the next call that needs it crashes. */
bool tls_set_role(SSL *ssl, void (*role)(SSL *))
{
    ERR_clear_error();
    role(ssl);
    return ERR_peek_error() == 0;
}

static void offer_session(struct tls *t)
{
    SSL_SESSION *session;

    if (!t->sessions || !t->context->resume)
        return;
    session = tls_sessions_take(t->sessions, t->context);
    if (!session)
        return;
    t->offered = SSL_set_session(t->ssl, session) == 1;
    SSL_SESSION_free(session);
}

/* A HelloRequest was answered by no_renegotiation (RFC 5246 7.2.2). */
static void on_info(const SSL *ssl, int where, int ret)
{
    struct tls *t = SSL_get_app_data(ssl);

    if (where == SSL_CB_WRITE_ALERT && (ret & 0xff) == SSL_AD_NO_RENEGOTIATION)
        t->wants_renegotiation = true;
}

bool tls_start(struct conn *s, struct tls_context *c, const char *servername, struct tls_sessions *sessions)
{
    struct tls *t = calloc(1, sizeof *t);

    assert(s->fd >= 0 && !s->tls);
    if (!t)
        return false;
    ERR_clear_error();
    t->context = tls_context_ref(c);
    t->sessions = sessions;
    t->ssl = SSL_new(c->ssl);
    if (!t->ssl || !tls_set_role(t->ssl, SSL_set_connect_state) || SSL_set_app_data(t->ssl, t) != 1 ||
        !tls_set_bio(t) || !set_peer(t, servername)) {
        tls_free(t);
        return false;
    }
    SSL_set_info_callback(t->ssl, on_info);
    tls_limit_messages(t);
    offer_session(t);
    s->tls = t;
    return true;
}

bool tls_offer_h2(struct conn *s)
{
    static const unsigned char protocols[] = "\x02h2\x08http/1.1";

    return SSL_set_alpn_protos(s->tls->ssl, protocols, sizeof protocols - 1) == 0;
}

bool tls_speaks_h2(const struct conn *s)
{
    const unsigned char *chosen;
    unsigned n;

    SSL_get0_alpn_selected(s->tls->ssl, &chosen, &n);
    return n == 2 && memcmp(chosen, "h2", 2) == 0;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    /* A session whose connection ends without this would never be resumed. */
    if (t->ssl && (t->failure == TLS_FAILURE_NONE || t->failure == TLS_FAILURE_IO))
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    tls_context_unref(t->context);
    if (t->distrust)
        X509_free(t->distrust->certificate);
    free(t->distrust);
    free(t->early);
    free(t->why);
    free(t);
}

/* ---- errors */

/* Before each call of OpenSSL's that reads or writes. */
static void enter(struct conn *s)
{
    s->tls->conn = s;
    if (ERR_peek_error() != 0)
        ERR_clear_error(); /* it goes over all that could be there */
    errno = 0;
}

/* After a call that returned no success: what a connection call returns. `crosses` is what the call would not
 * wait for if the connection were plain: SSL_ERROR_WANT_READ of a write. */
static ssize_t failed(struct conn *s, bool *crossed, int crosses)
{
    struct tls *t = s->tls;
    int number = errno;
    int name = SSL_get_error(t->ssl, 0);

    switch (name) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: *crossed = name == crosses; return CONN_AGAIN;
    case SSL_ERROR_ZERO_RETURN: return CONN_EOF;
    }
    t->state = crosses == SSL_ERROR_WANT_READ && name != SSL_ERROR_SSL ? TLS_READ_ONLY : TLS_OVER;
    tls_explain_failure(t, name, number);
    if (t->failure == TLS_FAILURE_IO && (name == SSL_ERROR_SSL || number == 0)) {
        s->eof_without_notify = true;
        return CONN_EOF;
    }
    s->error = t->failure == TLS_FAILURE_IO ? number : EPROTO;
    return CONN_ERROR;
}

/* What a call on a connection that has failed says again. */
static ssize_t over(struct conn *s)
{
    return s->eof_without_notify ? CONN_EOF : CONN_ERROR;
}

/* ---- handshake */

enum tls_progress tls_handshake(struct conn *s)
{
    struct tls *t = s->tls;

    if (s->watched && !s->may_read && SSL_want_read(t->ssl))
        return TLS_WAITS; /* the loop said only that it can be written */
    enter(s);
    t->rest = TLS_REST_UNKNOWN;
    if (SSL_do_handshake(t->ssl) == 1) {
        /* What follows may have been read with the last message. */
        s->may_read = SSL_has_pending(t->ssl) || t->rest == TLS_REST_UNKNOWN || s->peer_fin;
        /* A server that refuses a session once will refuse it again. */
        if (t->offered && !t->renewed && !SSL_session_reused(t->ssl))
            tls_sessions_clear(t->sessions);
        return TLS_DONE;
    }
    if (failed(s, &t->read_crossed, SSL_ERROR_NONE) == CONN_AGAIN) {
        s->may_read &= t->rest == TLS_REST_UNKNOWN;
        return TLS_WAITS;
    }
    if (t->failure == TLS_FAILURE_NONE) {
        ERR_clear_error();
        tls_explain_failure(t, SSL_ERROR_SYSCALL, 0);
    }
    if (t->offered)
        tls_sessions_clear(t->sessions);
    return TLS_FAILED;
}

bool tls_was_resumed(const struct conn *s)
{
    return SSL_session_reused(s->tls->ssl) == 1;
}

/* ---- data */

/* Nothing more is there to be read. SSL_MODE_RELEASE_BUFFERS should give all buffers back; OpenSSL 3.0 keeps
 * that of a write (16 KiB of 34) unless it is asked. It refuses while bytes are in them, but for the head of
 * a record whose rest is still to come (CVE-2024-4741, before 3.0.14). */
static void become_idle(struct tls *t)
{
    t->rest = TLS_REST_NONE;
    if (strcmp(SSL_rstate_string(t->ssl), "RH") == 0)
        SSL_free_buffers(t->ssl);
}

/* As many records as are there, within reason. What ends the connection behind them is told by the next
 * call. */
ssize_t tls_read(struct conn *s, void *to, size_t n)
{
    struct tls *t = s->tls;
    size_t got, total = 0;
    ssize_t rc = CONN_AGAIN;

    if (t->state == TLS_OVER)
        return over(s);
    enter(s);
    t->read_crossed = false;
    t->rest = TLS_REST_UNKNOWN;
    for (unsigned records = 0; total < n && records < RECORDS_PER_READ && t->rest != TLS_REST_NONE;
         records++) {
        if (SSL_read_ex(t->ssl, (char *)to + total, n - total, &got) != 1) {
            rc = failed(s, &t->read_crossed, SSL_ERROR_WANT_WRITE);
            if (rc == CONN_AGAIN)
                become_idle(t);
            break;
        }
        total += got;
        t->bytes_read += got;
        t->wants_renegotiation = false; /* it goes on without */
        if (t->rest == TLS_REST_IN_OPENSSL && !SSL_has_pending(t->ssl))
            become_idle(t);
    }
    return total > 0 ? (ssize_t)total : rc;
}

static ssize_t write_some(struct conn *s, const void *from, size_t n)
{
    struct tls *t = s->tls;
    size_t put;

    enter(s);
    t->write_crossed = false;
    if (SSL_write_ex(t->ssl, from, n, &put) == 1)
        return (ssize_t)put;
    if (failed(s, &t->write_crossed, SSL_ERROR_WANT_READ) == CONN_AGAIN)
        return CONN_AGAIN;
    if (s->error == 0)
        s->error = EPIPE;
    return CONN_ERROR;
}

/* Where a list of pieces is being read. */
struct cursor {
    const struct iovec *v;
    int count;
    size_t offset; /* into the first one */
};

static void cursor_advance(struct cursor *c, size_t n)
{
    while (c->count > 0 && n >= c->v->iov_len - c->offset) {
        n -= c->v->iov_len - c->offset;
        c->offset = 0;
        c->v++;
        c->count--;
    }
    c->offset += c->count > 0 ? n : 0;
}

static size_t cursor_left(struct cursor c)
{
    size_t n = 0;

    for (int i = 0; i < c.count; i++)
        n += c.v[i].iov_len;
    return n - c.offset;
}

/* Pieces of a record, put together: a record costs more than the copy. */
static size_t gather(struct cursor c, char *to, size_t room)
{
    size_t n = 0;

    while (c.count > 0 && n < room) {
        size_t piece = c.v->iov_len - c.offset;
        piece = piece < room - n ? piece : room - n;
        memcpy(to + n, (const char *)c.v->iov_base + c.offset, piece);
        n += piece;
        cursor_advance(&c, piece);
    }
    return n;
}

ssize_t tls_write(struct conn *s, const struct iovec *v, int count)
{
    struct cursor c = {v, count, 0};
    char record[RECORD_SIZE];
    size_t left = cursor_left(c);
    ssize_t total = 0, put = 0;

    if (s->tls->state != TLS_OPEN) {
        s->error = s->error ? s->error : EPIPE;
        return CONN_ERROR;
    }
    for (cursor_advance(&c, 0); c.count > 0; cursor_advance(&c, (size_t)put)) {
        const char *first = (const char *)c.v->iov_base + c.offset;
        size_t n = c.v->iov_len - c.offset;
        if (c.count > 1 && n < RECORD_SIZE) {
            n = gather(c, record, sizeof record);
            first = record;
        } else if (n > RECORD_SIZE) {
            /* A call that ends a record begun before writes the next one, too: what was announced. */
            n = RECORD_SIZE;
        }
        s->tls->more_follows = s->last || left > n;
        put = write_some(s, first, n);
        if (put < 0)
            break;
        total += put;
        left -= (size_t)put;
    }
    if (put == CONN_ERROR && total > 0 && s->watched)
        conn_call_again(s); /* the next call says so, and the loop may know nothing of it */
    return total > 0 || put == 0 ? total : put;
}

bool tls_shutdown(struct conn *s)
{
    struct tls *t = s->tls;

    if ((t->state != TLS_OPEN && t->state != TLS_ENDING) || t->failure != TLS_FAILURE_NONE ||
        !SSL_is_init_finished(t->ssl))
        return true;
    enter(s);
    t->more_follows = true;
    int rc = SSL_shutdown(t->ssl);
    bool waits = rc < 0 && SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_WRITE;
    t->state = waits ? TLS_ENDING : TLS_READ_ONLY; /* once it was sent, another call would read */
    ERR_clear_error();
    return !waits;
}

bool tls_is_quiet(struct conn *s)
{
    struct tls *t = s->tls;
    char byte;
    size_t n;

    if (t->state == TLS_OVER)
        return false;
    enter(s);
    if (SSL_peek_ex(t->ssl, &byte, 1, &n) == 1)
        return false;
    if (failed(s, &t->read_crossed, SSL_ERROR_WANT_WRITE) != CONN_AGAIN)
        return false;
    become_idle(t);
    return true;
}

bool tls_is_drained(const struct conn *s)
{
    return s->tls->rest == TLS_REST_NONE && s->tls->failure == TLS_FAILURE_NONE;
}

size_t tls_buffered(const struct conn *s)
{
    const struct tls *t = s->tls;
    int n = SSL_pending(t->ssl);

    if (n > 0)
        return (size_t)n;
    /* The end may have been read with the data before it, and is told by the next read. */
    if (t->failure != TLS_FAILURE_NONE || (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN))
        return 1;
    /* Records that were read ahead and not yet opened; after a read that met the end of them, at most a part
     * of one is left. */
    return t->rest != TLS_REST_NONE && SSL_has_pending(t->ssl) ? 1 : 0;
}

/* "RH": the head of a record is what it reads next. */
bool tls_has_part(const struct conn *s)
{
    const struct tls *t = s->tls;

    return strcmp(SSL_rstate_string(t->ssl), "RH") != 0 || SSL_has_pending(t->ssl);
}

/* Those of earlier versions are part of the handshake. */
bool tls_awaits_ticket(const struct conn *s)
{
    const struct tls *t = s->tls;

    return t->bytes_read == 0 && !SSL_is_server(t->ssl) && SSL_version(t->ssl) == TLS1_3_VERSION;
}

bool tls_is_crossed(const struct conn *s)
{
    return s->tls->read_crossed || s->tls->write_crossed;
}
