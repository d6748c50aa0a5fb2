/* lib/io/resolver: families, search lists and expired answers */

#include "io_asked.h"

/* Each family's answer comes when it comes. */
START_TEST(resolver_asks_families_apart)
{
    struct event_base *base = io_loop();
    struct dns d;
    struct dns_name own[] = {
        {.name = "both.test", .a = {"10.0.0.1"}, .aaaa = {"fd00::1"}, .ttl = 60, .silent_aaaa = true}, {0}};
    dns_start(&d, base, own);
    struct resolver *r = dns_resolver(&d, base);
    struct asked v6 = {0};

    ck_assert_ptr_nonnull(resolver_ask(r, "both.test", AF_INET6, on_answer, &v6));
    ck_assert_int_eq(ask(base, r, "both.test", AF_INET).answer.count, 1);
    ck_assert(!v6.done);
    own[0].silent_aaaa = false;
    io_run_until(base, &v6.done, 2000);
    ck_assert_str_eq(nth(&v6, 0), "fd00::1");
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

/* What one family lacks, or failed to say, is not asked for again with each connect. */
START_TEST(resolver_remembers_what_a_family_lacks)
{
    struct event_base *base = io_loop();
    struct dns d;
    struct dns_name own[] = {{.name = "v4.test", .a = {"10.0.0.1"}, .ttl = 60},
                             {.name = "half.test", .a = {"10.0.0.1"}, .ttl = 60, .rcode_aaaa = 2},
                             {.name = "short.test", .a = {"10.0.0.1"}, .ttl = 1},
                             {.name = "none.test"},
                             {0}};
    dns_start(&d, base, own);
    struct resolver *r = dns_resolver(&d, base);

    for (int i = 0; own[i].name; i++) {
        ck_assert_int_ne(ask(base, r, own[i].name, AF_INET6).answer.status, RESOLVER_OK);
        ask(base, r, own[i].name, AF_INET);
    }
    io_run_for(base, 1050); /* as long as a failure is kept by itself */
    d.queries = 0;
    ck_assert_int_eq(ask(base, r, "v4.test", AF_INET6).answer.status, RESOLVER_NO_ADDRESS);
    ck_assert_int_eq(ask(base, r, "half.test", AF_INET6).answer.status, RESOLVER_FAILED);
    ck_assert_int_eq(d.queries, 0);
    ask(base, r, "short.test", AF_INET6);
    ask(base, r, "none.test", AF_INET6);
    ck_assert_int_eq(d.queries, 2);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

/* Both families are about one host, also where the search list makes several names of one. */
START_TEST(resolver_walks_the_search_list)
{
    struct event_base *base = io_loop();
    struct dns d;
    struct dns_name own[] = {{.name = "db.one.test", .a = {"10.0.0.1"}, .ttl = 60},
                             {.name = "db.two.test", .a = {"10.0.0.2"}, .aaaa = {"fd00::2"}, .ttl = 60},
                             {.name = "v6.two.test", .aaaa = {"fd00::6"}, .ttl = 60},
                             {.name = "dropped.one.test", .rcode = 3, .silent_aaaa = true},
                             {.name = "dropped.two.test", .a = {"10.0.0.3"}, .ttl = 60},
                             {.name = "broken.one.test", .rcode = 2},
                             {.name = "broken.two.test", .a = {"10.0.0.4"}, .ttl = 60},
                             {.name = "x.y", .a = {"10.0.0.5"}, .ttl = 60},
                             {.name = "x.z.two.test", .a = {"10.0.0.6"}, .ttl = 60},
                             {0}};
    setenv("LOCALDOMAIN", "one.test two.test", 1);
    dns_start(&d, base, own);
    struct resolver *r = dns_resolver_patient(&d, base, 60000);
    struct asked v6 = {0}, a;

    resolver_ask(r, "db", AF_INET6, on_answer, &v6);
    a = ask(base, r, "db", AF_INET);
    ck_assert_str_eq(nth(&a, 0), "10.0.0.1");
    io_run_until(base, &v6.done, 1000);
    ck_assert_int_eq(v6.answer.status, RESOLVER_NO_ADDRESS);
    ck_assert_int_eq(ask(base, r, "v6", AF_INET).answer.status, RESOLVER_NO_ADDRESS);
    a = ask(base, r, "v6", AF_INET6);
    ck_assert_str_eq(nth(&a, 0), "fd00::6");
    /* Where there is no name, the other family is not waited for. */
    resolver_cancel(resolver_ask(r, "dropped", AF_INET6, on_answer, &v6));
    a = ask(base, r, "dropped", AF_INET);
    ck_assert_str_eq(nth(&a, 0), "10.0.0.3");
    /* Where it cannot be told whether there is one, none of another host will do. */
    ck_assert_int_eq(ask(base, r, "broken", AF_INET).answer.status, RESOLVER_FAILED);
    a = ask(base, r, "x.y", AF_INET);
    ck_assert_str_eq(nth(&a, 0), "10.0.0.5");
    a = ask(base, r, "x.z", AF_INET);
    ck_assert_str_eq(nth(&a, 0), "10.0.0.6");
    ck_assert_int_eq(ask(base, r, "db.", AF_INET).answer.status, RESOLVER_NOT_FOUND);
    ck_assert_int_eq(ask(base, r, "nowhere", AF_INET).answer.status, RESOLVER_NOT_FOUND);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

/* dns.staleIfError: servers that fail are no news, servers that say there is none are. */
START_TEST(resolver_uses_expired_answers)
{
    struct event_base *base = io_loop();
    struct dns d;
    struct dns_name own[] = {{.name = "a.test", .a = {"10.0.0.1"}, .ttl = 0}, {0}};
    dns_start(&d, base, own);
    struct resolver *r = dns_resolver(&d, base);

    resolver_set_stale_if_error(r, 60000);
    ck_assert_int_eq(ask(base, r, "a.test", AF_INET).answer.status, RESOLVER_OK);
    own[0].rcode = 2;
    struct asked a = ask(base, r, "a.test", AF_INET);
    ck_assert_int_eq(a.answer.status, RESOLVER_OK);
    ck_assert_str_eq(nth(&a, 0), "10.0.0.1");
    /* It is told at once now, and asked for behind that. */
    d.queries = 0;
    io_run_for(base, 1050);
    a = (struct asked){0};
    ck_assert_ptr_null(resolver_ask(r, "a.test", AF_INET, on_answer, &a));
    ck_assert_int_eq(a.answer.status, RESOLVER_OK);
    io_run_for(base, 50);
    ck_assert_int_ge(d.queries, 1);
    own[0] = (struct dns_name){.name = "a.test", .a = {"10.0.0.2"}, .ttl = 0};
    io_run_for(base, 1050);
    ask(base, r, "a.test", AF_INET);
    io_run_for(base, 50);
    a = ask(base, r, "a.test", AF_INET);
    ck_assert_str_eq(nth(&a, 0), "10.0.0.2");
    /* No such name is an answer. */
    own[0].rcode = 3;
    ck_assert_int_eq(ask(base, r, "a.test", AF_INET).answer.status, RESOLVER_NOT_FOUND);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

START_TEST(resolver_uses_expired_answers_for_so_long)
{
    struct event_base *base = io_loop();
    struct dns d;
    struct dns_name own[] = {{.name = "a.test", .a = {"10.0.0.1"}, .ttl = 0}, {0}};
    dns_start(&d, base, own);
    struct resolver *r = dns_resolver(&d, base);

    ask(base, r, "a.test", AF_INET);
    own[0].rcode = 2;
    ck_assert_int_eq(ask(base, r, "a.test", AF_INET).answer.status, RESOLVER_FAILED);
    own[0].rcode = 0;
    io_run_for(base, 1050);
    resolver_set_stale_if_error(r, 500);
    ck_assert_int_eq(ask(base, r, "a.test", AF_INET).answer.status, RESOLVER_OK);
    own[0].rcode = 2;
    io_run_for(base, 550);
    ck_assert_int_eq(ask(base, r, "a.test", AF_INET).answer.status, RESOLVER_FAILED);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

/* Servers that say nothing are waited for once. */
START_TEST(resolver_has_patience)
{
    struct event_base *base = io_loop();
    struct dns d;
    struct dns_name own[] = {{.name = "a.test", .a = {"10.0.0.1"}, .ttl = 0}, {0}};
    dns_start(&d, base, own);
    struct resolver *r = dns_resolver_patient(&d, base, 60000);
    struct asked a = {0};

    resolver_set_stale_if_error(r, 60000);
    ask(base, r, "a.test", AF_INET);
    own[0].silent_a = true;
    ck_assert_ptr_nonnull(resolver_ask(r, "a.test", AF_INET, on_answer, &a));
    io_run_for(base, 1500);
    ck_assert(!a.done);
    io_run_until(base, &a.done, 10000);
    ck_assert_int_eq(a.answer.status, RESOLVER_OK);
    io_run_for(base, 1050);
    ck_assert_ptr_null(resolver_ask(r, "a.test", AF_INET, on_answer, &a));
    ck_assert_int_eq(a.calls, 2);
    resolver_free(r);
    dns_stop(&d);
    event_base_free(base);
}
END_TEST

void io_families_tests(Suite *suite)
{
    unit_group(suite, "families", resolver_asks_families_apart, resolver_remembers_what_a_family_lacks,
               resolver_walks_the_search_list, resolver_uses_expired_answers,
               resolver_uses_expired_answers_for_so_long, resolver_has_patience);
}
