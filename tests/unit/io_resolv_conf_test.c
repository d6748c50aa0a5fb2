/* resolv.conf: its options, and the names that its search list makes. */

#include "io_test.h"

#include <sys/resource.h>

#include "io/resolv_conf.h"

START_TEST(resolv_conf_options_are_read)
{
    struct resolv_conf c;

    resolv_conf_read("/nonexistent", &c);
    ck_assert_int_eq(c.timeout_ms, 5000);
    ck_assert_int_eq(c.attempts, 2);
    resolv_conf_read_line(SLICE("options timeout:1 attempts:3\n"), &c);
    ck_assert_int_eq(c.timeout_ms, 1000);
    ck_assert_int_eq(c.attempts, 3);
    resolv_conf_read_line(SLICE("#options timeout:7"), &c);
    resolv_conf_read_line(SLICE("nameserver 1.1.1.1 timeout:9"), &c);
    resolv_conf_read_line(SLICE("options timeout: attempts:x timeout:0 timeouts:4"), &c);
    resolv_conf_read_line(SLICE("options"), &c);
    resolv_conf_read_line(SLICE(""), &c);
    ck_assert_int_eq(c.timeout_ms, 1000);
    ck_assert_int_eq(c.attempts, 3);
    resolv_conf_read_line(SLICE("  options\trotate timeout:99999999999 attempts:7"), &c);
    ck_assert_int_eq(c.timeout_ms, 30000);
    ck_assert_int_eq(c.attempts, 5);
}
END_TEST

/* "a. b.": all names under which one is looked for. */
static const char *candidates(const struct resolv_conf *c, const char *name)
{
    static char all[1000];
    char one[RESOLV_NAME_SIZE];

    all[0] = '\0';
    for (unsigned i = 0; resolv_conf_candidate(c, name, i, one); i++)
        ck_assert_int_lt(snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? " " : "", one),
                         500);
    return all;
}

START_TEST(resolv_conf_search_list_is_walked)
{
    struct resolv_conf c = {.ndots = 1};

    ck_assert_str_eq(candidates(&c, "a"), "a.");
    resolv_conf_read_line(SLICE("domain one.test two.test"), &c);
    ck_assert_str_eq(candidates(&c, "a"), "a.one.test. a.");
    resolv_conf_read_line(SLICE("search one.test. two.test\t.\n"), &c);
    ck_assert_str_eq(candidates(&c, "a"), "a.one.test. a.two.test. a.");
    ck_assert_str_eq(candidates(&c, "a.b"), "a.b. a.b.one.test. a.b.two.test.");
    ck_assert_str_eq(candidates(&c, "a."), "a.");
    resolv_conf_read_line(SLICE("options ndots:5"), &c);
    ck_assert_str_eq(candidates(&c, "a.b"), "a.b.one.test. a.b.two.test. a.b.");
    resolv_conf_read_line(SLICE("options ndots:0"), &c);
    ck_assert_str_eq(candidates(&c, "a"), "a. a.one.test. a.two.test.");
    resolv_conf_read_line(SLICE("search"), &c);
    ck_assert_str_eq(candidates(&c, "a"), "a.");
    setenv("LOCALDOMAIN", "env.test", 1);
    setenv("RES_OPTIONS", "ndots:2 attempts:4", 1);
    resolv_conf_read("/nonexistent", &c);
    ck_assert_str_eq(candidates(&c, "a.b"), "a.b.env.test. a.b.");
    ck_assert_int_eq(c.attempts, 4);
}
END_TEST

/* None is cut to another name. */
START_TEST(resolv_conf_search_list_is_long)
{
    struct resolv_conf c = {.ndots = 1};
    char line[4000] = "search", name[256];

    for (int i = 0; i < 50; i++)
        strcat(line, " a.long.domain.of.which.there.are.very.many.in.the.list.test");
    resolv_conf_read_line(slice_of(line), &c);
    memset(name, 'n', 255);
    name[255] = '\0';
    for (unsigned i = 0; resolv_conf_candidate(&c, name, i, line); i++)
        ck_assert_int_eq(line[strlen(line) - 1], '.');
    ck_assert_uint_gt(strlen(c.search), 900);
}
END_TEST

/* What could not be opened for want of a descriptor is not taken for what is not there. */
START_TEST(resolv_conf_needs_a_descriptor)
{
    struct resolv_conf c;
    struct rlimit limit;

    ck_assert(resolv_conf_read("/nonexistent", &c));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}), 0);
    bool was_read = resolv_conf_read("/dev/null", &c);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert(!was_read);
    ck_assert(resolv_conf_read("/dev/null", &c));
}
END_TEST

void io_resolv_conf_tests(Suite *suite)
{
    unit_group(suite, "resolv.conf", resolv_conf_options_are_read, resolv_conf_search_list_is_walked,
               resolv_conf_search_list_is_long, resolv_conf_needs_a_descriptor);
}
