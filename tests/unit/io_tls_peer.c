#include "io_tls_peer.h"

#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io_test.h"

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ck_assert_ptr_nonnull(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

struct certificate certificate_make(const char *common_name, const char *names,
                                    const struct certificate *issuer, long from, long to)
{
    static long serial = 1;
    struct certificate c = {EVP_EC_gen("P-256"), X509_new()};
    X509_NAME *subject = X509_get_subject_name(c.x509);

    X509_set_version(c.x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x509), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c.x509), from);
    X509_gmtime_adj(X509_getm_notAfter(c.x509), to);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0);
    X509_set_issuer_name(c.x509, issuer ? X509_get_subject_name(issuer->x509) : subject);
    X509_set_pubkey(c.x509, c.key);
    add_extension(c.x509, issuer ? issuer->x509 : c.x509, NID_basic_constraints,
                  names ? "CA:FALSE" : "critical,CA:TRUE");
    if (names)
        add_extension(c.x509, issuer ? issuer->x509 : c.x509, NID_subject_alt_name, names);
    ck_assert_int_gt(X509_sign(c.x509, issuer ? issuer->key : c.key, EVP_sha256()), 0);
    return c;
}

void certificate_free(struct certificate *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
}

void certificate_write(const struct certificate *c, const char *cert_name, const char *key_name)
{
    FILE *f = fopen(io_path(cert_name), "w");

    ck_assert_ptr_nonnull(f);
    PEM_write_X509(f, c->x509);
    fclose(f);
    if (!key_name)
        return;
    f = fopen(io_path(key_name), "w");
    ck_assert_ptr_nonnull(f);
    PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}

void tls_server_init(struct tls_server *s, const struct certificate *c)
{
    *s = (struct tls_server){.ssl = SSL_CTX_new(TLS_server_method())};
    ck_assert_int_eq(SSL_CTX_use_certificate(s->ssl, c->x509), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(s->ssl, c->key), 1);
    SSL_CTX_set_session_id_context(s->ssl, (const unsigned char *)"t", 1);
}

static void wait_for_end(int fd)
{
    char waste[256];

    while (read(fd, waste, sizeof waste) > 0) {
    }
}

static void serve_raw(struct tls_server *s, int fd)
{
    static const char plain[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    char hello[16];

    if (s->raw == TLS_SERVER_IS_SILENT)
        wait_for_end(fd);
    else if (read(fd, hello, sizeof hello) > 0 && s->raw == TLS_SERVER_IS_PLAIN)
        (void)!write(fd, plain, sizeof plain - 1);
    if (s->raw == TLS_SERVER_IS_PLAIN)
        wait_for_end(fd);
}

static void serve_one(struct tls_server *s, int fd)
{
    SSL *ssl = SSL_new(s->ssl);
    const char *sni;

    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        s->handshakes++;
        s->resumed += SSL_session_reused(ssl);
        sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        snprintf(s->sni, sizeof s->sni, "%s", sni ? sni : "");
        if (s->serve)
            s->serve(s, ssl);
        else
            wait_for_end(fd);
    }
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
}

static void *serve_all(void *arg)
{
    struct tls_server *s = arg;
    int fd;

    while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (s->raw == TLS_SERVER_TALKS)
            serve_one(s, fd);
        else
            serve_raw(s, fd);
        close(fd);
    }
    return NULL;
}

void tls_server_start(struct tls_server *s)
{
    signal(SIGPIPE, SIG_IGN);
    s->fd = io_listen(&s->address, 64);
    ck_assert_int_eq(pthread_create(&s->thread, NULL, serve_all, s), 0);
}

void tls_server_stop(struct tls_server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    SSL_CTX_free(s->ssl);
}
