#include "ca/tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE   16 /* RFC 5077 4 */
#define SECRET_SIZE 32

struct ticket_key {
    int64_t made_s; /* Unix seconds; 0: there is none */
    unsigned char name[NAME_SIZE], cipher[SECRET_SIZE], mac[SECRET_SIZE];
};

struct tickets {
    pthread_mutex_t lock;
    struct ticket_key current, previous;
};

/* Where a context has them. */
static int context_index = -1;
static pthread_once_t index_made = PTHREAD_ONCE_INIT;

static bool make_key(struct ticket_key *k, int64_t now)
{
    k->made_s = now;
    return RAND_bytes(k->name, sizeof k->name) == 1 && RAND_priv_bytes(k->cipher, sizeof k->cipher) == 1 &&
           RAND_priv_bytes(k->mac, sizeof k->mac) == 1;
}

/* ---- their life */

static struct tickets *tickets_new(void)
{
    struct tickets *t = calloc(1, sizeof *t);
    if (t)
        pthread_mutex_init(&t->lock, NULL);
    return t;
}

static void tickets_free(struct tickets *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    OPENSSL_cleanse(t, sizeof *t);
    free(t);
}

/* The threads' clocks are read one after the other, and a clock may be set back. */
static bool is_older(const struct ticket_key *k, int64_t seconds, int64_t now)
{
    return now >= k->made_s + seconds || now < k->made_s - seconds;
}

static void replace(struct tickets *t, int64_t now)
{
    struct ticket_key fresh;
    if (make_key(&fresh, now)) {
        t->previous = t->current;
        t->current = fresh;
    }
    OPENSSL_cleanse(&fresh, sizeof fresh);
}

bool tickets_rotate(struct tickets *t, int64_t now)
{
    pthread_mutex_lock(&t->lock);
    if (is_older(&t->current, TICKETS_KEY_S, now))
        replace(t, now);
    if (is_older(&t->previous, 2 * TICKETS_KEY_S, now))
        OPENSSL_cleanse(&t->previous, sizeof t->previous);
    bool good = t->current.made_s != 0;
    pthread_mutex_unlock(&t->lock);
    return good;
}

/* ---- their use */

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *k)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof k->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 1: done, -1: the handshake fails (SSL_CTX_set_tlsext_ticket_key_evp_cb(3); 0 is a malformed ticket in
 * TLS 1.3 before OpenSSL 3.2). */
static int seal(struct ticket_key *k, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
    if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1 ||
        EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv) != 1 || !set_mac(mac, k))
        return -1;
    memcpy(name, k->name, sizeof k->name);
    return 1;
}

static bool is_named(const struct ticket_key *k, const unsigned char *name)
{
    return k->made_s != 0 && CRYPTO_memcmp(k->name, name, sizeof k->name) == 0;
}

/* 1: done, 2: and the client gets a new one, 0: a full handshake. In TLS 1.3 each ticket is used once (RFC
 * 8446 C.4). */
static int open_ticket(const SSL *ssl, struct ticket_key *k, bool is_current, const unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv) != 1 || !set_mac(mac, k))
        return 0;
    return is_current && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int seals)
{
    struct tickets *t = tickets_of(SSL_get_SSL_CTX(ssl));
    int result = 0;
    pthread_mutex_lock(&t->lock);
    if (seals)
        result = seal(&t->current, name, iv, cipher, mac);
    else if (is_named(&t->current, name))
        result = open_ticket(ssl, &t->current, true, iv, cipher, mac);
    else if (is_named(&t->previous, name))
        result = open_ticket(ssl, &t->previous, false, iv, cipher, mac);
    pthread_mutex_unlock(&t->lock);
    return result;
}

static void free_with_context(void *context, void *tickets, CRYPTO_EX_DATA *data, int index, long n,
                              void *arg)
{
    (void)context, (void)data, (void)index, (void)n, (void)arg;
    tickets_free(tickets);
}

static void make_index(void)
{
    context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_with_context);
}

struct tickets *tickets_of(SSL_CTX *ssl)
{
    return SSL_CTX_get_ex_data(ssl, context_index);
}

bool tickets_begin(SSL_CTX *ssl)
{
    pthread_once(&index_made, make_index);
    struct tickets *t = tickets_new();
    SSL_CTX_set_timeout(ssl, TICKETS_KEY_S);
    if (!t || context_index < 0 || SSL_CTX_set_ex_data(ssl, context_index, t) != 1) {
        tickets_free(t);
        return false;
    }
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket) == 1;
}
