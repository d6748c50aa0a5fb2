#ifndef CARPOOL_IO_TLS_INTERNAL_H
#define CARPOOL_IO_TLS_INTERNAL_H

/* What the tls_*.c files share. */

#include <openssl/ssl.h>

#include "io/conn.h"
#include "io/tls.h"

struct tls_context {
    int refs; /* atomic: workers share it */
    SSL_CTX *ssl;
    bool verify;
    bool resume;
};

/* Why the chain was not believed, as the first failing check saw it. */
struct tls_distrust {
    int error; /* X509_V_ERR_... */
    X509 *certificate;
};

/* What is left of a connection:
 *
 *   TLS_OPEN -- a write fails, or close_notify is sent --> TLS_READ_ONLY -- a read fails --> TLS_OVER
 *    |   |                                                       ^                             ^
 *    |   +---- close_notify finds no room --> TLS_ENDING --------+                             |
 *    +------------------ a read or the handshake fails, or a record is none -------------------+
 *
 * A close_notify of the peer's changes nothing: our side may write on, and each read says end of file. */
enum tls_state {
    TLS_OPEN,
    TLS_ENDING,
    TLS_READ_ONLY,
    TLS_OVER,
};

/* Where bytes may be that the next read would get. */
enum tls_rest {
    TLS_REST_UNKNOWN,
    TLS_REST_IN_OPENSSL, /* the last read of the socket took all that was there */
    TLS_REST_NONE,       /* nor is one left of a record that was opened */
};

/* What was read of the connection before OpenSSL came. */
struct tls_early {
    size_t start, end; /* what of `bytes` OpenSSL has not read yet */
    char bytes[];
};

struct tls {
    SSL *ssl;
    struct conn *conn; /* of the call that goes on; it may be copied in between */
    struct tls_early *early;
    struct tls_context *context;
    struct tls_sessions *sessions;
    struct tls_distrust *distrust; /* NULL until a check fails */
    enum tls_state state;
    enum tls_rest rest;
    enum tls_failure failure;
    char *why;                /* of `failure`; NULL: no memory for it */
    int alert;                /* that ended it, from the peer; 0: none */
    uint64_t bytes_read;      /* of data */
    uint64_t messages;        /* of a handshake, of which the peer may send some after it */
    bool wants_renegotiation; /* the server; it was refused, and no data came since */
    bool offered;             /* a session */
    bool renewed;             /* the server gave one, in TLS 1.2 within the handshake */
    bool more_follows;        /* what is written now: the rest, or the end, at once */
    bool read_crossed, write_crossed;
};

/* SSL_CTX_set_verify() callback: remembers the first check that failed. */
int tls_remember_distrust(int ok, X509_STORE_CTX *x);

/* For a connection whose SSL is there: a peer that sends too many messages that are no data is read no more
 * (tls_messages.c). */
void tls_limit_messages(struct tls *t);

/* Before the first call that reads or writes: OpenSSL does so through t->conn, and t->rest follows. False
 * when memory is short. */
bool tls_set_bio(struct tls *t);
/* OpenSSL reads this before what comes. False when memory is short. */
bool tls_read_first(struct tls *t, struct slice early);

/* `role` is SSL_set_accept_state or SSL_set_connect_state. False when memory is short. */
bool tls_set_role(SSL *ssl, void (*role)(SSL *));

/* After a failed call: sets t->failure and t->why from OpenSSL's error queue, but where the peer was found to
 * flood within it. `name` is what SSL_get_error() said, `number` errno. */
void tls_explain_failure(struct tls *t, int name, int number);
/* The same for a peer that sends too many messages: the call that reads them will fail. */
void tls_explain_flood(struct tls *t);

/* One to offer, or NULL; the caller's. */
SSL_SESSION *tls_sessions_take(struct tls_sessions *s, struct tls_context *c);
/* Takes over one that `ssl` was given; false: it is too large to be kept. */
bool tls_sessions_put(struct tls_sessions *s, struct tls_context *c, SSL *ssl, SSL_SESSION *session);
/* After a failure: none is offered again. */
void tls_sessions_clear(struct tls_sessions *s);

#endif
