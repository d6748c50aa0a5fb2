/* lib/io/tls towards a server of the test's own: sessions that are resumed */

#include "io_tls_test.h"

static void resume(int version, bool reuse, bool server_tickets, int wanted)
{
    struct tls_server server;
    struct tls_options o = io_tls_options();
    struct tls_context *c;
    struct tls_sessions *sessions = tls_sessions_new();
    struct conn s;
    char got[8];
    int resumed = 0;

    o.sessionReuse = reuse;
    c = io_tls_context(o);
    tls_server_init(&server, &io_leaf);
    SSL_CTX_set_min_proto_version(server.ssl, version);
    SSL_CTX_set_max_proto_version(server.ssl, version);
    if (!server_tickets) {
        SSL_CTX_set_options(server.ssl, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(server.ssl, 0);
        SSL_CTX_set_session_cache_mode(server.ssl, SSL_SESS_CACHE_OFF);
    }
    server.serve = io_tls_answer_one;
    tls_server_start(&server);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", sessions), 1);
        resumed += tls_was_resumed(&s);
        io_say(&s, "hello");
        ck_assert_int_eq(io_read_all(&s, got, 6), 6);
        /* However it ends, the session is good for the next. */
        conn_close(&s, i % 2 == 1);
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
    io_make_certificates();
    resume(TLS1_3_VERSION, true, true, 4);
    resume(TLS1_2_VERSION, true, true, 4);
    resume(TLS1_3_VERSION, false, true, 0);
    resume(TLS1_2_VERSION, false, true, 0);
    resume(TLS1_3_VERSION, true, false, 0);
    resume(TLS1_2_VERSION, true, false, 0);
    io_free_certificates();
}
END_TEST

static int put_more(SSL *ssl, void *size)
{
    static char more[60000];
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), more, *(size_t *)size);
}

static SSL_TICKET_RETURN take_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t n,
                                     SSL_TICKET_STATUS status, void *size)
{
    (void)ssl, (void)session, (void)name, (void)n, (void)size;
    bool well = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
    return well ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_IGNORE_RENEW;
}

/* Of four tickets that come with one connection, so many are there for the next four. */
static void keep_tickets(size_t more, int wanted)
{
    struct tls_server server;
    struct tls_sessions *sessions = tls_sessions_new();
    struct conn s;
    char got[8];
    int resumed = 0;

    struct tls_context *c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    SSL_CTX_set_num_tickets(server.ssl, 4);
    SSL_CTX_set_session_ticket_cb(server.ssl, put_more, take_ticket, &more);
    server.serve = io_tls_answer_one;
    tls_server_start(&server);
    ck_assert_int_eq(io_shake(&s, &server, c, "good.test", sessions), 1);
    io_say(&s, "hello");
    ck_assert_int_eq(io_read_all(&s, got, 6), 6);
    conn_close(&s, false);
    /* What these are given is not read. */
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", sessions), 1);
        resumed += tls_was_resumed(&s);
        conn_close(&s, false);
    }
    ck_assert_int_eq(resumed, wanted);
    tls_server_stop(&server);
    tls_sessions_free(sessions);
    tls_context_unref(c);
}

START_TEST(tls_sessions_are_small)
{
    io_make_certificates();
    keep_tickets(100, 4);
    keep_tickets(40000, 1);
    io_free_certificates();
}
END_TEST

START_TEST(tls_sessions_belong_to_a_context)
{
    struct tls_server server;
    struct tls_context *c[2];
    struct tls_sessions *sessions = tls_sessions_new();
    struct conn s;
    char got[8];

    io_make_certificates();
    c[0] = io_tls_context(io_tls_options());
    c[1] = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = io_tls_answer_one;
    tls_server_start(&server);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(io_shake(&s, &server, c[i / 2], "good.test", sessions), 1);
        ck_assert_int_eq(tls_was_resumed(&s), i % 2);
        io_say(&s, "hello");
        ck_assert_int_eq(io_read_all(&s, got, 6), 6);
        conn_close(&s, false);
    }
    tls_server_stop(&server);
    tls_sessions_free(sessions);
    tls_context_unref(c[0]);
    tls_context_unref(c[1]);
    io_free_certificates();
}
END_TEST

/* A server that was restarted with other keys refuses the tickets: a full handshake follows, and nothing
 * fails. */
START_TEST(tls_falls_back_to_a_full_handshake)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_context *c;
    char got[8];
    struct conn s;

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    for (int v = 0; v < 2; v++) {
        struct tls_sessions *sessions = tls_sessions_new();
        for (int i = 0; i < 3; i++) {
            struct tls_server server;
            tls_server_init(&server, &io_leaf);
            SSL_CTX_set_max_proto_version(server.ssl, versions[v]);
            server.serve = io_tls_answer_one;
            tls_server_start(&server);
            ck_assert_int_eq(io_shake(&s, &server, c, "good.test", sessions), 1);
            ck_assert(!tls_was_resumed(&s));
            io_say(&s, "hello");
            ck_assert_int_eq(io_read_all(&s, got, 6), 6);
            conn_close(&s, false);
            tls_server_stop(&server);
        }
        tls_sessions_free(sessions);
    }
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

void io_tls_session_tests(Suite *suite)
{
    unit_group(suite, "tls sessions", tls_resumes_sessions, tls_sessions_are_small,
               tls_sessions_belong_to_a_context, tls_falls_back_to_a_full_handshake);
}
