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

struct tls {
    SSL *ssl;
    struct tls_context *context;
    struct tls_sessions *sessions;
    struct tls_distrust *distrust; /* NULL until a check fails */
    char *why;                     /* of `failure`; NULL: no memory for it */
    enum tls_failure failure;
    int alert;                /* that ended it, from the peer; 0: none */
    uint64_t bytes_read;      /* of data */
    uint64_t messages;        /* of a handshake, of which the peer may send some behind it */
    bool flooded;             /* they were too many */
    bool wants_renegotiation; /* the server; it was refused */
    bool offered;             /* a session */
    bool renewed;             /* the server gave one, in TLS 1.2 within the handshake */
    bool over;                /* nothing more can be read */
    bool write_over;          /* nor written; what the peer sent before is still read then */
    bool emptied;             /* this call's last read of the socket took all that was there */
    bool drained;             /* the last read left nothing, of a record neither */
    bool read_crossed, write_crossed;
};

/* SSL_CTX_set_verify() callback: remembers the first check that failed. */
int tls_remember_distrust(int ok, X509_STORE_CTX *x);

/* For a connection whose SSL is there: a peer that sends too many messages that are no data is read no more (tls_messages.c). */
void tls_limit_messages(struct tls *t);

/* Before the first read: keeps t->emptied. */
void tls_note_reads(struct tls *t);

/* `role` is SSL_set_accept_state or SSL_set_connect_state. False when memory is short. */
bool tls_set_role(SSL *ssl, void (*role)(SSL *));

/* A server's side has read all that came before OpenSSL did: from now on it reads the socket. False: it does already. */
bool tls_reads_on(struct tls *t);

/* After a failed call: sets t->failure and t->why from OpenSSL's error queue. `name` is what SSL_get_error()
 * said, `number` errno. */
void tls_explain_failure(struct tls *t, int name, int number);

/* One to offer, or NULL; the caller's. */
SSL_SESSION *tls_sessions_take(struct tls_sessions *s, struct tls_context *c);
/* Takes over one that `ssl` was given; false: it is too large to be kept. */
bool tls_sessions_put(struct tls_sessions *s, struct tls_context *c, SSL *ssl, SSL_SESSION *session);
/* After a failure: none is offered again. */
void tls_sessions_clear(struct tls_sessions *s);

#endif
