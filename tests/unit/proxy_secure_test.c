/* Clients that speak TLS, as those inside a CONNECT do: how their connections end. */

#include "proxy_talk.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/tls.h"
#include "proxy/client.h"

static SSL_CTX *server_ctx, *client_ctx;
static SSL *ssl; /* the client's */
static int client, origin;
static struct client *c;

/* Without certificates, which nothing here is about. */
static SSL_CTX *new_context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_security_level(ctx, 0);
    ck_assert_int_eq(SSL_CTX_set_cipher_list(ctx, "AECDH-AES128-SHA"), 1);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ctx;
}

static void begin_secure(const char *file)
{
    int done = 0;

    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    proxy_rig_open(&rig, "", file);
    server_ctx = new_context(TLS_server_method());
    client_ctx = new_context(TLS_client_method());
    client = proxy_rig_client(&rig);
    c = TAILQ_FIRST(&rig.proxy->clients);
    ck_assert(tls_accept(&c->conn, SSL_new(server_ctx), SLICE("")));
    ssl = SSL_new(client_ctx);
    SSL_set_fd(ssl, client);
    SSL_set_connect_state(ssl);
    for (int i = 0; i < 10 && done == 0; i++) {
        SSL_do_handshake(ssl);
        c->conn.may_read = true;
        done = tls_handshake(&c->conn);
    }
    ck_assert_int_eq(done, 1);
    SSL_do_handshake(ssl);
    ck_assert(SSL_is_init_finished(ssl));
}

static void end_secure(void)
{
    SSL_free(ssl);
    close(client);
    proxy_rig_close(&rig);
    SSL_CTX_free(server_ctx);
    SSL_CTX_free(client_ctx);
}

static void say_secure(const char *text)
{
    ck_assert_int_eq(SSL_write(ssl, text, (int)strlen(text)), (int)strlen(text));
    proxy_rig_settle(&rig);
}

/* From now on nothing more goes to the client until it has read what was written. */
static void let_no_more_in(void)
{
    ck_assert_int_eq(setsockopt(c->conn.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
}

/* A response that only the end of the connection ends; its origin ends when the client takes no more. */
static void answer_until_full(const char *request, const char *head)
{
    static char content[50001];

    say_secure(request);
    origin = origin_end(&rig, 0);
    heard(origin);
    say(&rig, origin, head);
    memset(content, '#', sizeof content - 1);
    say(&rig, origin, content);
    let_no_more_in();
    ck_assert_int_eq(shutdown(origin, SHUT_WR), 0);
    proxy_rig_settle(&rig);
}

static void reads_to_a_proper_end(void)
{
    char got[4096];
    size_t total = 0;
    int n = 0, error = SSL_ERROR_WANT_READ;

    for (int i = 0; i < 1000 && error == SSL_ERROR_WANT_READ; i++) {
        while ((n = SSL_read(ssl, got, sizeof got)) > 0)
            total += (size_t)n;
        error = SSL_get_error(ssl, n);
        proxy_rig_turn(&rig);
    }
    ck_assert_uint_gt(total, 50000);
    ck_assert_int_eq(error, SSL_ERROR_ZERO_RETURN);
}

#define OLD_GET   "GET http://a.test/ HTTP/1.0\r\n\r\n"
#define ENDLESS   "HTTP/1.1 200 OK\r\n\r\n"
#define AN_UPDATE "GET http://a.test/ HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
#define SWITCHED  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"

START_TEST(the_end_of_a_response_waits_for_room)
{
    begin_secure("");
    answer_until_full(OLD_GET, ENDLESS);
    ck_assert_uint_eq(rig.records, 1);
    ck_assert_int_eq(c->state, CLIENT_ENDING);
    reads_to_a_proper_end();
    ck_assert_int_ne(c->state, CLIENT_ENDING);
    end_secure();
}
END_TEST

/* Who has said that nothing follows may still read. */
START_TEST(the_end_of_a_response_waits_for_who_has_ended_as_well)
{
    begin_secure("");
    answer_until_full(OLD_GET, ENDLESS);
    SSL_shutdown(ssl);
    ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
    proxy_rig_settle(&rig);
    ck_assert_int_eq(c->state, CLIENT_ENDING);
    reads_to_a_proper_end();
    end_secure();
}
END_TEST

START_TEST(the_end_of_a_tunnel_waits_for_room)
{
    begin_secure("");
    answer_until_full(AN_UPDATE, SWITCHED);
    ck_assert_int_eq(c->state, CLIENT_TUNNEL);
    reads_to_a_proper_end();
    end_secure();
}
END_TEST

static void waits_for_the_client_to_be_closed(void)
{
    for (int i = 0; i < 1000 && !TAILQ_EMPTY(&rig.proxy->clients); i++)
        proxy_rig_run(&rig, 10);
    ck_assert(TAILQ_EMPTY(&rig.proxy->clients));
    ck_assert_uint_eq(rig.proxy->stats.clients_closed[CLIENT_TIMEOUT], 1);
}

START_TEST(who_does_not_read_is_waited_for_no_longer_than_server_timeout)
{
    begin_secure("server: {timeout: off}\n");
    answer_until_full(OLD_GET, ENDLESS);
    ck_assert_int_eq(c->state, CLIENT_ENDING);
    proxy_rig_configure(&rig, "", "server: {timeout: 100ms}\n");
    waits_for_the_client_to_be_closed();
    end_secure();
}
END_TEST

/* The loop tells of room later than there is some. */
START_TEST(who_has_read_some_is_told_the_end_at_the_last_moment)
{
    char got[4096];
    begin_secure("");
    answer_until_full(OLD_GET, ENDLESS);
    ck_assert_int_eq(c->state, CLIENT_ENDING);
    while (SSL_read(ssl, got, sizeof got) > 0)
        ;
    client_on_deadline(&c->deadline);
    ck_assert_int_eq(c->state, CLIENT_LINGERING);
    ck_assert_int_eq(SSL_get_error(ssl, SSL_read(ssl, got, sizeof got)), SSL_ERROR_ZERO_RETURN);
    end_secure();
}
END_TEST

START_TEST(a_stop_does_not_wait_for_who_does_not_read)
{
    begin_secure("");
    answer_until_full(OLD_GET, ENDLESS);
    ck_assert_int_eq(c->state, CLIENT_ENDING);
    proxy_stop(rig.proxy);
    waits_for_the_client_to_be_closed();
    end_secure();
}
END_TEST

/* Records of a byte each, at once. */
static void say_in_bytes(unsigned count)
{
    BIO *records = BIO_new(BIO_s_mem());
    char *bytes;

    BIO_up_ref(records);
    SSL_set0_wbio(ssl, records);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(SSL_write(ssl, "x", 1), 1);
    long n = BIO_get_mem_data(records, &bytes);
    ck_assert_int_eq(send(client, bytes, (size_t)n, MSG_NOSIGNAL), n);
    BIO_free(records);
}

/* What a client says after its last response may be much work for nothing: others have their turns between. */
START_TEST(who_lingers_has_a_share_of_each_turn)
{
    enum { MANY = 1000 };

    begin_secure("server: {maxRequestsPerSocket: 1}\n");
    say_secure(A_GET);
    say(&rig, origin_end(&rig, 0), AN_OK);
    ck_assert_int_eq(c->state, CLIENT_LINGERING);
    say_in_bytes(MANY);
    event_base_loop(rig.base, EVLOOP_NONBLOCK);
    ck_assert_uint_gt(c->lingered, 0);
    ck_assert_uint_lt(c->lingered, MANY);
    for (unsigned i = 0; i < 100 && c->lingered < MANY; i++)
        proxy_rig_turn(&rig);
    ck_assert_uint_eq(c->lingered, MANY);
    end_secure();
}
END_TEST

void proxy_secure_tests(Suite *suite)
{
    unit_group(suite, "secure", the_end_of_a_response_waits_for_room,
               the_end_of_a_response_waits_for_who_has_ended_as_well, the_end_of_a_tunnel_waits_for_room,
               who_does_not_read_is_waited_for_no_longer_than_server_timeout,
               who_has_read_some_is_told_the_end_at_the_last_moment,
               a_stop_does_not_wait_for_who_does_not_read, who_lingers_has_a_share_of_each_turn);
}
