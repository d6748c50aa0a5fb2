#ifndef CARPOOL_TESTS_IO_TLS_TEST_H
#define CARPOOL_TESTS_IO_TLS_TEST_H

/* What io_tls_test and io_tls_data_test share: one client, step by step. */

#include "config/config.h"
#include "config/tls_setup.h"
#include "io/tls.h"
#include "io_test.h"
#include "io_tls_peer.h"

/* For good.test, *.wild.test and 127.0.0.1, by our own CA; also ca.pem, ca.key, leaf.pem and leaf.key in
 * io_path(). */
extern struct certificate io_ca, io_leaf;
void io_make_certificates(void);
void io_free_certificates(void);

/* Trusts our CA; otherwise the defaults. */
struct tls_options io_tls_options(void);
struct tls_context *io_tls_context(struct tls_options o);
/* NULL with what is wrong. */
struct tls_context *io_tls_try_context(const struct tls_options *o, struct tls_findings *f);

/* Until the descriptor is ready; fails the test after 3 s. */
void io_wait_for(struct conn *s, short what);

void io_tls_connect(struct conn *s, const struct tls_server *server);
int io_tls_handshake(struct conn *s);
/* Connects and shakes hands: what tls_handshake() said in the end. */
int io_shake(struct conn *s, const struct tls_server *server, struct tls_context *c, const char *name,
             struct tls_sessions *sessions);

/* Reads until n bytes, an end or an error: the count, or what came instead. */
ssize_t io_read_all(struct conn *s, char *to, size_t n);

void io_say(struct conn *s, const char *text);

/* A server that reads once, says "answer" and ends. */
void io_tls_answer_one(struct tls_server *server, SSL *ssl);

#endif
