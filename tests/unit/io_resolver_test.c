/* lib/io/resolver, with a DNS server of the test's own */

#include "io_test.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io_asked.h"

static const struct dns_name names[] = {
    {.name = "one.test", .a = {"10.0.0.1"}, .ttl = 60},
    {.name = "both.test", .a = {"10.0.0.1", "10.0.0.2"}, .aaaa = {"fd00::1"}, .ttl = 60},
    {.name = "short.test", .a = {"10.0.0.1"}, .ttl = 1},
    {.name = "never.test", .a = {"10.0.0.1"}, .ttl = 0},
    {.name = "alias.test", .a = {"10.0.0.3"}, .ttl = 60, .cname = "real.test", .cname_ttl = 1},
    {.name = "broken.test", .rcode = 2},
    {.name = "silent.test", .silent_a = true, .silent_aaaa = true},
    {.name = "empty.test"},
    {0},
};

START_TEST(resolver_finds_addresses)
{
    struct event_base *base = io_loop();
    struct dns d;
    dns_start(&d, base, names);
    struct resolver *r = dns_resolver(&d, base);
    struct asked a = ask(base, r, "one.test", AF_INET);

    ck_assert_int_eq(a.answer.status, RESOLVER_OK);
    ck_assert_int_eq(a.answer.count, 1);
    ck_assert_str_eq(nth(&a, 0), "10.0.0.1");
    a = ask(base, r, "both.test", AF_INET);
    ck_assert_int_eq(a.answer.count, 2);
    a = ask(base, r, "both.test", AF_INET6);
    ck_assert_int_eq(a.answer.count, 1);
    ck_assert_str_eq(nth(&a, 0), "fd00::1");
    /* Letters of any case are one name. */
    d.queries = 0;
    a = ask(base, r, "BOTH.test", AF_INET6);
    ck_assert_int_eq(a.answer.count, 1);
    ck_assert_int_eq(d.queries, 0);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

/* Takes every descriptor that is left; the last one. */
static int take_descriptors(void)
{
    int last = -1, fd;

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64}), 0);
    while ((fd = dup(0)) >= 0)
        last = fd;
    ck_assert_int_eq(errno, EMFILE);
    return last;
}

static bool close_one(void *ctx)
{
    int *fd = ctx;

    if (*fd < 0)
        return false;
    close(*fd);
    *fd = -1;
    return true;
}

/* The hosts file and the servers are asked by a descriptor that another gives up; where none can be had, that
 * is what is said, and not that there is no such name. */
START_TEST(resolver_wants_a_descriptor)
{
    struct event_base *base = io_loop();
    struct dns d;
    dns_start(&d, base, names);
    struct resolver *r = dns_resolver(&d, base);
    int last = take_descriptors();

    ck_assert_int_eq(ask(base, r, "one.test", AF_INET).answer.status, RESOLVER_NO_RESOURCES);
    ck_assert_int_eq(d.queries, 0);
    resolver_set_relief(r, close_one, &last);
    ck_assert_int_eq(ask(base, r, "one.test", AF_INET).answer.status, RESOLVER_OK);
    ck_assert_int_eq(last, -1);
    last = dup(0);
    ck_assert_int_ge(last, 0);
    ck_assert_int_eq(ask(base, r, "localhost", AF_INET).answer.status, RESOLVER_OK);
    /* What is known needs none. */
    last = dup(0);
    ck_assert_int_eq(ask(base, r, "one.test", AF_INET).answer.status, RESOLVER_OK);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

START_TEST(resolver_says_what_failed)
{
    struct event_base *base = io_loop();
    struct dns d;
    dns_start(&d, base, names);
    struct resolver *r = dns_resolver(&d, base);
    struct asked a = ask(base, r, "missing.test", AF_INET);
    char label[80], long_name[300];

    ck_assert_int_eq(a.answer.status, RESOLVER_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(a.answer.text, "Carpool asks DNS and /etc/hosts only"));
    ck_assert_int_eq(ask(base, r, "empty.test", AF_INET).answer.status, RESOLVER_NO_ADDRESS);
    ck_assert_int_eq(ask(base, r, "one.test", AF_INET6).answer.status, RESOLVER_NO_ADDRESS);
    ck_assert_int_eq(ask(base, r, "broken.test", AF_INET).answer.status, RESOLVER_FAILED);
    ck_assert_int_eq(ask(base, r, "silent.test", AF_INET).answer.status, RESOLVER_TIMEOUT);
    /* Nonsense is not even asked. */
    d.queries = 0;
    memset(label, 'a', 70);
    label[70] = '\0';
    memset(long_name, 'a', 299);
    long_name[299] = '\0';
    ck_assert_int_eq(ask(base, r, label, AF_INET).answer.status, RESOLVER_NOT_FOUND);
    ck_assert_int_eq(ask(base, r, long_name, AF_INET).answer.status, RESOLVER_NOT_FOUND);
    ck_assert_int_eq(ask(base, r, "", AF_INET).answer.status, RESOLVER_NOT_FOUND);
    ck_assert_int_eq(ask(base, r, "a..b", AF_INET).answer.status, RESOLVER_NOT_FOUND);
    ck_assert_int_eq(d.queries, 0);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

START_TEST(resolver_keeps_answers_for_their_ttl)
{
    struct event_base *base = io_loop();
    struct dns d;
    dns_start(&d, base, names);
    struct resolver *r = dns_resolver(&d, base);

    ask(base, r, "one.test", AF_INET);
    ask(base, r, "short.test", AF_INET);
    ask(base, r, "never.test", AF_INET);
    ask(base, r, "alias.test", AF_INET);
    ask(base, r, "missing.test", AF_INET);
    ck_assert_int_eq(d.queries, 5);
    ask(base, r, "one.test", AF_INET);
    ask(base, r, "short.test", AF_INET);
    ask(base, r, "alias.test", AF_INET);
    ask(base, r, "missing.test", AF_INET);
    ck_assert_int_eq(d.queries, 5);
    ask(base, r, "never.test", AF_INET);
    ck_assert_int_eq(d.queries, 6);
    io_run_for(base, 1050);
    ask(base, r, "one.test", AF_INET);
    ck_assert_int_eq(d.queries, 6);
    ask(base, r, "short.test", AF_INET);
    /* The alias on the way to the address may not be kept longer than it says, either. */
    ask(base, r, "alias.test", AF_INET);
    ask(base, r, "missing.test", AF_INET);
    ck_assert_int_eq(d.queries, 9);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

START_TEST(resolver_asks_once_for_many)
{
    struct event_base *base = io_loop();
    struct dns d;
    dns_start(&d, base, names);
    struct resolver *r = dns_resolver(&d, base);
    struct asked a[5] = {0};
    struct resolver_query *q[5];

    for (int i = 0; i < 5; i++)
        ck_assert_ptr_nonnull(q[i] = resolver_ask(r, "never.test", AF_INET, on_answer, &a[i]));
    resolver_cancel(q[0]);
    a[1].cancel = &q[3];
    io_run_until(base, &a[4].done, 1000);
    ck_assert_int_eq(d.queries, 1);
    ck_assert_int_eq(a[0].calls, 0);
    ck_assert_int_eq(a[1].calls, 1);
    ck_assert_int_eq(a[2].calls, 1);
    ck_assert_int_eq(a[3].calls, 0);
    ck_assert_int_eq(a[4].calls, 1);
    /* One that all have left goes on for the cache. */
    resolver_cancel(resolver_ask(r, "one.test", AF_INET, on_answer, &a[0]));
    io_run_for(base, 50);
    ck_assert_ptr_null(resolver_ask(r, "one.test", AF_INET, on_answer, &a[0]));
    ck_assert_int_eq(a[0].calls, 1);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

struct chain {
    struct resolver *resolver;
    struct asked next;
};

static void ask_next(void *ctx, const struct resolver_answer *a)
{
    struct chain *c = ctx;

    ck_assert_int_eq(a->status, RESOLVER_OK);
    resolver_ask(c->resolver, "never.test", AF_INET, on_answer, &c->next);
}

START_TEST(resolver_may_be_asked_from_an_answer)
{
    struct event_base *base = io_loop();
    struct dns d;
    dns_start(&d, base, names);
    struct resolver *r = dns_resolver(&d, base);
    struct chain c = {.resolver = r};

    ck_assert_ptr_nonnull(resolver_ask(r, "never.test", AF_INET, ask_next, &c));
    io_run_until(base, &c.next.done, 1000);
    ck_assert_int_eq(d.queries, 2);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

START_TEST(resolver_knows_localhost)
{
    struct event_base *base = io_loop();
    struct dns d;
    dns_start(&d, base, names);
    struct resolver *r = dns_resolver(&d, base);
    struct asked a = ask(base, r, "localhost", AF_INET);

    ck_assert_str_eq(nth(&a, 0), "127.0.0.1");
    a = ask(base, r, "a.b.LocalHost.", AF_INET);
    ck_assert_int_eq(a.answer.count, 1);
    a = ask(base, r, "x.localhost", AF_INET6);
    ck_assert_str_eq(nth(&a, 0), "::1");
    ck_assert_int_eq(ask(base, r, "localhost.", AF_INET).answer.status, RESOLVER_OK);
    ck_assert_int_eq(d.queries, 0);
    ck_assert_int_eq(ask(base, r, "notlocalhost.test", AF_INET).answer.status, RESOLVER_NOT_FOUND);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

START_TEST(resolver_forgets_the_oldest)
{
    struct event_base *base = io_loop();
    struct dns d;
    static struct dns_name many[1101];
    static char text[1100][24];
    dns_start(&d, base, many);
    struct resolver *r = dns_resolver(&d, base);

    for (int i = 0; i < 1100; i++) {
        snprintf(text[i], sizeof text[i], "n%d.test", i);
        many[i] = (struct dns_name){.name = text[i], .a = {"10.0.0.1"}, .ttl = 600};
    }
    for (int i = 0; i < 1100; i++)
        ask(base, r, text[i], AF_INET);
    ck_assert_int_eq(d.queries, 1100);
    ask(base, r, text[1099], AF_INET);
    ask(base, r, text[200], AF_INET);
    ck_assert_int_eq(d.queries, 1100);
    ask(base, r, text[0], AF_INET);
    ck_assert_int_eq(d.queries, 1101);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

START_TEST(resolver_changes_servers_under_way)
{
    struct event_base *base = io_loop();
    struct dns d;
    dns_start(&d, base, names);
    struct resolver *r = dns_resolver(&d, base);
    struct asked a = {0}, b = {0};

    /* The old servers still owe an answer, and give it. */
    resolver_ask(r, "one.test", AF_INET, on_answer, &a);
    resolver_ask(r, "silent.test", AF_INET, on_answer, &b);
    ck_assert(resolver_set_servers(r, d.servers, 100, 1));
    io_run_until(base, &a.done, 1000);
    ck_assert_int_eq(a.answer.status, RESOLVER_OK);
    ck_assert_int_eq(ask(base, r, "both.test", AF_INET).answer.status, RESOLVER_OK);
    io_run_until(base, &b.done, 1000);
    ck_assert_int_eq(b.answer.status, RESOLVER_TIMEOUT);
    /* Freed while a query is out that nobody waits for. */
    resolver_cancel(resolver_ask(r, "silent.test", AF_INET6, on_answer, &a));
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

static const struct dns_name elsewhere[] = {
    {.name = "one.test", .a = {"10.9.9.1"}, .ttl = 60},
    {.name = "both.test", .a = {"10.9.9.2"}, .ttl = 60},
    {0},
};

/* What they say late is for those who wait for it alone. */
START_TEST(resolver_keeps_nothing_of_servers_that_changed)
{
    struct event_base *base = io_loop();
    struct dns d, other;
    dns_start(&d, base, names);
    dns_start(&other, base, elsewhere);
    struct resolver *r = dns_resolver(&d, base);
    struct asked a = {0}, b = {0};

    resolver_ask(r, "one.test", AF_INET, on_answer, &a);
    resolver_ask(r, "both.test", AF_INET, on_answer, &b);
    ck_assert(resolver_set_servers(r, other.servers, 300, 2));
    struct asked now = ask(base, r, "one.test", AF_INET);
    ck_assert_str_eq(nth(&now, 0), "10.9.9.1");
    io_run_until(base, &a.done, 1000);
    io_run_until(base, &b.done, 1000);
    ck_assert_str_eq(nth(&a, 0), "10.0.0.1");
    ck_assert_str_eq(nth(&b, 0), "10.0.0.1");
    now = ask(base, r, "one.test", AF_INET);
    ck_assert_str_eq(nth(&now, 0), "10.9.9.1");
    now = ask(base, r, "both.test", AF_INET);
    ck_assert_str_eq(nth(&now, 0), "10.9.9.2");
    resolver_free(r);
    dns_stop(&d);
    dns_stop(&other);
    event_base_free(base);
}
END_TEST

void io_resolver_tests(Suite *suite)
{
    unit_group(suite, "resolver", resolver_finds_addresses, resolver_wants_a_descriptor,
               resolver_says_what_failed, resolver_keeps_answers_for_their_ttl, resolver_asks_once_for_many,
               resolver_may_be_asked_from_an_answer, resolver_knows_localhost, resolver_forgets_the_oldest,
               resolver_changes_servers_under_way, resolver_keeps_nothing_of_servers_that_changed);
}
