/* lib/io/tls towards a server of the test's own: data, ends, memory */

#include "io_tls_test.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static _Atomic int scene; /* what the server's thread does */

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
    struct conn s;
    char got[8];

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = end_somehow;
    tls_server_start(&server);
    for (scene = END_NOTIFY; scene <= END_RESET; scene++) {
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
        ck_assert_int_eq(io_read_all(&s, got, 3), 3);
        ck_assert_int_eq(io_read_all(&s, got, 3), scene == END_RESET ? CONN_ERROR : CONN_EOF);
        ck_assert_int_eq(io_read_all(&s, got, 3), scene == END_RESET ? CONN_ERROR : CONN_EOF);
        ck_assert(s.eof_without_notify == (scene == END_BARE));
        if (scene == END_RESET)
            ck_assert_int_eq(s.error, ECONNRESET);
        ck_assert(!conn_is_quiet(&s));
        conn_close(&s, false);
    }
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

/* A server that would like to know who it is, as one of TLS 1.2 may ask in the middle (RFC 5246 7.4.1.1). */
static void renegotiate(struct tls_server *server, SSL *ssl)
{
    char byte;

    (void)server;
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    SSL_renegotiate(ssl);
    SSL_do_handshake(ssl);
    SSL_read(ssl, &byte, 1); /* its answer, which is no */
}

/* The first three bytes of what such a server sends, or what is read instead; and what failed. */
static ssize_t read_from_old(void (*serve)(struct tls_server *, SSL *), enum tls_failure *failure,
                             char text[256])
{
    struct tls_server server;
    struct tls_context *c;
    struct conn s;
    char got[8];

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    SSL_CTX_set_max_proto_version(server.ssl, TLS1_2_VERSION);
    server.serve = serve;
    tls_server_start(&server);
    ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
    ssize_t n = io_read_all(&s, got, 3);
    *failure = tls_failure(&s, text, 256);
    conn_close(&s, false);
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
    return n;
}

START_TEST(tls_says_that_renegotiation_was_wanted)
{
    enum tls_failure failure;
    char text[256];

    ck_assert_int_lt(read_from_old(renegotiate, &failure, text), 1);
    ck_assert_int_eq(failure, TLS_FAILURE_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(text, "renegotiate"));
}
END_TEST

static void renegotiate_or_go_on(struct tls_server *server, SSL *ssl)
{
    (void)server;
    SSL_renegotiate(ssl);
    SSL_do_handshake(ssl);
    SSL_write(ssl, "abc", 3);
    SSL_shutdown(ssl);
}

START_TEST(tls_forgets_a_renegotiation_that_was_not_insisted_on)
{
    enum tls_failure failure;
    char text[256];

    ck_assert_int_eq(read_from_old(renegotiate_or_go_on, &failure, text), 3);
    ck_assert_int_eq(failure, TLS_FAILURE_NONE);
}
END_TEST

/* Data between every 50 key updates costs as much as they do; 5000 without any do not end until they are not
 * read. */
static void update_keys(struct tls_server *server, SSL *ssl)
{
    static char data[16384 * 50];
    bool well = true;

    (void)server;
    for (int i = 0; i < 5000 && well; i++) {
        well = SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1;
        if (i < 200 && i % 50 == 49)
            well = SSL_write(ssl, data, sizeof data) == sizeof data;
    }
    if (well)
        SSL_write(ssl, data, sizeof data);
}

START_TEST(tls_ends_a_flood_of_key_updates)
{
    static char got[16384 * 50];
    struct tls_server server;
    struct tls_context *c;
    struct conn s;
    char text[256];

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = update_keys;
    tls_server_start(&server);
    ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(io_read_all(&s, got, sizeof got), sizeof got);
    ck_assert_int_eq(io_read_all(&s, got, 1), CONN_ERROR);
    ck_assert_int_eq(s.error, EPROTO);
    ck_assert_int_eq(tls_failure(&s, text, sizeof text), TLS_FAILURE_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(text, "no data"));
    conn_close(&s, true);
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

static pthread_barrier_t barrier;

/* Tickets and a key update, then data, then an end: each when the client has looked. */
static void speak_in_turn(struct tls_server *server, SSL *ssl)
{
    char byte;

    (void)server;
    SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(ssl);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    SSL_write(ssl, "data", 4);
    pthread_barrier_wait(&barrier);
    if (SSL_read(ssl, &byte, 1) == 1)
        SSL_shutdown(ssl);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
}

START_TEST(tls_is_quiet_under_tickets)
{
    struct tls_server server;
    struct tls_context *c;
    struct tls_sessions *sessions = tls_sessions_new();
    struct conn s;
    char got[8];

    io_make_certificates();
    pthread_barrier_init(&barrier, NULL, 2);
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    SSL_CTX_set_min_proto_version(server.ssl, TLS1_3_VERSION);
    server.serve = speak_in_turn;
    tls_server_start(&server);
    ck_assert_int_eq(io_shake(&s, &server, c, "good.test", sessions), 1);
    pthread_barrier_wait(&barrier);
    io_wait_for(&s, POLLIN);
    ck_assert(conn_is_quiet(&s));
    ck_assert_uint_eq(conn_buffered(&s), 0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    io_wait_for(&s, POLLIN);
    ck_assert(!conn_is_quiet(&s));
    ck_assert_uint_eq(conn_buffered(&s), 4);
    ck_assert_int_eq(io_read_all(&s, got, 4), 4);
    ck_assert(conn_is_quiet(&s));
    ck_assert(!s.may_read);
    /* Our answer to the key update goes with this. */
    io_say(&s, "x");
    pthread_barrier_wait(&barrier);
    io_wait_for(&s, POLLIN);
    ck_assert(!conn_is_quiet(&s));
    ck_assert_int_eq(conn_read(&s, got, 1), CONN_EOF);
    ck_assert(!s.eof_without_notify);
    pthread_barrier_wait(&barrier);
    conn_close(&s, false);
    tls_server_stop(&server);
    tls_sessions_free(sessions);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

/* A record of five bytes, whose own bytes come in two pieces: cut at every place in turn. */
static void send_in_halves(struct tls_server *server, SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    BIO *out = BIO_new(BIO_s_mem());
    char *record;
    long n = 2;

    (void)server;
    SSL_set0_wbio(ssl, out);
    pthread_barrier_wait(&barrier);
    for (long cut = 1; cut < n; cut++) {
        (void)BIO_reset(out);
        SSL_write(ssl, "whole", 5);
        n = BIO_get_mem_data(out, &record);
        (void)!write(fd, record, (size_t)cut);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        (void)!write(fd, record + cut, (size_t)(n - cut));
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
}

START_TEST(tls_waits_for_the_rest_of_a_record)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_context *c;
    char got[8];

    io_make_certificates();
    pthread_barrier_init(&barrier, NULL, 2);
    c = io_tls_context(io_tls_options());
    for (int v = 0; v < 2; v++) {
        struct tls_server server;
        struct conn s;
        /* Five bytes of head, five of text, and what AES-GCM adds (RFC 5288 3, RFC 8446 5.2). */
        int cuts = versions[v] == TLS1_2_VERSION ? 5 + 8 + 5 + 16 : 5 + 5 + 1 + 16;
        tls_server_init(&server, &io_leaf);
        SSL_CTX_set_max_proto_version(server.ssl, versions[v]);
        SSL_CTX_set_cipher_list(server.ssl, "ECDHE-ECDSA-AES128-GCM-SHA256");
        server.serve = send_in_halves;
        tls_server_start(&server);
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
        pthread_barrier_wait(&barrier);
        for (int cut = 1; cut < cuts; cut++) {
            pthread_barrier_wait(&barrier);
            io_wait_for(&s, POLLIN);
            ck_assert(conn_is_quiet(&s));
            ck_assert_int_eq(conn_read(&s, got, sizeof got), CONN_AGAIN);
            ck_assert_uint_eq(conn_buffered(&s), 0);
            ck_assert_msg(conn_has_part(&s), "cut at %d", cut);
            ck_assert(conn_awaits_ticket(&s) == (cut == 1 && versions[v] == TLS1_3_VERSION));
            pthread_barrier_wait(&barrier);
            pthread_barrier_wait(&barrier);
            ck_assert_int_eq(io_read_all(&s, got, 5), 5);
            ck_assert_int_eq(memcmp(got, "whole", 5), 0);
            ck_assert(conn_is_quiet(&s) && !conn_has_part(&s));
            pthread_barrier_wait(&barrier);
        }
        conn_close(&s, false);
        tls_server_stop(&server);
    }
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

#define MUCH (4 * 1024 * 1024)

/* The client could not write on. */
static bool held_up;

static unsigned char byte_at(size_t i)
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
    for (int i = 0; i < 3000 && !__atomic_load_n(&held_up, __ATOMIC_RELAXED); i++)
        usleep(1000);
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
static ssize_t write_pieces(struct conn *s, unsigned char *all, size_t at)
{
    static const size_t sizes[] = {17, 1, 300, 20000, 0, 5000, 60000};
    struct iovec v[7];

    for (int i = 0; i < 7; i++) {
        size_t n = sizes[i] < MUCH - at ? sizes[i] : MUCH - at;
        v[i] = (struct iovec){all + at, n};
        at += n;
    }
    return conn_write(s, v, 7);
}

START_TEST(tls_moves_much)
{
    struct tls_server server;
    struct tls_context *c;
    struct conn s;
    unsigned char *all = malloc(MUCH), got[5000];
    size_t at = 0;
    ssize_t n;

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = echo_much;
    tls_server_start(&server);
    for (size_t i = 0; i < MUCH; i++)
        all[i] = byte_at(i);
    ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
    setsockopt(s.fd, SOL_SOCKET, SO_SNDBUF, &(int){1 << 17}, sizeof(int));
    held_up = false;
    while (at < MUCH) {
        n = write_pieces(&s, all, at);
        if (n == CONN_AGAIN) {
            __atomic_store_n(&held_up, true, __ATOMIC_RELAXED);
            io_wait_for(&s, POLLOUT);
        } else {
            ck_assert_int_gt(n, 0);
            at += (size_t)n;
        }
    }
    ck_assert(held_up);
    for (at = 0; (n = conn_read(&s, got, 1 + at % sizeof got)) != CONN_EOF;) {
        if (n == CONN_AGAIN) {
            ck_assert_uint_eq(conn_buffered(&s), 0);
            io_wait_for(&s, POLLIN);
            continue;
        }
        ck_assert_int_gt(n, 0);
        ck_assert_int_eq(memcmp(got, all + at, (size_t)n), 0);
        at += (size_t)n;
    }
    ck_assert_uint_eq(at, MUCH);
    ck_assert(!s.eof_without_notify);
    conn_close(&s, false);
    tls_server_stop(&server);
    tls_context_unref(c);
    free(all);
    io_free_certificates();
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
    struct conn s;
    static char much[1 << 16];
    struct iovec v = {much, sizeof much};
    char got[16];
    ssize_t n = 1;

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = cut_reading;
    tls_server_start(&server);
    ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
    io_wait_for(&s, POLLIN);
    shutdown(s.fd, SHUT_WR);
    n = conn_write(&s, &v, 1);
    ck_assert_int_eq(n, CONN_ERROR);
    ck_assert_int_eq(s.error, EPIPE);
    ck_assert_int_eq(conn_write(&s, &v, 1), CONN_ERROR);
    ck_assert_int_eq(io_read_all(&s, got, 9), 9);
    ck_assert_int_eq(memcmp(got, "too large", 9), 0);
    conn_close(&s, false);
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

/* ---- memory */

#define IDLE 50

/* What OpenSSL keeps for a connection, with less than one record's buffer (16 KiB) to spare. As measured: 18
 * KiB by 3.0; 35 KiB by 3.5, whose two record layers take 9 KiB and whose key of ML-KEM-768 takes 8 KiB until
 * the connection ends. */
static size_t idle_max(void)
{
    return OpenSSL_version_num() >= 0x30200000L ? 44 * 1024 : 28 * 1024;
}

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
    struct conn s[IDLE];
    struct mallinfo2 before, after;
    char got[8];
    size_t each;

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = leave_open;
    tls_server_start(&server);
    ck_assert_int_eq(io_shake(&s[0], &server, c, "good.test", NULL), 1);
    before = mallinfo2();
    for (int i = 1; i < IDLE; i++) {
        ck_assert_int_eq(io_shake(&s[i], &server, c, "good.test", NULL), 1);
        io_say(&s[i], "hello");
        ck_assert_int_eq(io_read_all(&s[i], got, 1), 1);
        ck_assert_int_eq(conn_read(&s[i], got, 1), CONN_AGAIN);
    }
    after = mallinfo2();
    each = (after.uordblks - before.uordblks) / (IDLE - 1);
    if (getenv("IO_TEST_VERBOSE"))
        printf("an idle TLS socket takes %zu bytes\n", each);
    ck_assert_uint_lt(each, idle_max());
    for (int i = 0; i < IDLE; i++)
        conn_close(&s[i], false);
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

void io_tls_data_tests(Suite *suite)
{
    unit_group(suite, "tls data", tls_tells_an_end_from_a_cut, tls_says_that_renegotiation_was_wanted,
               tls_forgets_a_renegotiation_that_was_not_insisted_on, tls_ends_a_flood_of_key_updates,
               tls_is_quiet_under_tickets, tls_waits_for_the_rest_of_a_record, tls_moves_much,
               tls_reads_after_a_failed_write, tls_idle_sockets_are_small);
}
