#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/config.h"
#include "io/tls_internal.h"

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static bool complain(char *error, size_t size, const char *option, const char *file, const char *advice)
{
    unsigned long code = ERR_peek_error();
    const char *cause = ERR_reason_error_string(code);

    if (ERR_SYSTEM_ERROR(code))
        cause = strerror(ERR_GET_REASON(code));
    snprintf(error, size, "%s: %s%s%s%s", option, file, *file ? ": " : "",
             cause ? cause : "OpenSSL refuses it", advice);
    ERR_clear_error();
    return false;
}

/* A passphrase would be asked for on the terminal. */
static int no_passphrase(char *to, int size, int writing, void *ctx)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)ctx;
    return 0;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);

    if (!t || !t->sessions)
        return 0;
    t->renewed = true;
    tls_sessions_put(t->sessions, t->context, session);
    return 1;
}

/* Changes when the file or folder does that a variable, or else OpenSSL's default, names. */
static uint64_t stamp_of(const char *variable, const char *otherwise)
{
    const char *path = getenv(variable);
    struct stat st;

    if (stat(path ? path : otherwise, &st) != 0)
        return 0;
    return (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec + st.st_ino +
           (uint64_t)st.st_size;
}

static uint64_t system_trust_stamp(void)
{
    return stamp_of(X509_get_default_cert_file_env(), X509_get_default_cert_file()) * 31 +
           stamp_of(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
}

bool tls_context_is_current(const struct tls_context *c)
{
    return c->own_trust || c->system_stamp == system_trust_stamp();
}

static bool load_trust(struct tls_context *c, const struct tls_options *o, const struct tls_context *like,
                       char *error, size_t size)
{
    const char *ca = or_empty(o->ca);

    if (!*ca) {
        c->system_stamp = system_trust_stamp();
        if (like && !like->own_trust && like->system_stamp == c->system_stamp) {
            SSL_CTX_set1_cert_store(c->ssl, SSL_CTX_get_cert_store(like->ssl));
            return true;
        }
        /* A host without a store is no error here: each certificate will then be refused, with advice. */
        SSL_CTX_set_default_verify_paths(c->ssl);
        ERR_clear_error();
        return true;
    }
    c->own_trust = true;
    if (SSL_CTX_load_verify_file(c->ssl, ca) == 1)
        return true;
    return complain(error, size, "tls.ca", ca, "; it must hold certificates in PEM");
}

static bool load_identity(struct tls_context *c, const struct tls_options *o, char *error, size_t size)
{
    const char *cert = or_empty(o->cert), *key = *or_empty(o->key) ? o->key : cert;

    if (!*cert && *or_empty(o->key)) {
        snprintf(error, size, "tls.key: %s: a key needs its certificate: set tls.cert", o->key);
        return false;
    }
    if (!*cert)
        return true;
    if (SSL_CTX_use_certificate_chain_file(c->ssl, cert) != 1)
        return complain(error, size, "tls.cert", cert, "; it must hold the certificate and its chain in PEM");
    if (SSL_CTX_use_PrivateKey_file(c->ssl, key, SSL_FILETYPE_PEM) != 1)
        return complain(error, size, "tls.key", key,
                        "; it must hold the certificate's own private key in PEM, without a passphrase");
    if (SSL_CTX_check_private_key(c->ssl) != 1)
        return complain(error, size, "tls.key", key, "; it belongs to another certificate than tls.cert");
    return true;
}

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

/* As in Node, one list names the suites of TLS 1.3 (TLS_...) and the ciphers of earlier versions; a version
 * that it does not name is not spoken. */
static bool set_ciphers(struct tls_context *c, const struct tls_options *o, char *error, size_t size)
{
    const char *all = or_empty(o->ciphers);
    size_t room = strlen(all) + 1;
    char *suites = calloc(2, room), *older = suites + room;
    bool fine = suites != NULL;

    for (const char *p = all; fine && *p;) {
        size_t n = strcspn(p, ":, ");
        if (n > 0)
            append_name(strncmp(p, "TLS_", 4) == 0 ? suites : older, p, n);
        p += n + (p[n] != '\0');
    }
    if (fine && *suites)
        fine = SSL_CTX_set_ciphersuites(c->ssl, suites) == 1;
    if (fine && *older)
        fine = SSL_CTX_set_cipher_list(c->ssl, older) == 1;
    if (fine && *older && !*suites)
        fine = SSL_CTX_set_max_proto_version(c->ssl, TLS1_2_VERSION) == 1 && o->minVersion < TLS_VERSION_1_3;
    if (fine && *suites && !*older)
        fine = SSL_CTX_set_min_proto_version(c->ssl, TLS1_3_VERSION) == 1;
    free(suites);
    if (!fine)
        complain(error, size, "tls.ciphers", all,
                 "; see `openssl ciphers` for the names (and do they fit tls.minVersion?)");
    return fine;
}

static bool set_protocol(struct tls_context *c, const struct tls_options *o, char *error, size_t size)
{
    static const unsigned char http_1_1[] = "\x08http/1.1";

    /* TLS 1.0 and 1.1 sign with SHA-1, which OpenSSL 3 allows on its lowest level alone. */
    if (o->minVersion < TLS_VERSION_1_2)
        SSL_CTX_set_security_level(c->ssl, 0);
    SSL_CTX_set_max_proto_version(c->ssl, 0);
    if (SSL_CTX_set_min_proto_version(c->ssl, version_of(o->minVersion)) != 1)
        return complain(error, size, "tls.minVersion", "", "");
    if (*or_empty(o->ciphers) && !set_ciphers(c, o, error, size))
        return false;
    if (SSL_CTX_set_alpn_protos(c->ssl, http_1_1, sizeof http_1_1 - 1) != 0)
        return complain(error, size, "tls", "ALPN", "");
    return true;
}

static void set_modes(struct tls_context *c)
{
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* A bare end of file is told from close_notify: it may be a truncation. */
    SSL_CTX_clear_options(c->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    /* One read for a record, not one for its five bytes of head and another for the rest. */
    SSL_CTX_set_read_ahead(c->ssl, 1);
    SSL_CTX_set_default_passwd_cb(c->ssl, no_passphrase);
    SSL_CTX_set_verify(c->ssl, c->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       c->verify ? tls_remember_distrust : NULL);
    if (c->resume) {
        SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(c->ssl, keep_session);
    } else {
        SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
    }
}

struct tls_context *tls_context_new(const struct tls_options *o, char *error, size_t error_size)
{
    return tls_context_new_like(o, NULL, error, error_size);
}

struct tls_context *tls_context_new_like(const struct tls_options *o, const struct tls_context *like,
                                         char *error, size_t error_size)
{
    struct tls_context *c = calloc(1, sizeof *c);

    ERR_clear_error();
    if (c)
        c->ssl = SSL_CTX_new(TLS_client_method());
    if (!c || !c->ssl) {
        complain(error, error_size, "tls", "OpenSSL cannot be set up", "");
        free(c);
        return NULL;
    }
    c->refs = 1;
    c->verify = o->rejectUnauthorized;
    c->resume = o->sessionReuse;
    set_modes(c);
    if (load_trust(c, o, like, error, error_size) && load_identity(c, o, error, error_size) &&
        set_protocol(c, o, error, error_size))
        return c;
    tls_context_unref(c);
    return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    if (c)
        __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    SSL_CTX_free(c->ssl);
    free(c);
}

/* Calls `look` with the certificates of `cert` and `ca`, not with those of the system's store; stops when it
 * returns true. */
static bool any_certificate(const struct tls_context *c, bool (*look)(void *ctx, X509 *x, const char *option),
                            void *ctx)
{
    X509 *own = SSL_CTX_get0_certificate(c->ssl);
    STACK_OF(X509_OBJECT) *trusted =
        c->own_trust ? X509_STORE_get0_objects(SSL_CTX_get_cert_store(c->ssl)) : NULL;

    if (own && look(ctx, own, "tls.cert"))
        return true;
    for (int i = 0; i < sk_X509_OBJECT_num(trusted); i++) {
        X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i));
        if (x && look(ctx, x, "tls.ca"))
            return true;
    }
    return false;
}

struct sentence {
    char *text;
    size_t size;
};

static bool look_at_dates(void *ctx, X509 *x, const char *option)
{
    struct sentence *s = ctx;
    char subject[128];
    bool expired = X509_cmp_current_time(X509_get0_notAfter(x)) < 0;

    if (!expired && X509_cmp_current_time(X509_get0_notBefore(x)) <= 0)
        return false;
    X509_NAME_oneline(X509_get_subject_name(x), subject, sizeof subject);
    snprintf(s->text, s->size, "%s: the certificate %s %s; renew it, or check the clock", option, subject,
             expired ? "has expired" : "is not yet valid");
    return true;
}

bool tls_context_warning(const struct tls_context *c, char *text, size_t size)
{
    if (any_certificate(c, look_at_dates, &(struct sentence){text, size}))
        return true;
    if (c->verify)
        return false;
    snprintf(text, size,
             "tls.rejectUnauthorized is false: anybody on the way can read and change what is sent");
    return true;
}

static bool look_at_end(void *ctx, X509 *x, const char *option)
{
    int64_t *first = ctx, end;
    struct tm tm;

    (void)option;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
        return false;
    end = timegm(&tm);
    if (*first == 0 || end < *first)
        *first = end;
    return false;
}

int64_t tls_context_expires(const struct tls_context *c)
{
    int64_t first = 0;

    any_certificate(c, look_at_end, &first);
    return first;
}
