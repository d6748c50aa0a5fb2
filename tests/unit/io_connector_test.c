/* lib/io/connector and address_order, with listeners of the test's own */

#include "io_test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"
#include "io/address_order.h"
#include "io/connector.h"
#include "io_dns.h"

static const struct dns_name names[] = {
    {.name = "one.test", .a = {"127.0.0.1"}, .ttl = 60},
    {.name = "two.test", .a = {"127.0.0.3", "127.0.0.2"}, .ttl = 60},
    {.name = "v6.test", .aaaa = {"::1"}, .ttl = 60},
    {.name = "denied.test", .a = {"127.0.0.66"}, .ttl = 60},
    {.name = "mixed.test", .a = {"127.0.0.66", "127.0.0.1"}, .ttl = 60},
    {.name = "loop.test", .a = {"127.0.0.67"}, .ttl = 60},
    {.name = "silent.test", .silent = true},
    {0},
};

struct fixture {
    struct event_base *base;
    struct dns dns;
    struct resolver *resolver;
    struct connect_memory memory;
    struct connect_plan plan;
    struct connect_result result;
    int calls;
    bool done;
    const char *asked; /* permit: the last address it was asked about */
    bool named;
};

static void on_done(void *ctx, struct connect_result *r)
{
    struct fixture *f = ctx;

    f->result = *r;
    f->calls++;
    f->done = true;
}

static enum connect_error permit(void *ctx, const struct address *a, bool named)
{
    struct fixture *f = ctx;
    char text[ADDRESS_TEXT_SIZE];

    f->named = named;
    address_format_host(a, text);
    if (strcmp(text, "127.0.0.66") == 0)
        return named ? CONNECT_OK : CONNECT_PROHIBITED;
    return strcmp(text, "127.0.0.67") == 0 ? CONNECT_LOOP : CONNECT_OK;
}

static struct fixture *set_up(void)
{
    struct fixture *f = calloc(1, sizeof *f);

    signal(SIGPIPE, SIG_IGN);
    f->base = io_loop();
    dns_start(&f->dns, f->base, names);
    f->resolver = dns_resolver(&f->dns, f->base);
    f->plan = (struct connect_plan){
        .family = AF_UNSPEC, .timeout_ms = 2000, .memory = &f->memory, .permit = permit, .permit_ctx = f};
    return f;
}

static void tear_down(struct fixture *f)
{
    resolver_free(f->resolver);
    dns_stop(&f->dns);
    event_base_free(f->base);
    free(f);
}

/* One connect by the fixture's plan; closes what it opens. */
static struct connect_result *run(struct fixture *f)
{
    f->done = false;
    f->calls = 0;
    ck_assert_ptr_nonnull(connector_start(f->base, f->resolver, &f->plan, on_done, f));
    ck_assert_msg(!f->done, "the callback came from within the call");
    io_run_until(f->base, &f->done, 5000);
    ck_assert_int_eq(f->calls, 1);
    if (f->result.error == CONNECT_OK)
        ck_assert_str_eq(f->result.text, "");
    else
        ck_assert_str_ne(f->result.text, "");
    ck_assert_int_eq(f->result.error == CONNECT_OK, conn_is_open(&f->result.conn));
    conn_close(&f->result.conn, false);
    return &f->result;
}

static struct connect_result *run_to(struct fixture *f, const char *host, uint16_t port)
{
    f->plan.host = host;
    f->plan.port = port;
    return run(f);
}

/* Listens on another loopback address at a port that is free there. */
static int listen_at(const char *ip, uint16_t port, int backlog)
{
    struct address a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert(address_from_ip(&a, slice_of(ip), port));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    ck_assert_int_eq(bind(fd, &a.sa.any, a.length), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    return fd;
}

/* Makes it drop every further SYN, as an address does that nobody routes. */
static void fill_queue(int listening, int fds[4])
{
    struct address a = {.length = sizeof a.sa};

    getsockname(listening, &a.sa.any, &a.length);
    for (int i = 0; i < 4; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fds[i], &a.sa.any, a.length);
        usleep(2000);
    }
}

static const char *peer(const struct connect_result *r)
{
    static char text[ADDRESS_TEXT_SIZE];

    return address_format_host(&r->peer, text);
}

/* ---- order */

START_TEST(order_takes_turns)
{
    static const char *const texts[] = {"fd00::1", "fd00::2", "10.0.0.1", "10.0.0.2", "10.0.0.3"};
    static const char *const wanted[3][5] = {
        {"fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2", "10.0.0.3"},
        {"fd00::2", "10.0.0.2", "fd00::1", "10.0.0.3", "10.0.0.1"},
        {"fd00::1", "10.0.0.3", "fd00::2", "10.0.0.1", "10.0.0.2"},
    };
    struct resolver_answer answer = {.count = 5};
    struct address out[RESOLVER_MAX_ADDRESSES];
    char text[ADDRESS_TEXT_SIZE];

    for (int i = 0; i < 5; i++)
        ck_assert(address_from_ip(&answer.addresses[i], slice_of(texts[i]), 0));
    for (uint32_t turn = 0; turn < 3; turn++) {
        ck_assert_int_eq(address_order(&answer, turn, out), 5);
        for (int i = 0; i < 5; i++)
            ck_assert_str_eq(address_format_host(&out[i], text), wanted[turn][i]);
    }
    ck_assert_int_eq(address_order(&answer, UINT32_MAX, out), 5);
    answer.count = 0;
    ck_assert_int_eq(address_order(&answer, 7, out), 0);
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

/* ---- plain connects */

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
    ck_assert_int_lt((int)r->took_ms, 1000);
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

/* ---- races */

START_TEST(connector_races)
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
    ck_assert_int_ge((int)r->took_ms, 240);
    ck_assert_int_le((int)r->took_ms, 1500);
    /* What was beaten comes last from then on. */
    for (int i = 0; i < 3; i++) {
        r = run_to(f, "two.test", port);
        ck_assert_str_eq(peer(r), "127.0.0.2");
        ck_assert_int_lt((int)r->took_ms, 250); /* as long as the next one waits */
    }
    /* One that refuses is passed at once. */
    close(hole);
    f->memory = (struct connect_memory){0};
    r = run_to(f, "two.test", port);
    ck_assert_str_eq(peer(r), "127.0.0.2");
    ck_assert_int_lt((int)r->took_ms, 250); /* as long as the next one waits */
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    close(good);
    tear_down(f);
}
END_TEST

START_TEST(connector_gives_up_in_time)
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
    ck_assert_ptr_nonnull(strstr(r->text, "no answer within 120 ms"));
    ck_assert_int_ge((int)r->took_ms, 120);
    ck_assert_int_le((int)r->took_ms, 2000);
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
    ck_assert_ptr_nonnull(strstr(f->result.text, "no answer within 30 ms"));
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

START_TEST(connector_rotates)
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
        ck_assert_int_le((int)f->result.took_ms, 1000);
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

START_TEST(connector_is_cancelled)
{
    struct fixture *f = set_up();
    int fds[4], hole = listen_at("127.0.0.3", 0, 0), before, after;
    struct address a = {.length = sizeof a.sa};
    struct connector *c;

    getsockname(hole, &a.sa.any, &a.length);
    fill_queue(hole, fds);
    before = dup(0);
    close(before);
    /* While it resolves, while it connects, and with its end already decided. */
    f->plan.host = "silent.test";
    c = connector_start(f->base, f->resolver, &f->plan, on_done, f);
    io_run_for(f->base, 20);
    connector_cancel(c);
    io_run_for(f->base, 1500);
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
    unit_group(suite, "address order", order_takes_turns, order_remembers_failures);
    unit_group(suite, "connector", connector_connects, connector_says_what_failed,
               connector_asks_for_permission, connector_filters_families, connector_goes_to_a_path,
               connector_races, connector_gives_up_in_time, connector_takes_another_limit, connector_rotates,
               connector_is_cancelled, connector_runs_short_of_descriptors);
}
