/* A client that speaks TLS, step by step. */

#include "io_tls_test.h"

#include <poll.h>

struct certificate io_ca, io_leaf;

void io_make_certificates(void)
{
    io_ca = certificate_make("Test CA", NULL, NULL, -3600, 86400);
    io_leaf = certificate_make("leaf", "DNS:good.test,DNS:*.wild.test,IP:127.0.0.1", &io_ca, -3600, 86400);
    certificate_write(&io_ca, "ca.pem", "ca.key");
    certificate_write(&io_leaf, "leaf.pem", "leaf.key");
}

void io_free_certificates(void)
{
    certificate_free(&io_leaf);
    certificate_free(&io_ca);
}

struct tls_options io_tls_options(void)
{
    static char none[] = "", trust[128];

    snprintf(trust, sizeof trust, "%s", io_path("ca.pem"));
    return (struct tls_options){.enabled = true,
                                .ca = trust,
                                .cert = none,
                                .key = none,
                                .passphrase = none,
                                .passphraseFile = none,
                                .servername = none,
                                .ciphers = none,
                                .rejectUnauthorized = true,
                                .sessionReuse = true,
                                .minVersion = TLS_VERSION_1_2};
}

struct tls_context *io_tls_try_context(const struct tls_options *o, struct tls_findings *f)
{
    struct tls_setups *all = tls_setups_new(NULL);
    struct tls_dates dates;
    struct tls_setup *s = tls_setups_get(all, o, &dates, f);
    struct tls_context *c = s ? tls_context_new(s) : NULL;

    tls_setups_free(all);
    return c;
}

struct tls_context *io_tls_context(struct tls_options o)
{
    struct tls_findings findings = {.count = 0};
    struct tls_context *c = io_tls_try_context(&o, &findings);

    ck_assert_msg(c != NULL, "%s", findings.items[0].text);
    return c;
}

void io_wait_for(struct conn *s, short what)
{
    struct pollfd p = {s->fd, what, 0};

    ck_assert_int_eq(poll(&p, 1, 20000), 1);
}

void io_tls_connect(struct conn *s, const struct tls_server *server)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, &server->address.sa.any, server->address.length), 0);
    evutil_make_socket_nonblocking(fd);
    conn_open(s, fd);
}

int io_tls_handshake(struct conn *s)
{
    int rc;

    while ((rc = tls_handshake(s)) == 0)
        io_wait_for(s, POLLIN);
    return rc;
}

int io_shake(struct conn *s, const struct tls_server *server, struct tls_context *c, const char *name,
             struct tls_sessions *sessions)
{
    io_tls_connect(s, server);
    ck_assert(tls_start(s, c, name, sessions));
    return io_tls_handshake(s);
}

ssize_t io_read_all(struct conn *s, char *to, size_t n)
{
    size_t got = 0;

    while (got < n) {
        ssize_t rc = conn_read(s, to + got, n - got);
        if (rc == CONN_AGAIN)
            io_wait_for(s, POLLIN);
        else if (rc <= 0)
            return got > 0 ? (ssize_t)got : rc;
        else
            got += (size_t)rc;
    }
    return (ssize_t)got;
}

void io_say(struct conn *s, const char *text)
{
    struct iovec v = {(char *)(uintptr_t)text, strlen(text)};

    ck_assert_int_eq(conn_write(s, &v, 1), (ssize_t)strlen(text));
}

void io_tls_answer_one(struct tls_server *server, SSL *ssl)
{
    char got[64];

    (void)server;
    if (SSL_read(ssl, got, sizeof got) > 0)
        SSL_write(ssl, "answer", 6);
    SSL_shutdown(ssl);
}
