#ifndef CARPOOL_IO_TLS_H
#define CARPOOL_IO_TLS_H

/* TLS towards upstreams with OpenSSL 3. One context an upstream's TLS identity; sessions are kept an origin.
 * OpenSSL writes with write(2): the process must ignore SIGPIPE. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/slice.h"

struct tls;
struct tls_context;
struct tls_options; /* config/config.h */
struct conn;

/* Made at start and reload from checked options; NULL with a sentence in `error` (what, which file, what to
 * do). Counted. */
struct tls_context *tls_context_new(const struct tls_options *o, char *error, size_t error_size);
/* The same; what `like` (may be NULL) has read of the system's store is shared when it is still that: reading it
 * takes some 50 ms. */
struct tls_context *tls_context_new_like(const struct tls_options *o, const struct tls_context *like,
                                         char *error, size_t error_size);
/* The system's store is still as it was read, if it was. The files of the options are not looked at. */
bool tls_context_is_current(const struct tls_context *c);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c);

/* What the options allow though somebody should look at it, as a sentence: verification is off, a certificate
 * of `ca` or `cert` is expired or not yet valid (a wrong clock at boot must not stop the upstream). False:
 * nothing. Looks at the wall clock. */
bool tls_context_warning(const struct tls_context *c, char *text, size_t size);
/* When the first certificate of `ca` and `cert` expires, in seconds since 1970; 0: there is none. */
int64_t tls_context_expires(const struct tls_context *c);

/* Sessions for resumption (several; those of TLS 1.3 are used once, RFC 8446 C.4), one store an origin. A
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

/* Lays TLS over a connected stream. `servername` is sent as SNI and checked in the certificate; an IP address
 * is checked as an IP SAN and not sent. `sessions` may be NULL and must outlive the stream otherwise. False
 * when memory is short. */
bool tls_start(struct conn *s, struct tls_context *c, const char *servername, struct tls_sessions *sessions);

/* Goes on with the handshake: 1 done, 0 wait for the stream to be ready, -1 failed. */
int tls_handshake(struct conn *s);

/* After -1, or CONN_ERROR with EPROTO (in TLS 1.3 a server judges our certificate after the handshake):
 * what failed and a sentence: which certificate, which check, what option would mend it. */
enum tls_failure tls_failure(const struct conn *s, char *text, size_t size);

/* After 1: whether the session was resumed. */
bool tls_was_resumed(const struct conn *s);

/* Called by stream.c only. */
ssize_t tls_read(struct conn *s, void *to, size_t n);
ssize_t tls_write(struct conn *s, const struct iovec *v, int count);
void tls_shutdown(struct conn *s);
bool tls_is_quiet(struct conn *s);
size_t tls_buffered(const struct conn *s);
/* A read waits for room to write, or a write for something to read: either readiness is both. */
bool tls_is_crossed(const struct conn *s);
void tls_free(struct tls *t);

#endif
