#ifndef CARPOOL_TESTS_IO_TLS_PEER_H
#define CARPOOL_TESTS_IO_TLS_PEER_H

/* Certificates, and a TLS server in a thread of its own that serves one connection after the other. */

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/address.h"

struct certificate {
    EVP_PKEY *key;
    X509 *x509;
};

/* `names` as in openssl.cnf ("DNS:a.test,IP:127.0.0.1"), NULL for a CA; `issuer` NULL: self-signed; valid
 * from `from` to `to` seconds from now. */
struct certificate certificate_make(const char *common_name, const char *names,
                                    const struct certificate *issuer, long from, long to);
void certificate_free(struct certificate *c);

/* Writes PEM files to io_path(name). */
void certificate_write(const struct certificate *c, const char *cert_name, const char *key_name);

struct tls_server {
    SSL_CTX *ssl; /* to be changed before tls_server_start() */
    struct address address;
    /* After the handshake; the descriptor is blocking. NULL: waits for the end. */
    void (*serve)(struct tls_server *s, SSL *ssl);
    int raw; /* hang up before the handshake, or answer with plain text */
    int fd, handshakes, resumed;
    char sni[64];
    pthread_t thread;
};

enum { TLS_SERVER_TALKS, TLS_SERVER_HANGS_UP, TLS_SERVER_IS_PLAIN, TLS_SERVER_IS_SILENT };

void tls_server_init(struct tls_server *s, const struct certificate *c);
void tls_server_start(struct tls_server *s);
/* After the clients have closed. */
void tls_server_stop(struct tls_server *s);

#endif
