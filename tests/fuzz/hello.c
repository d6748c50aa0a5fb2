/* What a client says first inside a CONNECT, and a ClientHello with what follows it. The first byte says in
 * which pieces the others come. What is told once stays told, and no handshake comes about by bytes that know
 * no key. */

#include <openssl/err.h>

#include "ca/issue.h"
#include "ca/signer.h"
#include "fuzz.h"
#include "http/opening.h"

#define NOW 1800000000 /* so that the same input finds the same */

static struct signer *signer;

static void prepare(void)
{
    static const char *const hosts[] = {"pay.test"};
    struct issued made;
    struct ca *ca = calloc(1, sizeof *ca);

    fuzz_assert(ca && issue_authority("fuzz", hosts, 1, 1000, NOW, &made));
    *ca = (struct ca){.certificate = made.certificate, .key = made.key, .not_after = NOW + 1000 * 86400};
    ca->constraints = constraints_of(ca->certificate);
    signer = signer_new(ca);
    fuzz_assert(ca->constraints && signer);
}

static void check_opening(const uint8_t *data, size_t size)
{
    enum opening before = OPENING_MORE;
    enum hello hello = HELLO_MORE;

    for (size_t n = 0; n <= size && n < 300; n++) {
        struct slice piece = fuzz_copy(data, n);
        enum opening now = opening_of(piece);

        fuzz_assert(before == OPENING_MORE || now == before);
        fuzz_assert(now != OPENING_MORE || n < 80);
        before = now;
        if (now == OPENING_TLS) {
            enum hello found = hello_of(piece);
            fuzz_assert(hello == HELLO_MORE || found == hello);
            hello = found;
        }
        free((char *)piece.p);
    }
}

/* As lib/proxy does: the ClientHello from memory, then what comes. */
static void shake_hands(const uint8_t *data, size_t size, size_t step)
{
    SSL *ssl = signer_accept(signer, SLICE("pay.test"), NOW);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    char byte;
    size_t n;

    fuzz_assert(ssl && in && out);
    SSL_set_accept_state(ssl);
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    for (size_t at = 0; at < size; at += step) {
        BIO_write(in, data + at, (int)(size - at < step ? size - at : step));
        ERR_clear_error();
        if (SSL_do_handshake(ssl) != 1 && SSL_get_error(ssl, 0) == SSL_ERROR_SSL)
            break;
    }
    fuzz_assert(!SSL_is_init_finished(ssl) && SSL_read_ex(ssl, &byte, 1, &n) != 1);
    SSL_free(ssl);
    ERR_clear_error();
}

static void run(const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    check_opening(data + 1, size - 1);
    if (opening_of((struct slice){(const char *)data + 1, size - 1}) == OPENING_TLS)
        shake_hands(data + 1, size - 1, (size_t)data[0] + 1);
}

const struct fuzz_target fuzz_hello = {"hello", prepare, run};
