/* lib/io/tls towards a server of the test's own: verification, contexts */

#include "io_tls_test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* ---- ALPN */

/* What the server was offered, and speaks. */
static struct {
    unsigned char offered[64];
    unsigned n;
    const char *speaks;
} alpn;

static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                  unsigned n, void *ctx)
{
    (void)ssl, (void)ctx;
    memcpy(alpn.offered, in, n);
    alpn.n = n;
    const unsigned char *at = memmem(in, n, alpn.speaks, strlen(alpn.speaks));
    if (!at)
        return SSL_TLSEXT_ERR_NOACK;
    *out = at;
    *out_n = (unsigned char)strlen(alpn.speaks);
    return SSL_TLSEXT_ERR_OK;
}

START_TEST(tls_agrees_on_a_protocol)
{
    static const struct {
        bool offer;
        const char *speaks, *sent;
        bool h2;
    } rows[] = {
        {true, "h2", "\x02h2\x08http/1.1", true},
        {true, "http/1.1", "\x02h2\x08http/1.1", false},
        {true, "other", "\x02h2\x08http/1.1", false},
        {false, "h2", "\x08http/1.1", false},
    };
    struct tls_server server;
    struct tls_context *c;
    struct conn s;

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        alpn.n = 0;
        alpn.speaks = rows[i].speaks;
        tls_server_init(&server, &io_leaf);
        SSL_CTX_set_alpn_select_cb(server.ssl, choose, NULL);
        tls_server_start(&server);
        io_tls_connect(&s, &server);
        ck_assert(tls_start(&s, c, "good.test", NULL) && (!rows[i].offer || tls_offer_h2(&s)));
        ck_assert_int_eq(io_tls_handshake(&s), 1);
        ck_assert_int_eq(tls_speaks_h2(&s), rows[i].h2);
        conn_close(&s, false);
        tls_server_stop(&server);
        ck_assert_uint_eq(alpn.n, strlen(rows[i].sent));
        ck_assert_int_eq(memcmp(alpn.offered, rows[i].sent, alpn.n), 0);
    }
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

/* ---- verification */

struct check {
    const char *name;
    enum tls_failure failure; /* NONE: it is trusted */
    const char *says;
};

static void check_names(struct certificate *c, struct tls_options o, const struct check *checks)
{
    struct tls_server server;
    struct tls_context *context = io_tls_context(o);
    char text[256];

    tls_server_init(&server, c);
    tls_server_start(&server);
    for (; checks->name; checks++) {
        struct conn s;
        int rc = io_shake(&s, &server, context, checks->name, NULL);
        ck_assert_msg(rc == (checks->failure == TLS_FAILURE_NONE ? 1 : -1), "%s: %d", checks->name, rc);
        ck_assert_int_eq(tls_failure(&s, text, sizeof text), checks->failure);
        if (checks->says)
            ck_assert_msg(strstr(text, checks->says) != NULL, "'%s' is not in: %s", checks->says, text);
        conn_close(&s, false);
    }
    tls_server_stop(&server);
    tls_context_unref(context);
}

START_TEST(tls_checks_the_name)
{
    static const struct check checks[] = {
        {"good.test", TLS_FAILURE_NONE, NULL},
        {"GOOD.test.", TLS_FAILURE_NONE, NULL},
        {"a.wild.test", TLS_FAILURE_NONE, NULL},
        {"127.0.0.1", TLS_FAILURE_NONE, NULL},
        {"b.a.wild.test", TLS_FAILURE_CERTIFICATE, "tls.servername"},
        {"wild.test", TLS_FAILURE_CERTIFICATE, "hostname mismatch"},
        {"bad.test", TLS_FAILURE_CERTIFICATE, "CN=leaf is for DNS:good.test, DNS:*.wild.test, IP:127.0.0.1"},
        {"127.0.0.2", TLS_FAILURE_CERTIFICATE, "IP address mismatch"},
        {"::1", TLS_FAILURE_CERTIFICATE, "IP address mismatch"},
        {0},
    };

    io_make_certificates();
    check_names(&io_leaf, io_tls_options(), checks);
    io_free_certificates();
}
END_TEST

START_TEST(tls_checks_the_chain)
{
    static const struct check expired[] = {
        {"good.test", TLS_FAILURE_CERTIFICATE, "has expired; renew it at the server"}, {0}};
    static const struct check early[] = {{"good.test", TLS_FAILURE_CERTIFICATE, "not yet valid"}, {0}};
    static const struct check own[] = {{"good.test", TLS_FAILURE_CERTIFICATE, "tls.ca"}, {0}};
    static const struct check taken[] = {
        {"good.test", TLS_FAILURE_NONE, NULL}, {"x.test", TLS_FAILURE_NONE, NULL}, {0}};
    struct certificate c;
    struct tls_options careless = io_tls_options();

    io_make_certificates();
    c = certificate_make("old", "DNS:good.test", &io_ca, -7200, -3600);
    check_names(&c, io_tls_options(), expired);
    certificate_free(&c);
    c = certificate_make("new", "DNS:good.test", &io_ca, 3600, 7200);
    check_names(&c, io_tls_options(), early);
    certificate_free(&c);
    c = certificate_make("self", "DNS:good.test", NULL, -3600, 3600);
    check_names(&c, io_tls_options(), own);
    careless.rejectUnauthorized = false;
    check_names(&c, careless, taken);
    certificate_free(&c);
    /* A CA of the same name with another key. */
    struct certificate false_ca = certificate_make("Test CA", NULL, NULL, -3600, 3600);
    c = certificate_make("forged", "DNS:good.test", &false_ca, -3600, 3600);
    static const struct check forged[] = {{"good.test", TLS_FAILURE_CERTIFICATE, "certificate"}, {0}};
    check_names(&c, io_tls_options(), forged);
    certificate_free(&c);
    certificate_free(&false_ca);
    io_free_certificates();
}
END_TEST

START_TEST(tls_sends_sni_for_names_only)
{
    static const char *const names[][2] = {{"good.test.", "good.test"}, {"127.0.0.1", ""}};
    struct tls_server server;
    struct tls_context *c;
    struct conn s;

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        tls_server_init(&server, &io_leaf);
        tls_server_start(&server);
        ck_assert_int_eq(io_shake(&s, &server, c, names[i][0], NULL), 1);
        conn_close(&s, false);
        tls_server_stop(&server);
        ck_assert_str_eq(server.sni, names[i][1]);
    }
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

START_TEST(tls_tells_failures_apart)
{
    static const struct {
        int raw, max_version;
        enum tls_failure failure;
        const char *says;
    } cases[] = {
        {TLS_SERVER_IS_PLAIN, 0, TLS_FAILURE_PROTOCOL, "does it speak TLS on this port?"},
        {TLS_SERVER_HANGS_UP, 0, TLS_FAILURE_IO, ""},
        {TLS_SERVER_TALKS, TLS1_2_VERSION, TLS_FAILURE_ALERT, "tls.minVersion"},
    };
    struct tls_options o = io_tls_options();
    struct tls_context *c;
    char text[256];

    io_make_certificates();
    o.minVersion = TLS_VERSION_1_3;
    c = io_tls_context(o);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tls_server server;
        struct conn s;
        tls_server_init(&server, &io_leaf);
        SSL_CTX_set_max_proto_version(server.ssl, cases[i].max_version);
        server.raw = cases[i].raw;
        tls_server_start(&server);
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), -1);
        ck_assert_int_eq(tls_failure(&s, text, sizeof text), cases[i].failure);
        ck_assert_msg(strstr(text, cases[i].says) != NULL, "%s", text);
        conn_close(&s, false);
        tls_server_stop(&server);
    }
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

/* In TLS 1.3 the server's verdict on our certificate comes after the handshake. */
START_TEST(tls_shows_its_own_certificate)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_options o = io_tls_options();
    struct tls_context *with, *without;
    char got[8], text[256];
    struct conn s;

    io_make_certificates();
    without = io_tls_context(io_tls_options());
    o.cert = strdup(io_path("leaf.pem"));
    o.key = strdup(io_path("leaf.key"));
    with = io_tls_context(o);
    for (int i = 0; i < 2; i++) {
        struct tls_server server;
        tls_server_init(&server, &io_leaf);
        SSL_CTX_set_max_proto_version(server.ssl, versions[i]);
        SSL_CTX_set_verify(server.ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        X509_STORE_add_cert(SSL_CTX_get_cert_store(server.ssl), io_ca.x509);
        server.serve = io_tls_answer_one;
        tls_server_start(&server);
        ck_assert_int_eq(io_shake(&s, &server, with, "good.test", NULL), 1);
        io_say(&s, "hello");
        ck_assert_int_eq(io_read_all(&s, got, 6), 6);
        conn_close(&s, false);
        ck_assert_int_eq(io_shake(&s, &server, without, "good.test", NULL), i == 0 ? -1 : 1);
        if (i == 1)
            ck_assert_int_eq(io_read_all(&s, got, 6), CONN_ERROR);
        ck_assert_int_eq(tls_failure(&s, text, sizeof text), TLS_FAILURE_ALERT);
        ck_assert_msg(strstr(text, "tls.cert and tls.key") != NULL, "%s", text);
        conn_close(&s, false);
        tls_server_stop(&server);
    }
    free(o.cert);
    free(o.key);
    tls_context_unref(with);
    tls_context_unref(without);
    io_free_certificates();
}
END_TEST

/* ---- contexts */

static void refuse(struct tls_options o, const char *option)
{
    struct tls_findings findings = {.count = 0};

    ck_assert_ptr_null(io_tls_try_context(&o, &findings));
    ck_assert_int_eq(findings.count, 1);
    ck_assert_str_eq(findings.items[0].option, option);
}

START_TEST(tls_setups_are_shared)
{
    struct tls_options o, other;
    struct tls_findings f = {.count = 0};
    struct tls_dates dates;
    struct tls_setups *first, *second;
    struct tls_setup *s;

    io_make_certificates();
    o = other = io_tls_options();
    other.sessionReuse = false;
    first = tls_setups_new(NULL);
    s = tls_setups_get(first, &o, &dates, &f);
    ck_assert_ptr_eq(tls_setups_get(first, &o, &dates, &f), s);
    ck_assert_ptr_ne(tls_setups_get(first, &other, &dates, &f), s);
    /* The file is read once, but its certificates are: both trust the same store. */
    ck_assert_ptr_eq(SSL_CTX_get_cert_store(tls_setups_get(first, &other, &dates, &f)->ssl),
                     SSL_CTX_get_cert_store(s->ssl));
    tls_setups_close_files(first);
    /* A reload's, while nothing has changed, and when something has. */
    second = tls_setups_new(first);
    ck_assert_ptr_eq(tls_setups_get(second, &o, &dates, &f), s);
    tls_setups_free(second);
    certificate_write(&io_leaf, "ca.pem", NULL);
    second = tls_setups_new(first);
    ck_assert_ptr_ne(tls_setups_get(second, &o, &dates, &f), s);
    ck_assert_int_eq(f.count, 0);
    tls_setups_free(first);
    tls_setups_free(second);
    io_free_certificates();
}
END_TEST

START_TEST(tls_speaks_old_versions_when_told_to)
{
    struct tls_server server;
    struct tls_options o = io_tls_options();
    struct tls_context *c = NULL;
    struct conn s;

    io_make_certificates();
    tls_server_init(&server, &io_leaf);
    SSL_CTX_set_min_proto_version(server.ssl, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(server.ssl, TLS1_1_VERSION);
    SSL_CTX_set_security_level(server.ssl, 0);
    tls_server_start(&server);
    for (o.minVersion = TLS_VERSION_1_0; o.minVersion <= TLS_VERSION_1_2; o.minVersion++) {
        c = io_tls_context(o);
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL),
                         o.minVersion == TLS_VERSION_1_2 ? -1 : 1);
        conn_close(&s, false);
        tls_context_unref(c);
    }
    tls_server_stop(&server);
    io_free_certificates();
}
END_TEST

START_TEST(tls_ciphers_choose_the_version)
{
    static const struct {
        const char *ciphers, *version;
    } cases[] = {
        {"", "TLSv1.3"},
        {"ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2"},
        {"TLS_AES_128_GCM_SHA256", "TLSv1.3"},
        {"ECDHE-ECDSA-AES128-GCM-SHA256:TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3"},
    };
    struct tls_server server;
    struct conn s;

    io_make_certificates();
    tls_server_init(&server, &io_leaf);
    tls_server_start(&server);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tls_options o = io_tls_options(), other = io_tls_options();
        o.ciphers = (char *)(uintptr_t)cases[i].ciphers;
        struct tls_context *c = io_tls_context(o);
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
        conn_close(&s, false);
        tls_context_unref(c);
        other.ciphers = o.ciphers;
        other.minVersion = TLS_VERSION_1_3;
        if (strcmp(cases[i].version, "TLSv1.2") == 0)
            refuse(other, "tls.ciphers");
    }
    tls_server_stop(&server);
    io_free_certificates();
}
END_TEST

static void hang_up(struct tls_server *server, SSL *ssl)
{
    (void)server;
    shutdown(SSL_get_fd(ssl), SHUT_RDWR);
}

/* OpenSSL cannot send its alert then, which is not what ended the connection. */
START_TEST(tls_that_ends_without_notify_and_takes_nothing_is_an_end)
{
    struct tls_server server;
    struct tls_context *c;
    struct conn s;
    struct pollfd reset;
    char got[8], text[200];

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = hang_up;
    tls_server_start(&server);
    ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
    reset = (struct pollfd){.fd = s.fd, .events = POLLRDHUP};
    ck_assert_int_eq(poll(&reset, 1, 3000), 1);
    io_say(&s, "anyone?");
    reset.events = 0;
    ck_assert_int_eq(poll(&reset, 1, 3000), 1);
    ck_assert_int_eq(conn_read(&s, got, sizeof got), CONN_EOF);
    ck_assert(s.eof_without_notify);
    ck_assert_int_eq(tls_failure(&s, text, sizeof text), TLS_FAILURE_IO);
    ck_assert_str_eq(text, "the server closed the connection");
    conn_close(&s, false);
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

void io_tls_tests(Suite *suite)
{
    unit_group(suite, "tls verification", tls_checks_the_name, tls_checks_the_chain,
               tls_sends_sni_for_names_only, tls_tells_failures_apart, tls_shows_its_own_certificate);
    unit_group(suite, "tls protocol", tls_agrees_on_a_protocol,
               tls_that_ends_without_notify_and_takes_nothing_is_an_end);
    unit_group(suite, "tls context", tls_setups_are_shared, tls_ciphers_choose_the_version,
               tls_speaks_old_versions_when_told_to);
}
