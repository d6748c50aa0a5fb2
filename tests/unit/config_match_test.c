/* Which upstream a URL belongs to. */

#include "config/match.h"
#include "config_test.h"

static const char *match(const struct config *c, const char *host, uint16_t port)
{
    const struct upstream *u = match_find(c, slice_of(host), port);
    return u ? u->name : "(none)";
}

START_TEST(the_most_specific_wins)
{
    struct config *c = good_config("upstreams:\n"
                                   "  star: {match: '*'}\n"
                                   "  sub: {match: '*.a.test'}\n"
                                   "  subport: {match: '*.a.test:8080'}\n"
                                   "  long: {match: '*.b.a.test'}\n"
                                   "  exactport: {match: 'api.a.test:8080'}\n"
                                   "  exact: {match: API.a.test}\n");
    ck_assert_str_eq(match(c, "api.a.test", 80), "exact");
    ck_assert_str_eq(match(c, "api.a.test", 8080), "exactport");
    ck_assert_str_eq(match(c, "api.a.test.", 80), "exact");
    ck_assert_str_eq(match(c, "x.a.test", 80), "sub");
    ck_assert_str_eq(match(c, "x.a.test", 8080), "subport");
    ck_assert_str_eq(match(c, "y.b.a.test", 8080), "long");
    ck_assert_str_eq(match(c, "z.y.b.a.test", 80), "long");
    ck_assert_str_eq(match(c, "b.a.test", 80), "sub");
    ck_assert_str_eq(match(c, "a.test", 80), "star");
    ck_assert_str_eq(match(c, "xa.test", 80), "star");
    ck_assert_str_eq(match(c, "", 80), "star");
    config_unref(c);
}
END_TEST

START_TEST(nothing_may_match)
{
    struct config *c = good_config(
        "upstreams: {a: {match: [a.test, '[::1]:80']}, g: {host: g.test, listen: 127.0.0.1:1}}\n");
    ck_assert_str_eq(match(c, "b.test", 80), "(none)");
    ck_assert_str_eq(match(c, "g.test", 80), "(none)");
    ck_assert_str_eq(match(c, "::1", 80), "a");
    ck_assert_str_eq(match(c, "0:0:0::1", 80), "a");
    ck_assert_str_eq(match(c, "::1", 81), "(none)");
    config_unref(c);
    c = good_config("");
    ck_assert_str_eq(match(c, "a.test", 80), "(none)");
    config_unref(c);
}
END_TEST

/* The port is that of the origin: the pattern's, or its scheme's default. What clients choose beside that, or
 * of the spellings of one host, is none of the operator's names. */
START_TEST(origins_are_named_with_their_port)
{
    struct config *c = good_config("upstreams:\n"
                                   "  a: {match: [a.test, 'b.test:8080', '[::1]:80']}\n"
                                   "  t: {match: ['c.test:80'], tls: true}\n"
                                   "  g: {host: g.test, listen: 127.0.0.1:1}\n");
    const struct upstream *a = &c->upstreams[0], *t = &c->upstreams[1], *g = &c->upstreams[2];
    ck_assert(match_names_exactly(a, SLICE("a.test"), 80, true));
    ck_assert(!match_names_exactly(a, SLICE("a.test."), 443, true)); /* one spelling only */
    ck_assert(!match_names_exactly(a, SLICE("a.test"), 8080, false));
    ck_assert(match_names_exactly(a, SLICE("b.test"), 8080, false));
    ck_assert(!match_names_exactly(a, SLICE("b.test"), 80, true));
    ck_assert(match_names_exactly(a, SLICE("::1"), 80, true));
    ck_assert(!match_names_exactly(a, SLICE("0::1"), 80, true));
    ck_assert(!match_names_exactly(a, SLICE("x.test"), 80, true));
    ck_assert(match_names_exactly(t, SLICE("c.test"), 443, true));
    ck_assert(!match_names_exactly(t, SLICE("c.test"), 8443, false));
    ck_assert(match_names_exactly(g, SLICE("g.test"), 80, true));
    ck_assert(!match_names_exactly(g, SLICE("g.test"), 81, false));
    config_unref(c);
}
END_TEST

START_TEST(hosts_of_any_length_are_looked_up)
{
    char host[1024];
    struct config *c = good_config("upstreams: {a: {match: '*.test'}}\n");
    for (size_t n = 0; n + 5 < sizeof host; n++) {
        memset(host, n % 3 ? '.' : 'x', n);
        memcpy(host + n, ".test", 6);
        ck_assert_str_eq(match(c, host, 80), n && n <= 250 ? "a" : "(none)");
    }
    config_unref(c);
}
END_TEST

START_TEST(many_upstreams_are_told_apart)
{
    char *text = NULL, host[32], name[32];
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fputs("upstreams:\n", f);
    for (int i = 0; i < 3000; i++)
        fprintf(f, "  u%d: {match: ['h%d.test', '*.s%d.test:99']}\n", i, i, i);
    fclose(f);
    struct config *c = good_config(text);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "u%d", i);
        snprintf(host, sizeof host, "h%d.test", i);
        ck_assert_str_eq(match(c, host, 80), name);
        snprintf(host, sizeof host, "x.s%d.test", i);
        ck_assert_str_eq(match(c, host, 99), name);
        ck_assert_str_eq(match(c, host, 98), "(none)");
    }
    config_unref(c);
    free(text);
}
END_TEST

void add_match_tests(Suite *suite)
{
    unit_group(suite, "match", the_most_specific_wins, nothing_may_match, origins_are_named_with_their_port,
               hosts_of_any_length_are_looked_up, many_upstreams_are_told_apart);
}
