/* Messages of the handshake, after it as well: key updates, tickets, wishes to renegotiate. They cost their
 * sender little and us a derivation each, and OpenSSL reads on for as long as they come: one call might never
 * return. */

#include <openssl/ssl.h>

#include "io/tls_internal.h"

/* A handshake has about ten. */
#define AT_ONCE 100
/* One more for so many bytes of data, which cost as much. */
#define BYTES_EACH 16384

static void on_message(int is_write, int version, int type, const void *bytes, size_t n, SSL *ssl, void *arg)
{
    struct tls *t = arg;

    (void)version, (void)bytes, (void)n;
    if (is_write || type != SSL3_RT_HANDSHAKE || ++t->messages <= AT_ONCE + t->bytes_read / BYTES_EACH)
        return;
    tls_explain_flood(t);
    BIO *end = BIO_new(BIO_s_null());
    if (end)
        SSL_set0_rbio(ssl, end);
}

void tls_limit_messages(struct tls *t)
{
    SSL_set_msg_callback(t->ssl, on_message);
    SSL_set_msg_callback_arg(t->ssl, t);
}
