#include "ca/signer.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/list.h"
#include "ca/issue.h"
#include "ca/tickets.h"

struct leaf {
    UT_hash_handle hh;
    TAILQ_ENTRY(leaf) link;
    struct issued issued;
    int64_t issued_s;
    char host[]; /* the key; not ended by a zero */
};

TAILQ_HEAD(leaf_list, leaf);

struct signer {
    int refs; /* atomic */
    struct ca *ca;
    SSL_CTX *ssl;
    pthread_mutex_t lock; /* of what follows */
    struct leaf *leaves;
    struct leaf_list by_use; /* least recently used first */
};

/* ---- the handshake */

/* Node and Python say a name with the dot that ends it in their URL. */
static bool is_for(X509 *certificate, const char *name)
{
    size_t n = strlen(name);
    if (n > 1 && name[n - 1] == '.')
        n--;
    return X509_check_host(certificate, name, n, X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1 ||
           X509_check_ip_asc(certificate, name, 0) == 1;
}

/* RFC 6066 3. The certificate is the one of the host that CONNECT named. */
static int check_name(SSL *ssl, int *alert, void *ctx)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)ctx;
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    if (is_for(SSL_get_certificate(ssl), name))
        return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                           unsigned in_n, void *ctx)
{
    static const unsigned char http_1_1[] = "\x08http/1.1";
    (void)ssl, (void)ctx;
    bool found = SSL_select_next_proto((unsigned char **)out, n, http_1_1, sizeof http_1_1 - 1, in, in_n) ==
                 OPENSSL_NPN_NEGOTIATED;
    return found ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The first two are as strong as X25519 and our P-256 keys are; SHA-256 makes the first one's handshake
 * cheaper, for which processors have instructions. */
#define CIPHER_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

static SSL_CTX *new_context(void)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    if (!ssl)
        return NULL;
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_ciphersuites(ssl, CIPHER_SUITES);
    SSL_CTX_clear_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ssl, 1);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ssl, 1);
    SSL_CTX_set_max_early_data(ssl, 0);
    SSL_CTX_set_tlsext_servername_callback(ssl, check_name);
    SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
    if (tickets_begin(ssl))
        return ssl;
    SSL_CTX_free(ssl);
    return NULL;
}

/* ---- its life */

struct signer *signer_new(struct ca *ca)
{
    struct signer *s = calloc(1, sizeof *s);
    if (!s) {
        ca_free(ca);
        return NULL;
    }
    s->refs = 1;
    s->ca = ca;
    pthread_mutex_init(&s->lock, NULL);
    TAILQ_INIT(&s->by_use);
    s->ssl = new_context();
    if (s->ssl)
        return s;
    signer_unref(s);
    ERR_clear_error();
    return NULL;
}

struct signer *signer_ref(struct signer *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

static void leaf_free(struct leaf *l)
{
    issued_free(&l->issued);
    free(l);
}

static void forget(struct signer *s, struct leaf *l)
{
    HASH_DEL(s->leaves, l); /* NOLINT(clang-analyzer-unix.Malloc): the last one empties s->leaves */
    TAILQ_REMOVE(&s->by_use, l, link);
    leaf_free(l);
}

void signer_unref(struct signer *s)
{
    struct leaf *l;
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    while ((l = TAILQ_FIRST(&s->by_use)))
        forget(s, l);
    pthread_mutex_destroy(&s->lock);
    SSL_CTX_free(s->ssl);
    ca_free(s->ca);
    free(s);
}

const struct ca *signer_ca(const struct signer *s)
{
    return s->ca;
}

unsigned signer_kept(const struct signer *s)
{
    return HASH_COUNT(s->leaves);
}

/* ---- certificates */

/* Renewed after half of its time. */
static bool is_fresh(const struct leaf *l, int64_t now)
{
    return now >= l->issued_s - ISSUE_BACKDATED_S && now < l->issued_s + ISSUE_VALID_S / 2;
}

static struct leaf *issue(struct signer *s, struct slice host, int64_t now)
{
    struct leaf *l = calloc(1, sizeof *l + host.n);
    if (!l)
        return NULL;
    memcpy(l->host, host.p, host.n);
    l->issued_s = now;
    if (!issue_for_host(s->ca, host, now, &l->issued)) {
        free(l);
        return NULL;
    }
    HASH_ADD_KEYPTR(hh, s->leaves, l->host, host.n, l);
    if (!l->hh.tbl) {
        leaf_free(l);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&s->by_use, l, link);
    if (HASH_COUNT(s->leaves) > SIGNER_KEPT_MAX)
        forget(s, TAILQ_FIRST(&s->by_use));
    return l;
}

/* The one that is kept, or a new one. Under the lock. */
static const struct leaf *leaf_for(struct signer *s, struct slice host, int64_t now)
{
    struct leaf *l;
    HASH_FIND(hh, s->leaves, host.p, host.n, l);
    if (l && is_fresh(l, now)) {
        TAILQ_REMOVE(&s->by_use, l, link);
        TAILQ_INSERT_TAIL(&s->by_use, l, link);
        return l;
    }
    if (l)
        forget(s, l);
    return issue(s, host, now);
}

static bool use_leaf(struct signer *s, SSL *ssl, struct slice host, int64_t now)
{
    pthread_mutex_lock(&s->lock);
    const struct leaf *l = leaf_for(s, host, now);
    bool good = l && SSL_use_cert_and_key(ssl, l->issued.certificate, l->issued.key, NULL, 1) == 1;
    pthread_mutex_unlock(&s->lock);
    return good;
}

/* A session that was made for one host is not taken for another. */
static bool bind_tickets(SSL *ssl, struct slice host)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n;
    return EVP_Digest(host.p, host.n, digest, &n, EVP_sha256(), NULL) == 1 &&
           SSL_set_session_id_context(ssl, digest, n) == 1;
}

SSL *signer_accept(struct signer *s, struct slice host, int64_t now)
{
    ERR_clear_error();
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    SSL *ssl = tickets_rotate(tickets_of(s->ssl), now) ? SSL_new(s->ssl) : NULL;
    if (ssl && use_leaf(s, ssl, host, now) && bind_tickets(ssl, host))
        return ssl;
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}
