#ifndef CARPOOL_CA_TICKETS_H
#define CARPOOL_CA_TICKETS_H

/* The keys of session tickets (RFC 5077 4, RFC 8446 4.6.1): made in memory, never stored, and replaced as
 * time goes on. Several threads may use them. */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/* A key seals tickets for so long, and opens them for as long again. A ticket is good for so long, too. */
#define TICKETS_KEY_S (2 * 3600)

struct tickets;

/* The context has keys of its own from now on, which end with it: each connection holds its context, as long
 * as its handshake may last. False when memory is short. */
bool tickets_begin(SSL_CTX *ssl);

/* Those of a context that has some. */
struct tickets *tickets_of(SSL_CTX *ssl);

/* Before a handshake; `now` in Unix seconds. Keys that are too old go. False: there is none, since randomness
 * is short. */
bool tickets_rotate(struct tickets *t, int64_t now);

#endif
