/* lib/io/connector: from a plan to a connection, with listeners of the test's own */

#include "io_connector_rig.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/config.h"

START_TEST(connector_connects)
{
    struct fixture *f = set_up();
    struct address a;
    int fd = io_listen(&a, 8), value = 0;
    socklen_t size = sizeof value;
    struct connect_result *r;

    f->plan.keepalive_ms = 1500;
    f->plan.host = "127.0.0.1";
    f->plan.port = address_port(&a);
    connector_start(f->base, f->resolver, &f->plan, on_done, f);
    io_run_until(f->base, &f->done, 1000);
    r = &f->result;
    ck_assert_int_eq(r->error, CONNECT_OK);
    ck_assert(address_equal(&r->peer, &a));
    ck_assert_int_lt((int)(r->took_us / 1000), 1000);
    ck_assert(!f->named);
    ck_assert_int_eq(getsockopt(r->conn.fd, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
    ck_assert_int_ne(value, 0);
    ck_assert_int_eq(getsockopt(r->conn.fd, SOL_SOCKET, SO_KEEPALIVE, &value, &size), 0);
    ck_assert_int_ne(value, 0);
    ck_assert_int_eq(getsockopt(r->conn.fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &size), 0);
    ck_assert_int_eq(value, 2);
    ck_assert_int_ne(fcntl(r->conn.fd, F_GETFL) & O_NONBLOCK, 0);
    conn_close(&r->conn, false);
    ck_assert_int_eq(run_to(f, "one.test", address_port(&a))->error, CONNECT_OK);
    ck_assert_int_eq(run_to(f, "localhost", address_port(&a))->error, CONNECT_OK);
    close(fd);
    tear_down(f);
}
END_TEST

START_TEST(connector_says_what_failed)
{
    struct fixture *f = set_up();
    uint16_t dead = address_port(&(struct address){0});
    struct address a = io_dead_address();
    struct connect_result *r;
    char wanted[128];

    dead = address_port(&a);
    r = run_to(f, "127.0.0.1", dead);
    ck_assert_int_eq(r->error, CONNECT_REFUSED);
    snprintf(wanted, sizeof wanted, "cannot connect to 127.0.0.1:%u: connection refused", dead);
    ck_assert_str_eq(r->text, wanted);
    r = run_to(f, "two.test", dead);
    ck_assert_int_eq(r->error, CONNECT_REFUSED);
    ck_assert_ptr_nonnull(strstr(r->text, "(and 1 more address failed)"));
    r = run_to(f, "missing.test", dead);
    ck_assert_int_eq(r->error, CONNECT_DNS_ERROR);
    ck_assert_ptr_nonnull(strstr(r->text, "cannot resolve missing.test: no such name"));
    r = run_to(f, "silent.test", dead);
    ck_assert_int_eq(r->error, CONNECT_DNS_TIMEOUT);
    r = run_to(f, "empty.test", dead);
    ck_assert_str_eq(r->text, "cannot resolve empty.test: the name has no address");
    r = run_to(f, "255.255.255.255", 80);
    ck_assert_int_eq(r->error, CONNECT_UNROUTABLE);
    tear_down(f);
}
END_TEST

START_TEST(connector_asks_for_permission)
{
    struct fixture *f = set_up();
    struct address a;
    int fd = io_listen(&a, 8);
    uint16_t port = address_port(&a);

    ck_assert_int_eq(run_to(f, "127.0.0.66", port)->error, CONNECT_PROHIBITED);
    ck_assert_ptr_nonnull(strstr(f->result.text, "access.denyAddresses"));
    ck_assert_int_eq(run_to(f, "denied.test", port)->error, CONNECT_PROHIBITED);
    ck_assert_int_eq(run_to(f, "loop.test", port)->error, CONNECT_LOOP);
    /* Beside one that refuses, whichever comes first, it is what is told. */
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(run_to(f, "dead.test", port)->error, CONNECT_LOOP);
        ck_assert_int_eq(run_to(f, "bad.test", port)->error, CONNECT_PROHIBITED);
    }
    ck_assert_int_eq(run_to(f, "mixed.test", port)->error, CONNECT_OK);
    ck_assert_str_eq(peer(&f->result), "127.0.0.1");
    close(fd);
    tear_down(f);
}
END_TEST

START_TEST(connector_filters_families)
{
    struct fixture *f = set_up();
    struct address a, local;
    int fd = io_listen(&a, 8), accepted;
    uint16_t port = address_port(&a);

    f->plan.family = AF_INET6;
    ck_assert_int_eq(run_to(f, "127.0.0.1", port)->error, CONNECT_UNROUTABLE);
    ck_assert_int_eq(run_to(f, "one.test", port)->error, CONNECT_DNS_ERROR);
    ck_assert_ptr_nonnull(strstr(f->result.text, "no IPv6 address, and `family: 6` asks for one"));
    f->plan.family = AF_INET;
    ck_assert_int_eq(run_to(f, "::1", port)->error, CONNECT_UNROUTABLE);
    ck_assert_int_eq(run_to(f, "one.test", port)->error, CONNECT_OK);
    close(accept(fd, NULL, NULL));
    f->plan.family = AF_UNSPEC;
    ck_assert(address_from_ip(&local, SLICE("127.0.0.9"), 0));
    f->plan.local = &local;
    ck_assert_int_eq(run_to(f, "one.test", port)->error, CONNECT_OK);
    local.length = sizeof local.sa;
    accepted = accept(fd, &local.sa.any, &local.length);
    ck_assert_int_ge(accepted, 0);
    ck_assert_int_eq((int)ntohl(local.sa.v4.sin_addr.s_addr), 0x7f000009);
    close(accepted);
    address_set_port(&local, 0);
    ck_assert_int_eq(run_to(f, "v6.test", port)->error, CONNECT_UNROUTABLE);
    ck_assert(address_from_ip(&local, SLICE("192.0.2.1"), 0));
    ck_assert_int_eq(run_to(f, "127.0.0.1", port)->error, CONNECT_UNROUTABLE);
    ck_assert_ptr_nonnull(strstr(f->result.text, "localAddress"));
    close(fd);
    tear_down(f);
}
END_TEST

START_TEST(connector_goes_to_a_path)
{
    struct fixture *f = set_up();
    struct address_entry entry = {0};
    struct address_list list = {&entry, 1};
    struct sockaddr_un *un = &entry.address.sa.unix_;
    char text[160];
    int fd, fds[2];

    snprintf(text, sizeof text, "unix:%s", io_path("c.sock"));
    ck_assert(address_parse(&entry.address, slice_of(text)));
    f->plan.entries = &list;
    ck_assert_int_eq(run_to(f, "ignored.test", 1)->error, CONNECT_REFUSED);
    ck_assert_ptr_nonnull(strstr(f->result.text, "c.sock: no such file"));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, &entry.address.sa.any, entry.address.length), 0);
    ck_assert_int_eq(run(f)->error, CONNECT_REFUSED);
    ck_assert_int_eq(listen(fd, 0), 0);
    ck_assert_int_eq(run(f)->error, CONNECT_OK);
    ck_assert(f->named);
    close(accept(fd, NULL, NULL));
    /* With its queue full it is tried again until there is room. */
    for (int i = 0; i < 1; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fds[i], (struct sockaddr *)un, entry.address.length), 0);
    }
    f->done = false;
    connector_start(f->base, f->resolver, &f->plan, on_done, f);
    io_run_for(f->base, 60);
    ck_assert(!f->done);
    close(accept(fd, NULL, NULL));
    io_run_until(f->base, &f->done, 1000);
    ck_assert_int_eq(f->result.error, CONNECT_OK);
    conn_close(&f->result.conn, false);
    close(fds[0]);
    close(fd);
    tear_down(f);
}
END_TEST

/* A reload may change the limit of what is under way, also when that has just ended. */
START_TEST(connector_takes_another_limit)
{
    struct fixture *f = set_up();
    int fds[4], hole = listen_at("127.0.0.3", 0, 0);
    struct address a = {.length = sizeof a.sa};
    struct connector *c;

    getsockname(hole, &a.sa.any, &a.length);
    fill_queue(hole, fds);
    f->plan.timeout_ms = 0;
    f->plan.host = "127.0.0.3";
    f->plan.port = address_port(&a);
    c = connector_start(f->base, f->resolver, &f->plan, on_done, f);
    connector_set_timeout(c, 3600 * 1000);
    connector_set_timeout(c, 30);
    io_run_until(f->base, &f->done, 5000);
    ck_assert_int_eq(f->result.error, CONNECT_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(f->result.text, "no answer within 30ms"));
    f->done = false;
    f->plan.host = "127.0.0.67"; /* not allowed, so that it ends at once */
    c = connector_start(f->base, f->resolver, &f->plan, on_done, f);
    connector_set_timeout(c, 30);
    io_run_until(f->base, &f->done, 5000);
    ck_assert_int_eq(f->result.error, CONNECT_LOOP);
    usleep(40000);
    event_base_loop(f->base, EVLOOP_NONBLOCK); /* no timer of one that is gone */
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    close(hole);
    tear_down(f);
}
END_TEST

START_TEST(connector_is_cancelled)
{
    struct fixture *f = set_up();
    int fds[4], hole = listen_at("127.0.0.3", 0, 0), before, after;
    struct address a = {.length = sizeof a.sa};
    struct connector *c;

    getsockname(hole, &a.sa.any, &a.length);
    fill_queue(hole, fds);
    /* While it resolves, while it connects, and with its end already decided. */
    f->plan.host = "silent.test";
    c = connector_start(f->base, f->resolver, &f->plan, on_done, f);
    io_run_for(f->base, 20);
    connector_cancel(c);
    io_run_for(f->base, 1500);
    before = dup(0); /* c-ares may keep a socket */
    close(before);
    f->plan.host = "127.0.0.3";
    f->plan.port = address_port(&a);
    c = connector_start(f->base, f->resolver, &f->plan, on_done, f);
    io_run_for(f->base, 20);
    connector_cancel(c);
    f->plan.host = "127.0.0.66";
    connector_cancel(connector_start(f->base, f->resolver, &f->plan, on_done, f));
    io_run_for(f->base, 20);
    ck_assert_int_eq(f->calls, 0);
    after = dup(0);
    close(after);
    ck_assert_int_eq(after, before);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    close(hole);
    tear_down(f);
}
END_TEST

START_TEST(connector_runs_short_of_descriptors)
{
    struct fixture *f = set_up();
    struct rlimit limit, low;
    int next;

    ck_assert_int_eq(run_to(f, "two.test", 1)->error, CONNECT_REFUSED);
    next = dup(0);
    close(next);
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit;
    low.rlim_cur = (rlim_t)next;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    ck_assert_int_eq(run_to(f, "two.test", 1)->error, CONNECT_NO_RESOURCES);
    ck_assert_ptr_nonnull(strstr(f->result.text, "LimitNOFILE"));
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    tear_down(f);
}
END_TEST

void io_connector_tests(Suite *suite)
{
    unit_group(suite, "connector", connector_connects, connector_says_what_failed,
               connector_asks_for_permission, connector_filters_families, connector_goes_to_a_path,
               connector_takes_another_limit, connector_is_cancelled, connector_runs_short_of_descriptors);
}
