/* lib/io/tls through the connector. */

#include "io_tls_test.h"

#include "io/connector.h"

struct made {
    struct connect_result result;
    bool done;
};

static void on_made(void *ctx, struct connect_result *r)
{
    struct made *m = ctx;

    m->result = *r;
    m->done = true;
    conn_close(&r->conn, false);
}

START_TEST(tls_through_the_connector)
{
    static const struct {
        int raw;
        enum connect_error alone;
    } cases[] = {
        {TLS_SERVER_TALKS, CONNECT_OK},
        {TLS_SERVER_IS_PLAIN, CONNECT_TLS_PROTOCOL},
        {TLS_SERVER_HANGS_UP, CONNECT_TERMINATED},
        {TLS_SERVER_IS_SILENT, CONNECT_TIMEOUT},
    };
    struct event_base *base = io_loop();
    struct connect_memory memory = {0};
    struct tls_context *c;

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    for (size_t i = 0; i < 4; i++) {
        struct tls_server server, good;
        tls_server_init(&server, &io_leaf);
        server.raw = cases[i].raw;
        tls_server_start(&server);
        tls_server_init(&good, &io_leaf);
        tls_server_start(&good);
        struct address_entry entries[2] = {{.address = server.address}, {.address = good.address}};
        struct address_list list = {entries, 1};
        struct connect_plan plan = {
            .entries = &list, .timeout_ms = 1500, .tls = c, .servername = "good.test", .memory = &memory};
        struct made m = {0};
        connector_start(base, NULL, &plan, on_made, &m);
        io_run_until(base, &m.done, 3000);
        ck_assert_int_eq(m.result.error, cases[i].alone);
        if (m.result.error != CONNECT_OK)
            ck_assert_ptr_nonnull(strstr(m.result.text, "TLS handshake with 127.0.0.1:"));
        /* Each of them leads on to the next address. */
        list.count = 2;
        memory = (struct connect_memory){0};
        m = (struct made){0};
        connector_start(base, NULL, &plan, on_made, &m);
        io_run_until(base, &m.done, 3000);
        ck_assert_int_eq(m.result.error, CONNECT_OK);
        tls_server_stop(&server);
        tls_server_stop(&good);
    }
    tls_context_unref(c);
    event_base_free(base);
    io_free_certificates();
}
END_TEST

#define BURST 40

/* More at once than one turn of the loop takes. */
START_TEST(tls_connects_in_a_burst)
{
    struct event_base *base = io_loop();
    struct connect_memory memory = {0};
    struct tls_server server;
    struct made m[BURST] = {0};
    struct tls_context *c;

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    tls_server_start(&server);
    struct connect_plan plan = {.host = "127.0.0.1",
                                .port = address_port(&server.address),
                                .timeout_ms = 60000,
                                .tls = c,
                                .servername = "good.test",
                                .memory = &memory};
    for (int i = 0; i < BURST; i++)
        connector_start(base, NULL, &plan, on_made, &m[i]);
    for (int i = 0; i < BURST; i++) {
        io_run_until(base, &m[i].done, 60000);
        ck_assert_int_eq(m[i].result.error, CONNECT_OK);
    }
    tls_server_stop(&server);
    ck_assert_int_eq(server.handshakes, BURST);
    tls_context_unref(c);
    event_base_free(base);
    io_free_certificates();
}
END_TEST

void io_tls_connects_tests(Suite *suite)
{
    unit_group(suite, "tls connects", tls_through_the_connector, tls_connects_in_a_burst);
}
