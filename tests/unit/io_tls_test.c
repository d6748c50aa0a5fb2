/* lib/io/tls, towards a server of the test's own */

#include "io_test.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"
#include "io/connector.h"
#include "io/tls.h"
#include "io_tls_peer.h"

static struct certificate ca, leaf;

static void make_certificates(void)
{
    ca = certificate_make("Test CA", NULL, NULL, -3600, 86400);
    leaf = certificate_make("leaf", "DNS:good.test,DNS:*.wild.test,IP:127.0.0.1", &ca, -3600, 86400);
    certificate_write(&ca, "ca.pem", "ca.key");
    certificate_write(&leaf, "leaf.pem", "leaf.key");
}

static void free_certificates(void)
{
    certificate_free(&leaf);
    certificate_free(&ca);
}

static struct tls_options options(void)
{
    return (struct tls_options){.enabled = true,
                                .ca = strdup(io_path("ca.pem")),
                                .cert = (char[]){""},
                                .key = (char[]){""},
                                .servername = (char[]){""},
                                .ciphers = (char[]){""},
                                .rejectUnauthorized = true,
                                .sessionReuse = true,
                                .minVersion = TLS_VERSION_1_2};
}

static struct tls_context *context_of(struct tls_options o)
{
    char error[512] = "";
    struct tls_context *c = tls_context_new(&o, error, sizeof error);

    ck_assert_msg(c != NULL, "%s", error);
    free(o.ca);
    return c;
}

static void wait_for(struct stream *s, short what)
{
    struct pollfd p = {s->fd, what, 0};

    ck_assert_int_eq(poll(&p, 1, 3000), 1);
}

/* Connects and shakes hands: what tls_handshake() said in the end. */
static int shake(struct stream *s, const struct tls_server *server, struct tls_context *c, const char *name,
                 struct tls_sessions *sessions)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

    ck_assert_int_eq(connect(fd, &server->address.sa.any, server->address.length), 0);
    evutil_make_socket_nonblocking(fd);
    stream_open(s, fd);
    ck_assert(tls_start(s, c, name, sessions));
    while ((rc = tls_handshake(s)) == 0)
        wait_for(s, POLLIN);
    return rc;
}

/* Reads until n octets, an end or an error: the count, or what came instead. */
static ssize_t read_all(struct stream *s, char *to, size_t n)
{
    size_t got = 0;

    while (got < n) {
        ssize_t rc = stream_read(s, to + got, n - got);
        if (rc == STREAM_AGAIN)
            wait_for(s, POLLIN);
        else if (rc <= 0)
            return got > 0 ? (ssize_t)got : rc;
        else
            got += (size_t)rc;
    }
    return (ssize_t)got;
}

static void say(struct stream *s, const char *text)
{
    struct iovec v = {(char *)(uintptr_t)text, strlen(text)};

    ck_assert_int_eq(stream_write(s, &v, 1), (ssize_t)strlen(text));
}

/* ---- verification */

struct check {
    const char *name;
    enum tls_failure failure; /* NONE: it is trusted */
    const char *says;
};

static void check_names(struct certificate *c, struct tls_options o, const struct check *checks)
{
    struct tls_server server;
    struct tls_context *context = context_of(o);
    char text[256];

    tls_server_init(&server, c);
    tls_server_start(&server);
    for (; checks->name; checks++) {
        struct stream s;
        int rc = shake(&s, &server, context, checks->name, NULL);
        ck_assert_msg(rc == (checks->failure == TLS_FAILURE_NONE ? 1 : -1), "%s: %d", checks->name, rc);
        ck_assert_int_eq(tls_failure(&s, text, sizeof text), checks->failure);
        if (checks->says)
            ck_assert_msg(strstr(text, checks->says) != NULL, "'%s' is not in: %s", checks->says, text);
        stream_close(&s, false);
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

    make_certificates();
    check_names(&leaf, options(), checks);
    free_certificates();
}
END_TEST

START_TEST(tls_checks_the_chain)
{
    static const struct check expired[] = {{"good.test", TLS_FAILURE_CERTIFICATE, "has expired; renew it at the server"}, {0}};
    static const struct check early[] = {{"good.test", TLS_FAILURE_CERTIFICATE, "not yet valid"}, {0}};
    static const struct check own[] = {{"good.test", TLS_FAILURE_CERTIFICATE, "tls.ca"}, {0}};
    static const struct check taken[] = {{"good.test", TLS_FAILURE_NONE, NULL}, {"x.test", TLS_FAILURE_NONE, NULL}, {0}};
    struct certificate c;
    struct tls_options careless = options();

    make_certificates();
    c = certificate_make("old", "DNS:good.test", &ca, -7200, -3600);
    check_names(&c, options(), expired);
    certificate_free(&c);
    c = certificate_make("new", "DNS:good.test", &ca, 3600, 7200);
    check_names(&c, options(), early);
    certificate_free(&c);
    c = certificate_make("self", "DNS:good.test", NULL, -3600, 3600);
    check_names(&c, options(), own);
    careless.rejectUnauthorized = false;
    check_names(&c, careless, taken);
    certificate_free(&c);
    /* A CA of the same name with another key. */
    struct certificate false_ca = certificate_make("Test CA", NULL, NULL, -3600, 3600);
    c = certificate_make("forged", "DNS:good.test", &false_ca, -3600, 3600);
    static const struct check forged[] = {{"good.test", TLS_FAILURE_CERTIFICATE, "certificate"}, {0}};
    check_names(&c, options(), forged);
    certificate_free(&c);
    certificate_free(&false_ca);
    free_certificates();
}
END_TEST

START_TEST(tls_sends_sni_for_names_only)
{
    struct tls_server server;
    struct tls_context *c;
    struct stream s;

    make_certificates();
    c = context_of(options());
    tls_server_init(&server, &leaf);
    tls_server_start(&server);
    ck_assert_int_eq(shake(&s, &server, c, "good.test.", NULL), 1);
    stream_close(&s, false);
    usleep(20000);
    ck_assert_str_eq(server.sni, "good.test");
    ck_assert_int_eq(shake(&s, &server, c, "127.0.0.1", NULL), 1);
    stream_close(&s, false);
    usleep(20000);
    ck_assert_str_eq(server.sni, "");
    tls_server_stop(&server);
    tls_context_unref(c);
    free_certificates();
}
END_TEST

START_TEST(tls_tells_failures_apart)
{
    static const struct {
        int raw, max_version;
        enum tls_failure failure;
        const char *says;
    } cases[] = {
        {TLS_SERVER_IS_PLAIN, 0, TLS_FAILURE_PROTOCOL, "speaks no TLS"},
        {TLS_SERVER_HANGS_UP, 0, TLS_FAILURE_IO, ""},
        {TLS_SERVER_TALKS, TLS1_2_VERSION, TLS_FAILURE_ALERT, "tls.minVersion"},
    };
    struct tls_options o = options();
    struct tls_context *c;
    char text[256];

    make_certificates();
    o.minVersion = TLS_VERSION_1_3;
    c = context_of(o);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tls_server server;
        struct stream s;
        tls_server_init(&server, &leaf);
        SSL_CTX_set_max_proto_version(server.ssl, cases[i].max_version);
        server.raw = cases[i].raw;
        tls_server_start(&server);
        ck_assert_int_eq(shake(&s, &server, c, "good.test", NULL), -1);
        ck_assert_int_eq(tls_failure(&s, text, sizeof text), cases[i].failure);
        ck_assert_msg(strstr(text, cases[i].says) != NULL, "%s", text);
        stream_close(&s, false);
        tls_server_stop(&server);
    }
    tls_context_unref(c);
    free_certificates();
}
END_TEST

static void answer_one(struct tls_server *server, SSL *ssl)
{
    char got[64];

    (void)server;
    if (SSL_read(ssl, got, sizeof got) > 0)
        SSL_write(ssl, "answer", 6);
    SSL_shutdown(ssl);
}

/* In TLS 1.3 the server's verdict on our certificate comes after the handshake. */
START_TEST(tls_shows_its_own_certificate)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_options o = options();
    struct tls_context *with, *without;
    char got[8], text[256];
    struct stream s;

    make_certificates();
    without = context_of(options());
    o.cert = strdup(io_path("leaf.pem"));
    o.key = strdup(io_path("leaf.key"));
    with = context_of(o);
    for (int i = 0; i < 2; i++) {
        struct tls_server server;
        tls_server_init(&server, &leaf);
        SSL_CTX_set_max_proto_version(server.ssl, versions[i]);
        SSL_CTX_set_verify(server.ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        X509_STORE_add_cert(SSL_CTX_get_cert_store(server.ssl), ca.x509);
        server.serve = answer_one;
        tls_server_start(&server);
        ck_assert_int_eq(shake(&s, &server, with, "good.test", NULL), 1);
        say(&s, "hello");
        ck_assert_int_eq(read_all(&s, got, 6), 6);
        stream_close(&s, false);
        ck_assert_int_eq(shake(&s, &server, without, "good.test", NULL), i == 0 ? -1 : 1);
        if (i == 1)
            ck_assert_int_eq(read_all(&s, got, 6), STREAM_ERROR);
        ck_assert_int_eq(tls_failure(&s, text, sizeof text), TLS_FAILURE_ALERT);
        ck_assert_msg(strstr(text, "tls.cert and tls.key") != NULL, "%s", text);
        stream_close(&s, false);
        tls_server_stop(&server);
    }
    free(o.cert);
    free(o.key);
    tls_context_unref(with);
    tls_context_unref(without);
    free_certificates();
}
END_TEST

/* ---- sessions */

static void resume(int version, bool reuse, bool server_tickets, int wanted)
{
    struct tls_server server;
    struct tls_options o = options();
    struct tls_context *c;
    struct tls_sessions *sessions = tls_sessions_new();
    struct stream s;
    char got[8];
    int resumed = 0;

    o.sessionReuse = reuse;
    c = context_of(o);
    tls_server_init(&server, &leaf);
    SSL_CTX_set_min_proto_version(server.ssl, version);
    SSL_CTX_set_max_proto_version(server.ssl, version);
    if (!server_tickets) {
        SSL_CTX_set_options(server.ssl, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(server.ssl, 0);
        SSL_CTX_set_session_cache_mode(server.ssl, SSL_SESS_CACHE_OFF);
    }
    server.serve = answer_one;
    tls_server_start(&server);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(shake(&s, &server, c, "good.test", sessions), 1);
        resumed += tls_was_resumed(&s);
        say(&s, "hello");
        ck_assert_int_eq(read_all(&s, got, 6), 6);
        /* However it ends, the session is good for the next. */
        stream_close(&s, i % 2 == 1);
    }
    ck_assert_int_eq(resumed, wanted);
    tls_server_stop(&server);
    ck_assert_int_eq(server.resumed, wanted);
    /* Another context never sees what was verified under this one. */
    tls_sessions_free(sessions);
    tls_context_unref(c);
}

START_TEST(tls_resumes_sessions)
{
    make_certificates();
    resume(TLS1_3_VERSION, true, true, 4);
    resume(TLS1_2_VERSION, true, true, 4);
    resume(TLS1_3_VERSION, false, true, 0);
    resume(TLS1_2_VERSION, false, true, 0);
    resume(TLS1_3_VERSION, true, false, 0);
    resume(TLS1_2_VERSION, true, false, 0);
    free_certificates();
}
END_TEST

START_TEST(tls_sessions_belong_to_a_context)
{
    struct tls_server server;
    struct tls_context *c[2];
    struct tls_sessions *sessions = tls_sessions_new();
    struct stream s;
    char got[8];

    make_certificates();
    c[0] = context_of(options());
    c[1] = context_of(options());
    tls_server_init(&server, &leaf);
    server.serve = answer_one;
    tls_server_start(&server);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(shake(&s, &server, c[i / 2], "good.test", sessions), 1);
        ck_assert_int_eq(tls_was_resumed(&s), i % 2);
        say(&s, "hello");
        ck_assert_int_eq(read_all(&s, got, 6), 6);
        stream_close(&s, false);
    }
    tls_server_stop(&server);
    tls_sessions_free(sessions);
    tls_context_unref(c[0]);
    tls_context_unref(c[1]);
    free_certificates();
}
END_TEST

/* A server that was restarted with other keys refuses the tickets: a full handshake follows, and nothing fails. */
START_TEST(tls_falls_back_to_a_full_handshake)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_context *c;
    char got[8];
    struct stream s;

    make_certificates();
    c = context_of(options());
    for (int v = 0; v < 2; v++) {
        struct tls_sessions *sessions = tls_sessions_new();
        for (int i = 0; i < 3; i++) {
            struct tls_server server;
            tls_server_init(&server, &leaf);
            SSL_CTX_set_max_proto_version(server.ssl, versions[v]);
            server.serve = answer_one;
            tls_server_start(&server);
            ck_assert_int_eq(shake(&s, &server, c, "good.test", sessions), 1);
            ck_assert(!tls_was_resumed(&s));
            say(&s, "hello");
            ck_assert_int_eq(read_all(&s, got, 6), 6);
            stream_close(&s, false);
            tls_server_stop(&server);
        }
        tls_sessions_free(sessions);
    }
    tls_context_unref(c);
    free_certificates();
}
END_TEST

/* ---- data */

static int scene; /* what the server's thread does */

enum { END_NOTIFY, END_BARE, END_RESET };

static void end_somehow(struct tls_server *server, SSL *ssl)
{
    struct linger now = {1, 0};

    (void)server;
    SSL_write(ssl, "bye", 3);
    if (scene == END_NOTIFY)
        SSL_shutdown(ssl);
    usleep(20000);
    if (scene == END_RESET)
        setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

START_TEST(tls_tells_an_end_from_a_cut)
{
    struct tls_server server;
    struct tls_context *c;
    struct stream s;
    char got[8];

    make_certificates();
    c = context_of(options());
    tls_server_init(&server, &leaf);
    server.serve = end_somehow;
    tls_server_start(&server);
    for (scene = END_NOTIFY; scene <= END_RESET; scene++) {
        ck_assert_int_eq(shake(&s, &server, c, "good.test", NULL), 1);
        ck_assert_int_eq(read_all(&s, got, 3), 3);
        ck_assert_int_eq(read_all(&s, got, 3), scene == END_RESET ? STREAM_ERROR : STREAM_EOF);
        ck_assert_int_eq(read_all(&s, got, 3), scene == END_RESET ? STREAM_ERROR : STREAM_EOF);
        ck_assert(s.eof_without_notify == (scene == END_BARE));
        if (scene == END_RESET)
            ck_assert_int_eq(s.error, ECONNRESET);
        ck_assert(!stream_is_quiet(&s));
        stream_close(&s, false);
    }
    tls_server_stop(&server);
    tls_context_unref(c);
    free_certificates();
}
END_TEST

static pthread_barrier_t barrier;

/* Tickets and a key update, then data, then an end: each when the client has looked. */
static void speak_in_turn(struct tls_server *server, SSL *ssl)
{
    char octet;

    (void)server;
    SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(ssl);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    SSL_write(ssl, "data", 4);
    pthread_barrier_wait(&barrier);
    if (SSL_read(ssl, &octet, 1) == 1)
        SSL_shutdown(ssl);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
}

START_TEST(tls_is_quiet_under_tickets)
{
    struct tls_server server;
    struct tls_context *c;
    struct tls_sessions *sessions = tls_sessions_new();
    struct stream s;
    char got[8];

    make_certificates();
    pthread_barrier_init(&barrier, NULL, 2);
    c = context_of(options());
    tls_server_init(&server, &leaf);
    SSL_CTX_set_min_proto_version(server.ssl, TLS1_3_VERSION);
    server.serve = speak_in_turn;
    tls_server_start(&server);
    ck_assert_int_eq(shake(&s, &server, c, "good.test", sessions), 1);
    pthread_barrier_wait(&barrier);
    wait_for(&s, POLLIN);
    ck_assert(stream_is_quiet(&s));
    ck_assert_uint_eq(stream_buffered(&s), 0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    wait_for(&s, POLLIN);
    ck_assert(!stream_is_quiet(&s));
    ck_assert_uint_eq(stream_buffered(&s), 4);
    ck_assert_int_eq(read_all(&s, got, 4), 4);
    ck_assert(stream_is_quiet(&s));
    /* Our answer to the key update goes with this. */
    say(&s, "x");
    pthread_barrier_wait(&barrier);
    wait_for(&s, POLLIN);
    ck_assert(!stream_is_quiet(&s));
    ck_assert_int_eq(stream_read(&s, got, 1), STREAM_EOF);
    ck_assert(!s.eof_without_notify);
    pthread_barrier_wait(&barrier);
    stream_close(&s, false);
    tls_server_stop(&server);
    tls_sessions_free(sessions);
    tls_context_unref(c);
    free_certificates();
}
END_TEST

#define MUCH (4 * 1024 * 1024)

static unsigned char octet_at(size_t i)
{
    return (unsigned char)(i * 31 + (i >> 12));
}

/* Reads all before it writes the same back: the client must be held up both ways. */
static void echo_much(struct tls_server *server, SSL *ssl)
{
    char *all = malloc(MUCH);
    size_t n = 0, at = 0;
    int rc = 1;

    (void)server;
    usleep(50000);
    while (n < MUCH && (rc = SSL_read(ssl, all + n, (int)(MUCH - n))) > 0)
        n += (size_t)rc;
    /* Records of every size up to the largest, several in a segment. */
    for (size_t piece = 1; at < n && rc > 0; piece = piece * 3 % 20011 + 1) {
        rc = SSL_write(ssl, all + at, (int)(piece < n - at ? piece : n - at));
        at += rc > 0 ? (size_t)rc : 0;
    }
    SSL_shutdown(ssl);
    free(all);
}

/* Writes from `at` on as a list of pieces. */
static ssize_t write_pieces(struct stream *s, unsigned char *all, size_t at)
{
    static const size_t sizes[] = {17, 1, 300, 20000, 0, 5000, 60000};
    struct iovec v[7];

    for (int i = 0; i < 7; i++) {
        size_t n = sizes[i] < MUCH - at ? sizes[i] : MUCH - at;
        v[i] = (struct iovec){all + at, n};
        at += n;
    }
    return stream_write(s, v, 7);
}

START_TEST(tls_moves_much)
{
    struct tls_server server;
    struct tls_context *c;
    struct stream s;
    unsigned char *all = malloc(MUCH), got[5000];
    size_t at = 0, held_up = 0;
    ssize_t n;

    make_certificates();
    c = context_of(options());
    tls_server_init(&server, &leaf);
    server.serve = echo_much;
    tls_server_start(&server);
    for (size_t i = 0; i < MUCH; i++)
        all[i] = octet_at(i);
    ck_assert_int_eq(shake(&s, &server, c, "good.test", NULL), 1);
    while (at < MUCH) {
        n = write_pieces(&s, all, at);
        if (n == STREAM_AGAIN) {
            held_up++;
            wait_for(&s, POLLOUT);
        } else {
            ck_assert_int_gt(n, 0);
            at += (size_t)n;
        }
    }
    ck_assert_uint_gt(held_up, 0);
    for (at = 0; (n = stream_read(&s, got, 1 + at % sizeof got)) != STREAM_EOF;) {
        if (n == STREAM_AGAIN) {
            ck_assert_uint_eq(stream_buffered(&s), 0);
            wait_for(&s, POLLIN);
            continue;
        }
        ck_assert_int_gt(n, 0);
        for (ssize_t i = 0; i < n; i++, at++)
            ck_assert_uint_eq(got[i], octet_at(at));
    }
    ck_assert_uint_eq(at, MUCH);
    ck_assert(!s.eof_without_notify);
    stream_close(&s, false);
    tls_server_stop(&server);
    tls_context_unref(c);
    free(all);
    free_certificates();
}
END_TEST

static void cut_reading(struct tls_server *server, SSL *ssl)
{
    (void)server;
    SSL_write(ssl, "too large", 9);
    usleep(100000);
}

/* What an origin said before it hung up is read though our upload failed. */
START_TEST(tls_reads_after_a_failed_write)
{
    struct tls_server server;
    struct tls_context *c;
    struct stream s;
    static char much[1 << 16];
    struct iovec v = {much, sizeof much};
    char got[16];
    ssize_t n = 1;

    make_certificates();
    c = context_of(options());
    tls_server_init(&server, &leaf);
    server.serve = cut_reading;
    tls_server_start(&server);
    ck_assert_int_eq(shake(&s, &server, c, "good.test", NULL), 1);
    wait_for(&s, POLLIN);
    shutdown(s.fd, SHUT_WR);
    n = stream_write(&s, &v, 1);
    ck_assert_int_eq(n, STREAM_ERROR);
    ck_assert_int_eq(s.error, EPIPE);
    ck_assert_int_eq(stream_write(&s, &v, 1), STREAM_ERROR);
    ck_assert_int_eq(read_all(&s, got, 9), 9);
    ck_assert_int_eq(memcmp(got, "too large", 9), 0);
    stream_close(&s, false);
    tls_server_stop(&server);
    tls_context_unref(c);
    free_certificates();
}
END_TEST

/* ---- contexts */

static void refuse(struct tls_options o, const char *says)
{
    char error[512] = "";

    ck_assert_ptr_null(tls_context_new(&o, error, sizeof error));
    ck_assert_msg(strstr(error, says) != NULL, "'%s' is not in: %s", says, error);
    free(o.ca);
}

START_TEST(tls_context_checks_its_files)
{
    struct tls_options o = options();
    struct certificate old;
    struct tls_context *c;
    char text[256];
    char *leaf_pem = strdup(io_path("leaf.pem")), *ca_key = strdup(io_path("ca.key")), *old_pem = strdup(io_path("old.pem"));

    make_certificates();
    o.ca = strdup("/nonexistent.pem");
    refuse(o, "tls.ca: /nonexistent.pem: No such file or directory");
    o.ca = strdup("/dev/null");
    refuse(o, "tls.ca: /dev/null");
    o = options();
    o.cert = (char[]){"/nonexistent.pem"};
    refuse(o, "tls.cert: /nonexistent.pem");
    o = options();
    o.cert = leaf_pem;
    o.key = ca_key;
    refuse(o, "tls.key");
    o = options();
    o.cert = leaf_pem;
    refuse(o, "tls.key");
    o = options();
    o.key = ca_key;
    refuse(o, "set tls.cert");
    o = options();
    o.ciphers = (char[]){"NO-SUCH-CIPHER"};
    refuse(o, "tls.ciphers: NO-SUCH-CIPHER");
    o.ca = strdup(io_path("ca.pem"));
    o.minVersion = TLS_VERSION_1_3;
    o.ciphers = (char[]){"ECDHE-ECDSA-AES128-GCM-SHA256"};
    refuse(o, "tls.minVersion");

    o = options();
    c = context_of(o);
    ck_assert(!tls_context_warning(c, text, sizeof text));
    ck_assert_int_lt(llabs((long long)tls_context_expires(c) - (time(NULL) + 86400)), 100);
    tls_context_unref(c);
    o = options();
    o.rejectUnauthorized = false;
    c = context_of(o);
    ck_assert(tls_context_warning(c, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "rejectUnauthorized"));
    tls_context_unref(c);
    old = certificate_make("old", NULL, NULL, -7200, -3600);
    certificate_write(&old, "old.pem", NULL);
    o = options();
    free(o.ca);
    o.ca = strdup(old_pem);
    c = context_of(o);
    ck_assert(tls_context_warning(c, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "has expired"));
    tls_context_unref(c);
    certificate_free(&old);
    free(leaf_pem);
    free(ca_key);
    free(old_pem);
    free_certificates();
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
    struct stream s;

    make_certificates();
    tls_server_init(&server, &leaf);
    tls_server_start(&server);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tls_options o = options(), other = options();
        o.ciphers = (char *)(uintptr_t)cases[i].ciphers;
        struct tls_context *c = context_of(o);
        ck_assert_int_eq(shake(&s, &server, c, "good.test", NULL), 1);
        stream_close(&s, false);
        tls_context_unref(c);
        other.ciphers = o.ciphers;
        other.minVersion = TLS_VERSION_1_3;
        if (strcmp(cases[i].version, "TLSv1.2") == 0)
            refuse(other, "tls.ciphers");
        else
            free(other.ca);
    }
    tls_server_stop(&server);
    free_certificates();
}
END_TEST

/* ---- through the connector */

struct made {
    struct connect_result result;
    bool done;
};

static void on_made(void *ctx, struct connect_result *r)
{
    struct made *m = ctx;

    m->result = *r;
    m->done = true;
    stream_close(&r->stream, false);
}

START_TEST(tls_through_the_connector)
{
    static const struct {
        int raw;
        enum connect_error error;
    } cases[] = {
        {TLS_SERVER_TALKS, CONNECT_OK},
        {TLS_SERVER_IS_PLAIN, CONNECT_TLS_PROTOCOL},
        {TLS_SERVER_HANGS_UP, CONNECT_TERMINATED},
        {TLS_SERVER_IS_SILENT, CONNECT_TIMEOUT},
    };
    struct event_base *base = io_loop();
    struct connect_memory memory = {0};
    struct tls_context *c;

    make_certificates();
    c = context_of(options());
    for (size_t i = 0; i < 4; i++) {
        struct tls_server server, good;
        tls_server_init(&server, &leaf);
        server.raw = cases[i].raw;
        tls_server_start(&server);
        tls_server_init(&good, &leaf);
        tls_server_start(&good);
        struct address_entry entries[2] = {{.address = server.address}, {.address = good.address}};
        struct address_list list = {entries, 1};
        struct connect_plan plan = {.entries = &list, .timeout_ms = 200, .tls = c, .servername = "good.test", .memory = &memory};
        struct made m = {0};
        connector_start(base, NULL, &plan, on_made, &m);
        io_run_until(base, &m.done, 3000);
        ck_assert_int_eq(m.result.error, cases[i].error);
        if (m.result.error != CONNECT_OK)
            ck_assert_ptr_nonnull(strstr(m.result.text, "TLS handshake with 127.0.0.1:"));
        /* Only one that hangs up leads on to the next address. */
        list.count = 2;
        memory = (struct connect_memory){0};
        m = (struct made){0};
        connector_start(base, NULL, &plan, on_made, &m);
        io_run_until(base, &m.done, 3000);
        ck_assert_int_eq(m.result.error, cases[i].raw == TLS_SERVER_HANGS_UP ? CONNECT_OK : cases[i].error);
        tls_server_stop(&server);
        tls_server_stop(&good);
    }
    tls_context_unref(c);
    event_base_free(base);
    free_certificates();
}
END_TEST

/* ---- memory */

#define IDLE 50
/* Most of it is the server's certificates, which OpenSSL keeps with the session. */
#define IDLE_MAX (64 * 1024)

/* Its own end is freed, so that ours alone is measured; the connection stays. */
static void leave_open(struct tls_server *server, SSL *ssl)
{
    (void)server;
    SSL_write(ssl, "x", 1);
    (void)!dup(SSL_get_fd(ssl));
}

START_TEST(tls_idle_sockets_are_small)
{
    struct tls_server server;
    struct tls_context *c;
    struct stream s[IDLE];
    struct mallinfo2 before, after;
    char got[8];
    size_t each;

    make_certificates();
    c = context_of(options());
    tls_server_init(&server, &leaf);
    server.serve = leave_open;
    tls_server_start(&server);
    ck_assert_int_eq(shake(&s[0], &server, c, "good.test", NULL), 1);
    before = mallinfo2();
    for (int i = 1; i < IDLE; i++) {
        ck_assert_int_eq(shake(&s[i], &server, c, "good.test", NULL), 1);
        ck_assert_int_eq(read_all(&s[i], got, 1), 1);
        ck_assert_int_eq(stream_read(&s[i], got, 1), STREAM_AGAIN);
    }
    after = mallinfo2();
    each = (after.uordblks - before.uordblks) / (IDLE - 1);
    if (getenv("IO_TEST_VERBOSE"))
        printf("an idle TLS socket takes %zu octets\n", each);
    ck_assert_uint_lt(each, IDLE_MAX);
    for (int i = 0; i < IDLE; i++)
        stream_close(&s[i], false);
    tls_server_stop(&server);
    tls_context_unref(c);
    free_certificates();
}
END_TEST

void io_tls_tests(Suite *suite)
{
    unit_group(suite, "tls verification", tls_checks_the_name, tls_checks_the_chain, tls_sends_sni_for_names_only,
               tls_tells_failures_apart, tls_shows_its_own_certificate);
    unit_group(suite, "tls sessions", tls_resumes_sessions, tls_sessions_belong_to_a_context, tls_falls_back_to_a_full_handshake);
    unit_group(suite, "tls data", tls_tells_an_end_from_a_cut, tls_is_quiet_under_tickets, tls_moves_much,
               tls_reads_after_a_failed_write, tls_idle_sockets_are_small);
    unit_group(suite, "tls context", tls_context_checks_its_files, tls_ciphers_choose_the_version, tls_through_the_connector);
}
