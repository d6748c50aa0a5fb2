#ifndef CARPOOL_IO_TLS_H
#define CARPOOL_IO_TLS_H

/* TLS with OpenSSL 3: towards upstreams, and towards clients from tls_accept() on. One context per TLS
 * identity of an upstream; sessions are kept per origin. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/slice.h"

struct tls;
struct tls_context;
struct tls_setup; /* config/tls_setup.h */
struct conn;
struct ssl_st; /* OpenSSL's SSL */

/* Of what the configuration made of an upstream's `tls`; to be called by one thread at a time. Counted; NULL
 * when memory is short. */
struct tls_context *tls_context_new(const struct tls_setup *s);
/* Whether it was made of that. */
bool tls_context_is(const struct tls_context *c, const struct tls_setup *s);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c);

/* Sessions for resumption (several; those of TLS 1.3 are used once, RFC 8446 C.4), one store per origin. A
 * worker's own: no locks. A store that meets another context forgets what it has. */
struct tls_sessions;
struct tls_sessions *tls_sessions_new(void);
void tls_sessions_free(struct tls_sessions *s);

enum tls_failure {
    TLS_FAILURE_NONE,
    TLS_FAILURE_PROTOCOL,
    TLS_FAILURE_CERTIFICATE,
    TLS_FAILURE_ALERT,
    TLS_FAILURE_IO
};

/* Lays TLS over a connected conn. `servername` is sent as SNI and checked in the certificate; an IP address
 * is checked as an IP SAN and not sent. `sessions` may be NULL and must outlive the connection otherwise.
 * False when memory is short. */
bool tls_start(struct conn *s, struct tls_context *c, const char *servername, struct tls_sessions *sessions);

/* The server's side on a conn from which `early` was read already. Takes the SSL over (ca/signer.h makes it),
 * also when it fails: memory is short. */
bool tls_accept(struct conn *s, struct ssl_st *ssl, struct slice early);

/* Between tls_start() and the handshake: offers h2 before http/1.1, which alone is offered otherwise (ALPN,
 * RFC 7301). False when memory is short. */
bool tls_offer_h2(struct conn *s);

/* After the handshake: the peer chose h2. */
bool tls_speaks_h2(const struct conn *s);

enum tls_progress { TLS_FAILED = -1, TLS_WAITS, TLS_DONE };

/* Goes on with the handshake. TLS_WAITS: for the connection to be ready. */
enum tls_progress tls_handshake(struct conn *s);

/* After -1, or CONN_ERROR with EPROTO (in TLS 1.3 a server judges our certificate after the handshake):
 * what failed and a sentence: which certificate, which check, what option would mend it. */
enum tls_failure tls_failure(const struct conn *s, char *text, size_t size);

/* After -1 of a server's side: whether the client does not trust our certificate. */
bool tls_is_distrusted(const struct conn *s);

/* After -1: the conn is plain again, to throw away what still comes. */
void tls_let_go(struct conn *s);

/* After 1: whether the session was resumed. */
bool tls_was_resumed(const struct conn *s);

/* Called by conn.c only. */
ssize_t tls_read(struct conn *s, void *to, size_t n);
ssize_t tls_write(struct conn *s, const struct iovec *v, int count);
/* False: there is no room for close_notify. */
bool tls_shutdown(struct conn *s);
bool tls_is_quiet(struct conn *s);
/* The last read left nothing, neither on the socket nor in OpenSSL, and no failure that the next one
 * tells. */
bool tls_is_drained(const struct conn *s);
size_t tls_buffered(const struct conn *s);
/* See conn_has_part() and conn_awaits_ticket(). */
bool tls_has_part(const struct conn *s);
bool tls_awaits_ticket(const struct conn *s);
/* A read waits for room to write, or a write for something to read: either readiness is both. */
bool tls_is_crossed(const struct conn *s);
void tls_free(struct tls *t);

#endif
