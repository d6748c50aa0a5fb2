/* lib/io/connector, address_memory and address_policy: which of several addresses, and when */

#include "io_connector_rig.h"

#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"
#include "http/head.h"
#include "io/address_memory.h"
#include "io/address_policy.h"
#include "io_tls_test.h"

/* ---- order */

static bool yields(const char *to, const char *from)
{
    struct address a, source;

    ck_assert(address_from_ip(&a, slice_of(to), 0));
    ck_assert(address_from_ip(&source, slice_of(from), 0));
    return address_pair_yields_to_ipv4(&a, &source);
}

/* RFC 6724 6: IPv6 goes first where its source goes with it. */
START_TEST(order_prefers_a_family)
{
    ck_assert(!yields("2001:db8::1", "2001:db8::2"));
    ck_assert(!yields("::1", "::1"));
    ck_assert(yields("2001:db8::1", "fe80::1"));     /* the scopes differ */
    ck_assert(yields("2001:db8::1", "2002:a00::1")); /* the labels differ: 6to4 */
    ck_assert(yields("2001:db8::1", "fd00::1"));     /* unique local */
    ck_assert(yields("2001:db8::1", "2001:0:1::1")); /* Teredo */
    ck_assert(yields("2002:a00::1", "2002:a00::2")); /* below IPv4 in the table */
    ck_assert(yields("fd00::1", "fd00::2"));
    ck_assert(yields("fec0::1", "fec0::2"));
    ck_assert(!yields("fe80::1", "fe80::2"));
}
END_TEST

START_TEST(order_remembers_failures)
{
    struct connect_memory m = {0};
    struct address a[CONNECT_MEMORY_FAILED + 1];

    for (uint16_t i = 0; i <= CONNECT_MEMORY_FAILED; i++) {
        ck_assert(address_from_ip(&a[i], SLICE("10.0.0.1"), i));
        ck_assert(!address_failed_lately(&m, &a[i]));
        address_remember_failure(&m, &a[i]);
        address_remember_failure(&m, &a[i]);
        ck_assert(address_failed_lately(&m, &a[i]));
        usleep(1500);
        clock_update();
    }
    ck_assert(!address_failed_lately(&m, &a[0]));
    ck_assert(address_failed_lately(&m, &a[1]));
    address_forget_failure(&m, &a[1]);
    ck_assert(!address_failed_lately(&m, &a[1]));
}
END_TEST

/* ---- races */

START_TEST(race_is_won)
{
    struct fixture *f = set_up();
    int hole = listen_at("127.0.0.3", 0, 0), fds[4], good;
    struct address a = {.length = sizeof a.sa};
    struct connect_result *r;
    uint16_t port;

    getsockname(hole, &a.sa.any, &a.length);
    port = address_port(&a);
    good = listen_at("127.0.0.2", port, 8);
    fill_queue(hole, fds);
    f->plan.family = AF_INET;
    r = run_to(f, "two.test", port);
    ck_assert_int_eq(r->error, CONNECT_OK);
    ck_assert_str_eq(peer(r), "127.0.0.2");
    ck_assert_int_ge((int)(r->took_us / 1000), 240);
    ck_assert_int_le((int)(r->took_us / 1000), 1500);
    /* What was beaten comes last from then on. */
    for (int i = 0; i < 3; i++) {
        r = run_to(f, "two.test", port);
        ck_assert_str_eq(peer(r), "127.0.0.2");
        ck_assert_int_lt((int)(r->took_us / 1000), 250); /* as long as the next one waits */
    }
    /* One that refuses is passed at once. */
    close(hole);
    f->memory = (struct connect_memory){0};
    r = run_to(f, "two.test", port);
    ck_assert_str_eq(peer(r), "127.0.0.2");
    ck_assert_int_lt((int)(r->took_us / 1000), 250); /* as long as the next one waits */
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    close(good);
    tear_down(f);
}
END_TEST

/* Listens at ::1 and at 127.0.0.1 with one port; false where the host has no IPv6. */
static bool listen_at_both(int fds[2], uint16_t *port)
{
    struct address a = {.length = sizeof a.sa};

    fds[0] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fds[0] < 0)
        return false;
    setsockopt(fds[0], IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
    fds[1] = listen_at("127.0.0.1", 0, 8);
    getsockname(fds[1], &a.sa.any, &a.length);
    *port = address_port(&a);
    ck_assert(address_from_ip(&a, SLICE("::1"), *port));
    if (bind(fds[0], &a.sa.any, a.length) == 0 && listen(fds[0], 8) == 0)
        return true;
    close(fds[0]);
    close(fds[1]);
    return false;
}

static void set_names(struct fixture *f, const struct dns_name *own)
{
    f->dns.names = own;
    f->memory = (struct connect_memory){0};
}

/* One family's answer will do: the other's is waited for no longer than 50 ms (RFC 8305 3). */
START_TEST(race_waits_for_no_family)
{
    struct fixture *f = set_up();
    struct dns_name own[] = {
        {.name = "v4.test", .a = {"127.0.0.1"}, .aaaa = {"::1"}, .silent_aaaa = true, .ttl = 60},
        {.name = "v6.test", .a = {"127.0.0.1"}, .aaaa = {"::1"}, .silent_a = true, .ttl = 60},
        {.name = "both.test", .a = {"127.0.0.1"}, .aaaa = {"::1"}, .ttl = 60},
        {.name = "half.test", .a = {"127.0.0.1"}, .rcode_aaaa = 2, .ttl = 60},
        {0}};
    int fds[2];
    uint16_t port;

    if (listen_at_both(fds, &port)) {
        set_names(f, own);
        resolver_set_servers(f->resolver, f->dns.servers, 60000, 1);
        f->plan.timeout_ms = 20000;
        ck_assert_int_eq(run_to(f, "v4.test", port)->error, CONNECT_OK);
        ck_assert_str_eq(peer(&f->result), "127.0.0.1");
        ck_assert_int_ge((int)(f->result.took_us / 1000), 50);
        ck_assert_int_eq(run_to(f, "v6.test", port)->error, CONNECT_OK);
        ck_assert_str_eq(peer(&f->result), "::1");
        ck_assert_int_eq(run_to(f, "half.test", port)->error, CONNECT_OK);
        /* With both answers there, IPv6 goes first. */
        ck_assert_int_eq(run_to(f, "both.test", port)->error, CONNECT_OK);
        ck_assert_str_eq(peer(&f->result), "::1");
        f->plan.family = AF_INET;
        ck_assert_int_eq(run_to(f, "both.test", port)->error, CONNECT_OK);
        ck_assert_str_eq(peer(&f->result), "127.0.0.1");
        close(fds[0]);
        close(fds[1]);
    }
    tear_down(f);
}
END_TEST

/* An answer that comes late joins the race. */
START_TEST(race_takes_late_answers)
{
    struct fixture *f = set_up();
    struct dns_name own[] = {
        {.name = "late.test", .a = {"127.0.0.3"}, .aaaa = {"::1"}, .silent_aaaa = true, .ttl = 60}, {0}};
    int fds[2], queue[4], hole;
    uint16_t port;

    if (listen_at_both(fds, &port)) {
        hole = listen_at("127.0.0.3", port, 0);
        fill_queue(hole, queue);
        set_names(f, own);
        f->plan.timeout_ms = 20000;
        f->plan.host = "late.test";
        f->plan.port = port;
        connector_start(f->base, f->resolver, &f->plan, on_done, f);
        io_run_for(f->base, 100); /* the other address is being tried */
        ck_assert(!f->done);
        own[0].silent_aaaa = false;
        io_run_until(f->base, &f->done, 15000);
        ck_assert_int_eq(f->result.error, CONNECT_OK);
        ck_assert_str_eq(peer(&f->result), "::1");
        conn_close(&f->result.conn, false);
        for (int i = 0; i < 4; i++)
            close(queue[i]);
        close(hole);
        close(fds[0]);
        close(fds[1]);
    }
    tear_down(f);
}
END_TEST

START_TEST(race_ends_in_time)
{
    struct fixture *f = set_up();
    int fds[4], hole = listen_at("127.0.0.3", 0, 0);
    struct address a = {.length = sizeof a.sa};
    struct connect_result *r;

    getsockname(hole, &a.sa.any, &a.length);
    fill_queue(hole, fds);
    f->plan.timeout_ms = 120;
    r = run_to(f, "127.0.0.3", address_port(&a));
    ck_assert_int_eq(r->error, CONNECT_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(r->text, "no answer within 120ms"));
    ck_assert_int_ge((int)(r->took_us / 1000), 120);
    ck_assert_int_le((int)(r->took_us / 1000), 2000);
    r = run_to(f, "silent.test", 80);
    ck_assert_int_eq(r->error, CONNECT_DNS_TIMEOUT);
    /* The other address refuses at once; the one that is silent decides. */
    r = run_to(f, "two.test", address_port(&a));
    ck_assert_int_eq(r->error, CONNECT_TIMEOUT);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    close(hole);
    tear_down(f);
}
END_TEST

START_TEST(race_rotates)
{
    struct fixture *f = set_up();
    struct address_entry entries[3] = {{.is_name = true, .host = (char[]){"one.test"}}, {0}, {0}};
    struct address_list list = {entries, 3};
    int fd[3], seen[256] = {0};
    struct address a = {.length = sizeof a.sa};

    fd[0] = listen_at("127.0.0.1", 0, 8);
    getsockname(fd[0], &a.sa.any, &a.length);
    fd[1] = listen_at("127.0.0.2", address_port(&a), 8);
    fd[2] = listen_at("127.0.0.3", address_port(&a), 8);
    entries[0].port = address_port(&a);
    ck_assert(address_from_ip(&entries[1].address, SLICE("127.0.0.2"), address_port(&a)));
    ck_assert(address_from_ip(&entries[2].address, SLICE("127.0.0.3"), address_port(&a)));
    f->plan.entries = &list;
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(run(f)->error, CONNECT_OK);
        seen[ntohl(f->result.peer.sa.v4.sin_addr.s_addr) & 0xff]++;
    }
    ck_assert_int_eq(seen[1], 2);
    ck_assert_int_eq(seen[2], 2);
    ck_assert_int_eq(seen[3], 2);
    /* A dead one is asked first once, and then not for a while. */
    close(fd[1]);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(run(f)->error, CONNECT_OK);
    ck_assert(address_failed_lately(&f->memory, &entries[1].address));
    /* A name of `address` that does not answer delays the others by 50 ms at most. */
    entries[0].host = (char[]){"silent.test"};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(run(f)->error, CONNECT_OK);
        ck_assert_str_eq(peer(&f->result), "127.0.0.3");
        ck_assert_int_le((int)(f->result.took_us / 1000), 1000);
    }
    /* So do the addresses of one name. */
    f->plan.entries = NULL;
    f->memory = (struct connect_memory){0};
    close(fd[2]);
    fd[2] = listen_at("127.0.0.3", address_port(&a), 8);
    fd[1] = listen_at("127.0.0.2", address_port(&a), 8);
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(run_to(f, "two.test", address_port(&a))->error, CONNECT_OK);
        seen[ntohl(f->result.peer.sa.v4.sin_addr.s_addr) & 0xff]++;
    }
    ck_assert_int_eq(seen[2], 2);
    ck_assert_int_eq(seen[3], 2);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    tear_down(f);
}
END_TEST

/* ---- handshakes */

/* Runs the loop until somebody has connected there; the connection. */
static int accept_while_it_runs(struct fixture *f, int listening)
{
    unsigned long long end = io_now() + 15000;
    int fd;

    evutil_make_socket_nonblocking(listening);
    while ((fd = accept(listening, NULL, NULL)) < 0) {
        ck_assert_msg(io_now() < end, "nobody connects");
        io_run_for(f->base, 10);
    }
    return fd;
}

static struct address_entry entry_of(int listening)
{
    struct address_entry e = {.address.length = sizeof e.address.sa};

    getsockname(listening, &e.address.sa.any, &e.address.length);
    return e;
}

/* One that accepts and says nothing costs a second, not the connect. */
START_TEST(race_goes_on_while_tls_stalls)
{
    struct fixture *f = set_up();
    int silent = listen_at("127.0.0.3", 0, 8);
    struct tls_server server;
    struct tls_context *tls;

    io_make_certificates();
    tls_server_init(&server, &io_leaf);
    tls_server_start(&server);
    tls = io_tls_context(io_tls_options());
    f->plan.tls = tls;
    f->plan.servername = "good.test";
    f->plan.timeout_ms = 60000;
    f->plan.entries =
        &(struct address_list){(struct address_entry[]){entry_of(silent), {.address = server.address}}, 2};
    f->done = false;
    connector_start(f->base, f->resolver, &f->plan, on_done, f);
    io_run_until(f->base, &f->done, 20000);
    ck_assert_int_eq(f->result.error, CONNECT_OK);
    ck_assert(address_equal(&f->result.peer, &server.address));
    conn_close(&f->result.conn, false);
    close(accept_while_it_runs(f, silent)); /* the one that was begun there is closed, and no other follows */
    f->memory.rotation = 0;
    ck_assert_int_eq(run(f)->error, CONNECT_OK);
    ck_assert_int_eq(accept(silent, NULL, NULL), -1);
    tls_server_stop(&server);
    tls_context_unref(tls);
    io_free_certificates();
    close(silent);
    tear_down(f);
}
END_TEST

/* Whoever agrees first is taken, though another one refused meanwhile. */
START_TEST(race_waits_for_those_under_way)
{
    static const char refusal[] = "HTTP/1.1 403 Forbidden\r\n\r\n", yes[] = "HTTP/1.1 200 OK\r\n\r\n";
    struct fixture *f = set_up();
    int slow = listen_at("127.0.0.3", 0, 8), other, fds[2];
    struct address_entry e = entry_of(slow);
    struct parent_proxy parent = {.host = (char[]){"two.test"}, .port = address_port(&e.address)};

    http_init();
    other = listen_at("127.0.0.2", parent.port, 8);
    parent.address = (char[]){"two.test:3128"};
    f->plan = (struct connect_plan){.family = AF_INET,
                                    .timeout_ms = 60000,
                                    .memory = &f->memory,
                                    .parent = &parent,
                                    .tunnel = true,
                                    .host = "a.test",
                                    .port = 443};
    f->done = false;
    connector_start(f->base, f->resolver, &f->plan, on_done, f);
    fds[0] = accept_while_it_runs(f, slow);
    fds[1] = accept_while_it_runs(f, other);
    ck_assert_int_eq(write(fds[1], refusal, strlen(refusal)), (ssize_t)strlen(refusal));
    io_run_for(f->base, 50);
    ck_assert(!f->done);
    ck_assert_int_eq(write(fds[0], yes, strlen(yes)), (ssize_t)strlen(yes));
    io_run_until(f->base, &f->done, 20000);
    ck_assert_int_eq(f->result.error, CONNECT_OK);
    ck_assert_str_eq(peer(&f->result), "127.0.0.3");
    conn_close(&f->result.conn, false);
    for (int i = 0; i < 2; i++)
        close(fds[i]);
    close(slow);
    close(other);
    tear_down(f);
}
END_TEST

/* With several under way when the time is up, the first of them is told of. */
START_TEST(race_ends_while_handshakes_stall)
{
    struct fixture *f = set_up();
    int silent[2] = {listen_at("127.0.0.3", 0, 8)}, fds[2];
    struct address_entry e = entry_of(silent[0]);
    struct parent_proxy parent = {.host = (char[]){"two.test"}, .port = address_port(&e.address)};

    http_init();
    silent[1] = listen_at("127.0.0.2", parent.port, 8);
    parent.address = (char[]){"two.test:3128"};
    f->plan = (struct connect_plan){.family = AF_INET,
                                    .timeout_ms = 2000,
                                    .memory = &f->memory,
                                    .parent = &parent,
                                    .tunnel = true,
                                    .host = "a.test",
                                    .port = 443};
    f->done = false;
    connector_start(f->base, f->resolver, &f->plan, on_done, f);
    for (int i = 0; i < 2; i++)
        fds[i] = accept_while_it_runs(f, silent[i]);
    io_run_until(f->base, &f->done, 20000);
    ck_assert_int_eq(f->result.error, CONNECT_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(f->result.text, "asked CONNECT of the parent proxy 127.0.0.3:"));
    for (int i = 0; i < 2; i++) {
        e = entry_of(silent[i]);
        ck_assert(address_failed_lately(&f->memory, &e.address));
        close(fds[i]);
        close(silent[i]);
    }
    tear_down(f);
}
END_TEST

void io_race_tests(Suite *suite)
{
    unit_group(suite, "address order", order_prefers_a_family, order_remembers_failures);
    unit_group(suite, "race", race_is_won, race_waits_for_no_family, race_takes_late_answers,
               race_ends_in_time, race_rotates);
    unit_group(suite, "race of handshakes", race_goes_on_while_tls_stalls, race_waits_for_those_under_way,
               race_ends_while_handshakes_stall);
}
