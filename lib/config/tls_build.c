#include "config/tls_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

void tls_find(struct tls_findings *f, const char *option, bool is_error, const char *format, ...)
{
    va_list args;
    if (f->count == sizeof f->items / sizeof f->items[0])
        return;
    struct tls_finding *one = &f->items[f->count++];
    one->option = option;
    one->is_error = is_error;
    va_start(args, format);
    vsnprintf(one->text, sizeof one->text, format, args);
    va_end(args);
}

bool tls_has_errors(const struct tls_findings *f)
{
    for (int i = 0; i < f->count; i++)
        if (f->items[i].is_error)
            return true;
    return false;
}

/* What OpenSSL says of its last failure, as ": reason". */
static const char *openssl_reason(char *out, size_t size)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    snprintf(out, size, "%s%s", reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return out;
}

/* ---- versions and ciphers */

static int version_of(enum tls_version v)
{
    switch (v) {
    case TLS_VERSION_1_0: return TLS1_VERSION;
    case TLS_VERSION_1_1: return TLS1_1_VERSION;
    case TLS_VERSION_1_2: return TLS1_2_VERSION;
    case TLS_VERSION_1_3: return TLS1_3_VERSION;
    }
    return TLS1_2_VERSION;
}

/* Appends a name to a colon-separated list in `list`, which has room for all. */
static void append_name(char *list, const char *name, size_t n)
{
    size_t at = strlen(list);
    if (at > 0)
        list[at++] = ':';
    memcpy(list + at, name, n);
    list[at + n] = '\0';
}

/* One after the other: OpenSSL may pass over what it does not know beside what it does. */
static bool suites_are_known(struct tls_draft *d, const char *suites)
{
    char name[64];
    int place = 1;
    for (const char *p = suites; *p; p += strcspn(p, ":"), p += *p == ':', place++) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p, ":"), p);
        if (SSL_CTX_set_ciphersuites(d->setup->ssl, name) == 1)
            continue;
        tls_find(d->findings, "tls.ciphers", true,
                 "is wrong: entry %d of those that begin with TLS_ is not a cipher suite of TLS 1.3; see "
                 "openssl-ciphers(1)",
                 place);
        return false;
    }
    return true;
}

/* As in Node, one list names the suites of TLS 1.3 (TLS_...) and the ciphers of earlier versions; a version
 * that it does not name is not spoken. */
static void use_ciphers(struct tls_draft *d, const char *suites, const char *older)
{
    SSL_CTX *ssl = d->setup->ssl;
    if (*suites && (!suites_are_known(d, suites) || SSL_CTX_set_ciphersuites(ssl, suites) != 1))
        return;
    if (*older && SSL_CTX_set_cipher_list(ssl, older) != 1)
        tls_find(d->findings, "tls.ciphers", true,
                 "is wrong: it names no cipher that OpenSSL has; see openssl-ciphers(1)");
    else if (*older && !*suites && d->options->minVersion == TLS_VERSION_1_3)
        tls_find(d->findings, "tls.ciphers", true,
                 "names no cipher suite of TLS 1.3 (TLS_...), and tls.minVersion allows nothing else");
    else if (*older && !*suites)
        SSL_CTX_set_max_proto_version(ssl, TLS1_2_VERSION);
    else if (*suites && !*older)
        SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION);
}

static void set_ciphers(struct tls_draft *d)
{
    const char *all = d->options->ciphers;
    size_t room = strlen(all) + 1;
    char *suites = calloc(2, room);
    if (!suites) {
        tls_find(d->findings, "tls.ciphers", true, "cannot be set: out of memory");
        return;
    }
    char *older = suites + room;
    for (const char *p = all; *p;) {
        size_t n = strcspn(p, ":, ");
        if (n > 0)
            append_name(strncmp(p, "TLS_", 4) == 0 ? suites : older, p, n);
        p += n + (p[n] != '\0');
    }
    use_ciphers(d, suites, older);
    free(suites);
    ERR_clear_error();
}

static void set_protocol(struct tls_draft *d)
{
    const struct tls_options *o = d->options;
    /* TLS 1.0 and 1.1 sign with SHA-1, which OpenSSL 3 allows on its lowest level alone. */
    if (o->minVersion < TLS_VERSION_1_2)
        SSL_CTX_set_security_level(d->setup->ssl, 0);
    SSL_CTX_set_max_proto_version(d->setup->ssl, 0);
    if (SSL_CTX_set_min_proto_version(d->setup->ssl, version_of(o->minVersion)) != 1)
        tls_find(d->findings, "tls.minVersion", true, "this OpenSSL does not speak that version");
    if (*o->ciphers)
        set_ciphers(d);
    ERR_clear_error();
}

/* ---- certificates */

/* The first is the client's own, what follows its chain. */
static bool use_certificate(void *ctx, X509 *x, int place)
{
    struct tls_draft *d = ctx;
    char why[TLS_SUBJECT_SIZE];
    tls_dates_add(&d->setup->dates, x);
    if (place == 0 ? SSL_CTX_use_certificate(d->setup->ssl, x) == 1
                   : SSL_CTX_add1_chain_cert(d->setup->ssl, x) == 1)
        return true;
    tls_find(d->findings, "tls.cert", true, "cannot be used, because of its certificate %d%s", place + 1,
             openssl_reason(why, sizeof why));
    return false;
}

static bool load_certificate(struct tls_draft *d)
{
    if (tls_certificates(d->cert, use_certificate, d))
        return true;
    if (*d->cert->broken)
        tls_find(d->findings, "tls.cert", true, "%s", d->cert->broken);
    return false;
}

struct passphrase {
    struct slice text;
    bool asked;
};

/* Without it, OpenSSL would ask on the terminal. */
static int give_passphrase(char *out, int size, int writing, void *ctx)
{
    struct passphrase *p = ctx;
    (void)writing;
    p->asked = true;
    if (!p->text.p || p->text.n > (size_t)size)
        return -1;
    memcpy(out, p->text.p, p->text.n);
    return (int)p->text.n;
}

static void note_locked_key(struct tls_draft *d)
{
    char why[TLS_SUBJECT_SIZE];
    if (!d->passphrase.p)
        tls_find(
            d->findings, "tls.key", true,
            "is encrypted: set passphrase or passphraseFile, or store it without a passphrase (openssl pkey -in FILE -out FILE)");
    else
        tls_find(d->findings, "tls.key", true, "cannot be decrypted%s; is %s the right one?",
                 openssl_reason(why, sizeof why), d->passphrase_option);
}

static void load_key(struct tls_draft *d, bool has_certificate)
{
    char why[TLS_SUBJECT_SIZE];
    struct passphrase passphrase = {.text = d->passphrase};
    BIO *bio = BIO_new_mem_buf(d->key->text, (int)d->key->length);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &passphrase) : NULL;
    BIO_free(bio);
    if (!key && passphrase.asked)
        note_locked_key(d);
    else if (!key)
        tls_find(d->findings, "tls.key", true, "holds no private key in PEM form%s",
                 openssl_reason(why, sizeof why));
    else if (has_certificate && (SSL_CTX_use_PrivateKey(d->setup->ssl, key) != 1 ||
                                 SSL_CTX_check_private_key(d->setup->ssl) != 1))
        tls_find(d->findings, "tls.key", true, "is not the key of the certificate in '%.200s'%s",
                 d->cert->path, openssl_reason(why, sizeof why));
    if (key && d->passphrase.p && !passphrase.asked)
        tls_find(d->findings, d->passphrase_option, false, "is not needed: the key is not encrypted");
    EVP_PKEY_free(key);
    ERR_clear_error();
}

static void load_identity(struct tls_draft *d)
{
    bool usable = d->cert && load_certificate(d);
    if (d->key)
        load_key(d, usable);
}

/* ---- making one */

static struct tls_setup *setup_new(void)
{
    struct tls_setup *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->refs = 1;
    s->ssl = SSL_CTX_new(TLS_client_method());
    if (s->ssl)
        return s;
    free(s);
    ERR_clear_error();
    return NULL;
}

struct tls_setup *tls_setup_ref(struct tls_setup *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void tls_setup_unref(struct tls_setup *s)
{
    if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    SSL_CTX_free(s->ssl);
    tls_trust_unref(s->trust);
    free(s);
}

/* Five full records with what encryption adds: as much as a buffer for content takes (base/buffer.h). */
#define READ_BUFFER_SIZE (5 * (16384 + 64))

static void set_modes(struct tls_setup *s)
{
    static const unsigned char http_1_1[] = "\x08http/1.1";
    SSL_CTX_set_options(s->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* A bare end of file is distinguished from close_notify: it may be a truncation. */
    SSL_CTX_clear_options(s->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(s->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    /* One read for a record, not one for its five bytes of head and another for the rest. */
    SSL_CTX_set_read_ahead(s->ssl, 1);
    SSL_CTX_set_default_read_buffer_len(s->ssl, READ_BUFFER_SIZE);
    SSL_CTX_set_alpn_protos(s->ssl, http_1_1, sizeof http_1_1 - 1);
    if (s->resume) {
        SSL_CTX_set_session_cache_mode(s->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    } else {
        SSL_CTX_set_session_cache_mode(s->ssl, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(s->ssl, SSL_OP_NO_TICKET);
    }
}

static void fill(struct tls_draft *d)
{
    struct tls_setup *s = d->setup;
    s->verify = d->options->rejectUnauthorized;
    s->resume = d->options->sessionReuse;
    set_modes(s);
    if (d->options->legacyServerConnect)
        SSL_CTX_set_options(s->ssl, SSL_OP_LEGACY_SERVER_CONNECT);
    /* Before the certificates: a cipher list may set another security level, which decides what keys will
     * do. */
    set_protocol(d);
    load_identity(d);
    if (!s->trust)
        return;
    SSL_CTX_set1_cert_store(s->ssl, s->trust->store);
    SSL_CTX_set_cert_verify_callback(s->ssl, tls_trust_verify, NULL);
}

struct tls_setup *tls_build(struct tls_draft *d, const char key[TLS_DIGEST_SIZE], struct tls_trust *trust)
{
    d->setup = setup_new();
    if (!d->setup) {
        tls_find(d->findings, "tls", true, "cannot be set up: out of memory");
        return NULL;
    }
    memcpy(d->setup->key, key, TLS_DIGEST_SIZE);
    d->setup->trust = trust ? tls_trust_ref(trust) : NULL;
    fill(d);
    if (!tls_has_errors(d->findings))
        return d->setup;
    tls_setup_unref(d->setup);
    return NULL;
}
