/* The server's side of TLS on a conn, with a client in the same thread. */

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io_tls_test.h"

struct pair {
    struct conn server;
    int fd;
    SSL *client;
    SSL_CTX *server_ctx, *client_ctx;
};

/* `fd` is the client's. */
static void begin_on(struct pair *p, int fd)
{
    io_make_certificates();
    p->fd = fd;
    fcntl(p->fd, F_SETFL, O_NONBLOCK);
    p->server_ctx = SSL_CTX_new(TLS_server_method());
    p->client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate(p->server_ctx, io_leaf.x509);
    SSL_CTX_use_PrivateKey(p->server_ctx, io_leaf.key);
    SSL_CTX_set_read_ahead(p->server_ctx, 1);
    p->client = SSL_new(p->client_ctx);
    SSL_set_fd(p->client, p->fd);
    SSL_set_connect_state(p->client);
}

static void begin(struct pair *p)
{
    begin_on(p, io_pair(&p->server));
}

static void end(struct pair *p)
{
    conn_close(&p->server, false);
    SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(p->client);
    close(p->fd);
    SSL_CTX_free(p->server_ctx);
    SSL_CTX_free(p->client_ctx);
    io_free_certificates();
}

static SSL *server_ssl(struct pair *p)
{
    return SSL_new(p->server_ctx);
}

/* What tls_handshake() said in the end. */
static int shake(struct pair *p)
{
    int done = 0;

    for (int i = 0; i < 1000 && done == 0; i++) {
        SSL_do_handshake(p->client);
        done = tls_handshake(&p->server);
        if (done == 0)
            poll(NULL, 0, 1);
    }
    return done;
}

static ssize_t read_some(struct pair *p, char *to, size_t n)
{
    ssize_t got = CONN_AGAIN;

    for (int i = 0; i < 1000 && got == CONN_AGAIN; i++) {
        got = conn_read(&p->server, to, n);
        if (got == CONN_AGAIN)
            poll(NULL, 0, 1);
    }
    return got;
}

/* So many bytes were read before TLS came. */
START_TEST(what_was_read_before_comes_first)
{
    static const size_t lengths[] = {0, 1, 5, 100, 4096};
    struct pair p;
    char early[4096], got[16];

    begin(&p);
    SSL_do_handshake(p.client);
    ssize_t n = lengths[_i] ? recv(p.server.fd, early, lengths[_i], 0) : 0;
    ck_assert_int_ge(n, 0);
    ck_assert(tls_accept(&p.server, server_ssl(&p), (struct slice){early, (size_t)n}));
    ck_assert_int_eq(shake(&p), 1);
    ck_assert_int_eq(SSL_write(p.client, "hello", 5), 5);
    ck_assert_int_eq(read_some(&p, got, sizeof got), 5);
    ck_assert_int_eq(conn_write(&p.server, &(struct iovec){got, 5}, 1), 5);
    int back = 0;
    for (int i = 0; i < 1000 && back <= 0; i++, poll(NULL, 0, 1)) /* tickets come first */
        back = SSL_read(p.client, got, sizeof got);
    ck_assert(back == 5 && memcmp(got, "hello", 5) == 0);
    end(&p);
}
END_TEST

START_TEST(a_client_that_does_not_trust_is_told_from_others)
{
    struct pair p;
    char text[200];

    begin(&p);
    SSL_set_verify(p.client, SSL_VERIFY_PEER, NULL);
    ck_assert(tls_accept(&p.server, server_ssl(&p), SLICE("")));
    ck_assert_int_eq(shake(&p), -1);
    ck_assert(tls_is_distrusted(&p.server));
    ck_assert_int_eq(tls_failure(&p.server, text, sizeof text), TLS_FAILURE_ALERT);
    ck_assert_str_eq(text, "the client sent the alert 'unknown CA'");
    tls_let_go(&p.server);
    ck_assert(!p.server.tls && !tls_is_distrusted(&p.server));
    end(&p);
}
END_TEST

START_TEST(a_client_that_leaves_is_no_distrust)
{
    struct pair p;
    char text[200];

    begin(&p);
    SSL_do_handshake(p.client);
    ck_assert(tls_accept(&p.server, server_ssl(&p), SLICE("")));
    ck_assert_int_eq(tls_handshake(&p.server), 0);
    shutdown(p.fd, SHUT_RDWR);
    int done = 0;
    for (int i = 0; i < 1000 && done == 0; i++, poll(NULL, 0, 1))
        done = tls_handshake(&p.server);
    ck_assert_int_eq(done, -1);
    ck_assert(!tls_is_distrusted(&p.server));
    tls_failure(&p.server, text, sizeof text);
    ck_assert_str_eq(text, "the client closed the connection");
    end(&p);
}
END_TEST

static void send_what_was_written(struct pair *p)
{
    char *bytes;
    long n = BIO_get_mem_data(SSL_get_wbio(p->client), &bytes);

    ck_assert_int_eq(write(p->fd, bytes, (size_t)n), n);
}

/* The client's last message and a request come in one piece, and are taken together. */
START_TEST(a_request_that_comes_with_the_end_of_the_handshake_is_not_forgotten)
{
    struct event_base *base = io_loop();
    struct pair p;
    char got[16];

    begin(&p);
    ck_assert(tls_accept(&p.server, server_ssl(&p), SLICE("")));
    SSL_do_handshake(p.client);
    ck_assert_int_eq(tls_handshake(&p.server), 0);
    SSL_set0_wbio(p.client, BIO_new(BIO_s_mem()));
    ck_assert_int_eq(SSL_do_handshake(p.client), 1);
    ck_assert_int_eq(SSL_write(p.client, "hello", 5), 5);
    send_what_was_written(&p);
    ck_assert(conn_watch(&p.server, base, 0, NULL, NULL));
    p.server.may_read = true; /* the loop has said so */
    ck_assert_int_eq(tls_handshake(&p.server), 1);
    ck_assert(p.server.may_read);
    ck_assert(!conn_is_drained(&p.server));
    ck_assert_int_eq(conn_read(&p.server, got, sizeof got), 5);
    end(&p);
    event_base_free(base);
}
END_TEST

static void update_keys(struct pair *p, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        ck_assert_int_eq(SSL_key_update(p->client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(p->client), 1);
    }
    ck_assert_int_eq(SSL_write(p->client, "hello", 5), 5);
}

START_TEST(a_flood_of_key_updates_ends_the_connection)
{
    struct pair p;
    char got[16];

    begin(&p);
    ck_assert(tls_accept(&p.server, server_ssl(&p), SLICE("")));
    ck_assert_int_eq(shake(&p), 1);
    update_keys(&p, 50);
    ck_assert_int_eq(read_some(&p, got, sizeof got), 5);
    update_keys(&p, 5000);
    ck_assert_int_le(read_some(&p, got, sizeof got), 0);
    end(&p);
}
END_TEST

/* The loop reports nothing more: a connection taken for idle would fail its next request. */
START_TEST(a_flood_is_told_after_the_data_that_came_with_it)
{
    struct pair p;
    char got[16];

    begin(&p);
    ck_assert(tls_accept(&p.server, server_ssl(&p), SLICE("")));
    ck_assert_int_eq(shake(&p), 1);
    SSL_set0_wbio(p.client, BIO_new(BIO_s_mem()));
    update_keys(&p, 150);
    send_what_was_written(&p);
    ck_assert_int_eq(read_some(&p, got, sizeof got), 5);
    ck_assert(p.server.may_read);
    ck_assert_int_eq(conn_read(&p.server, got, sizeof got), CONN_ERROR);
    ck_assert_int_eq(p.server.error, EPROTO);
    end(&p);
}
END_TEST

/* So much that nothing more goes out until the client reads, all of it in whole records. */
static void fill(struct pair *p)
{
    static char record[16384];

    do
        ck_assert_int_eq(conn_write(&p->server, &(struct iovec){record, sizeof record}, 1), sizeof record);
    while (conn_unsent(&p->server) < 4 * sizeof record);
    setsockopt(p->server.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
}

/* Over TCP a few bytes may fit into the last packet that waits, whatever the limit. */
static int unix_pair(struct conn *server)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    conn_open(server, ends[0]);
    return ends[1];
}

/* What the client meets behind all data. */
static int end_that_is_read(struct pair *p)
{
    char got[4096];
    int n, error;

    do {
        while ((n = SSL_read(p->client, got, sizeof got)) > 0)
            ;
        error = SSL_get_error(p->client, n);
        if (error == SSL_ERROR_WANT_READ)
            poll(NULL, 0, 1);
    } while (error == SSL_ERROR_WANT_READ && conn_unsent(&p->server) > 0);
    return error;
}

START_TEST(an_end_waits_for_room)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct pair p;

    begin_on(&p, unix_pair(&p.server));
    SSL_set_max_proto_version(p.client, versions[_i]);
    ck_assert(tls_accept(&p.server, server_ssl(&p), SLICE("")));
    ck_assert_int_eq(shake(&p), 1);
    fill(&p);
    ck_assert(!conn_say_end(&p.server));
    ck_assert(!conn_shutdown_write(&p.server));
    ck_assert_int_eq(conn_write(&p.server, &(struct iovec){(char[]){"x"}, 1}, 1), CONN_ERROR);
    ck_assert_int_eq(end_that_is_read(&p), SSL_ERROR_WANT_READ);
    ck_assert_int_eq(SSL_write(p.client, "hello", 5), 5);
    ck_assert_int_eq(read_some(&p, (char[5]){0}, 5), 5);
    ck_assert(conn_shutdown_write(&p.server));
    ck_assert_int_eq(end_that_is_read(&p), SSL_ERROR_ZERO_RETURN);
    ck_assert(conn_shutdown_write(&p.server));
    ck_assert_int_eq(SSL_write(p.client, "bye", 3), 3);
    ck_assert_int_eq(read_some(&p, (char[5]){0}, 5), 3);
    end(&p);
}
END_TEST

/* OpenSSL takes a buffer for each record, and gives it back. */
static int records_until_failure; /* there is no memory for the how manieth; 0: for all */

static void *allocate(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return n > 16384 && records_until_failure > 0 && --records_until_failure == 0 ? NULL : malloc(n);
}

static void *reallocate(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return realloc(p, n);
}

static void release(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

/* Before OpenSSL has anything. */
__attribute__((constructor)) static void take_over_memory(void)
{
    CRYPTO_set_mem_functions(allocate, reallocate, release);
}

static unsigned reports;

static void count_report(void *ctx, unsigned ready)
{
    (void)ctx, (void)ready;
    reports++;
}

/* A descriptor that can be written reports nothing: who waits for more room would wait for ever. */
START_TEST(a_write_that_fails_behind_a_first_record_is_reported)
{
    static char records[3 * 16384];
    struct event_base *base = io_loop();
    struct pair p;

    begin(&p);
    SSL_CTX_set_mode(p.server_ctx, SSL_MODE_RELEASE_BUFFERS);
    ck_assert(tls_accept(&p.server, server_ssl(&p), SLICE("")));
    ck_assert_int_eq(shake(&p), 1);
    ck_assert(conn_watch(&p.server, base, 0, count_report, NULL));
    event_base_loop(base, EVLOOP_NONBLOCK);
    reports = 0;
    records_until_failure = 2;
    ck_assert_int_eq(conn_write(&p.server, &(struct iovec){records, sizeof records}, 1), 16384);
    records_until_failure = 0;
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_uint_eq(reports, 1);
    ck_assert_int_eq(conn_write(&p.server, &(struct iovec){records, sizeof records}, 1), CONN_ERROR);
    end(&p);
    event_base_free(base);
}
END_TEST

void io_tls_accept_tests(Suite *suite)
{
    TCase *group = tcase_create("accept");

    tcase_add_loop_test(group, what_was_read_before_comes_first, 0, 5);
    tcase_add_test(group, a_request_that_comes_with_the_end_of_the_handshake_is_not_forgotten);
    tcase_add_test(group, a_client_that_does_not_trust_is_told_from_others);
    tcase_add_test(group, a_client_that_leaves_is_no_distrust);
    tcase_add_test(group, a_flood_of_key_updates_ends_the_connection);
    tcase_add_test(group, a_flood_is_told_after_the_data_that_came_with_it);
    tcase_add_test(group, a_write_that_fails_behind_a_first_record_is_reported);
    tcase_add_loop_test(group, an_end_waits_for_room, 0, 2);
    suite_add_tcase(suite, group);
}
