/* What the configuration is made of: variables, hosts, texts and the table of options. */

#include "config_test.h"

#include "base/utf8.h"
#include "config/env.h"
#include "config/hostname.h"
#include "config/options.h"
#include "config/suggest.h"

static const char *expand(struct arena *a, const char *text, const char **complaint)
{
    bool from_env = false;
    return env_expand(a, arena_text(a, text, strlen(text)), &from_env, complaint);
}

START_TEST(variables_are_replaced)
{
    static const char *const pairs[][2] = {
        {"plain", "plain"},          {"$$", "$"},
        {"a$$b$$", "a$b$"},          {"${CT_A}", "value"},
        {"x${CT_A}y", "xvaluey"},    {"${CT_A:-no}", "value"},
        {"${CT_NONE:-}", ""},        {"${CT_NONE:-a b}", "a b"},
        {"${CT_EMPTY}", ""},         {"${CT_EMPTY:-d}", "d"},
        {"${CT_NONE:-$$}", "$"},     {"$${CT_A}", "${CT_A}"},
        {"${CT_DOLLAR}", "${CT_A}"},
    };
    static const char *const bad[] = {
        "$",          "$x",         "${", "${}", "${A-b}", "${1A}", "${A", "${A B}", "${CT_NONE:-${CT_A}}",
        "${CT_NONE}", "${CT_BYTES}"};
    struct arena *a = arena_new();
    jmp_buf failure;
    const char *complaint = NULL;
    ck_assert_int_eq(setjmp(failure), 0);
    a->on_failure = &failure;
    setenv("CT_A", "value", 1);
    setenv("CT_EMPTY", "", 1);
    setenv("CT_DOLLAR", "${CT_A}", 1);
    setenv("CT_BYTES", "\xff", 1);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        ck_assert_str_eq(expand(a, pairs[i][0], &complaint), pairs[i][1]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        complaint = NULL;
        ck_assert_msg(expand(a, bad[i], &complaint) == NULL, "%s", bad[i]);
        ck_assert_ptr_nonnull(complaint);
    }
    arena_free(a);
}
END_TEST

/* Where a name belongs, some write what the file holds. */
START_TEST(a_key_in_a_variable_is_told_from_its_file)
{
    setenv("CT_KEY", "-----BEGIN PRIVATE KEY-----\nMIG", 1);
    struct told told;
    ck_assert_ptr_null(config_of("connectTls: {cert: /c.pem, key: \"${CT_KEY}\"}\n", &told));
    ck_assert_ptr_nonnull(strstr(told.text, "CT_KEY holds a line end or another control character"));
    ck_assert_ptr_nonnull(strstr(told.text, "; name a file, not what is in it"));
    ck_assert_ptr_null(strstr(told.text, "MIG"));
    ck_assert_ptr_null(strstr(told.text, "needs its private key"));
    free(told.text);
}
END_TEST

START_TEST(typing_comes_after_variables)
{
    setenv("CT_N", "5", 1);
    struct config *c = good_config("defaults: {maxSockets: \"${CT_N}\", keepAlive: \"${CT_B:-false}\"}\n"
                                   "shutdownTimeout: ${CT_N}s\n");
    ck_assert_uint_eq(c->defaults.maxSockets, 5);
    ck_assert(!c->defaults.keepAlive);
    ck_assert_uint_eq(c->shutdownTimeout, 5000);
    config_unref(c);
}
END_TEST

START_TEST(a_secret_is_not_told)
{
    setenv("CT_SECRET", "hunter2", 1);
    struct told told;
    ck_assert_ptr_null(config_of("workers: ${CT_SECRET}\n", &told));
    ck_assert_ptr_null(strstr(told.text, "hunter2"));
    free(told.text);
}
END_TEST

START_TEST(near_names_are_suggested)
{
    static const char *const names[] = {"maxSockets", "maxFreeSockets", "timeouts", "tls", "listen"};
    const size_t n = sizeof names / sizeof names[0];
    ck_assert_str_eq(suggest("maxSocket", names, n), "maxSockets");
    ck_assert_str_eq(suggest("maxsockets", names, n), "maxSockets");
    ck_assert_str_eq(suggest("lisetn", names, n), "listen");
    ck_assert_str_eq(suggest("tsl", names, n), "tls");
    ck_assert_ptr_null(suggest("x", names, n));
    ck_assert_ptr_null(suggest("", names, n));
    ck_assert_ptr_null(suggest("something-very-different-and-longer-than-anything-here", names, n));
}
END_TEST

START_TEST(hosts_have_one_spelling)
{
    char out[HOSTNAME_SIZE];
    uint16_t port;
    ck_assert(hostname_parse_port(SLICE("API.Test.:8080"), out, &port));
    ck_assert_str_eq(out, "api.test");
    ck_assert_uint_eq(port, 8080);
    ck_assert(hostname_parse_port(SLICE("[0:0::1]"), out, &port));
    ck_assert_str_eq(out, "::1");
    ck_assert_uint_eq(port, 0);
    static const char *const bad[] = {"",    ".",         "a b", "a/b",  "a:65536", "a:x", "[::1", "[::1]x",
                                      "[a]", "b\xc3\xa9", ":1",  "a:+1", "a:",      "a..", ".a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!hostname_parse_port(slice_of(bad[i]), out, &port), "%s", bad[i]);
}
END_TEST

START_TEST(utf8_is_told_from_bytes)
{
    static const char *const good[] = {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    static const char *const bad[] = {"\xff", "\xc3", "\xc0\x80",     "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\n",   "\x7f", "\xe0\x80\x80", "\xc2\x85",     "\x80"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert(utf8_is_text(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!utf8_is_text(bad[i]), "%zu", i);
}
END_TEST

START_TEST(every_option_has_its_row)
{
    char wants[OPTION_WANTS_SIZE];
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        ck_assert_ptr_eq(option_find(o->scope, o->path), o);
        ck_assert(*o->help && *o->since && strlen(o->help) < 120);
        ck_assert(*option_wants(o, wants));
        ck_assert(o->type != OPTION_WORD || o->words);
    }
    ck_assert(option_is_section(SCOPE_TOP, "server") && !option_is_section(SCOPE_TOP, "serve"));
}
END_TEST

void add_part_tests(Suite *suite)
{
    unit_group(suite, "parts", variables_are_replaced, a_key_in_a_variable_is_told_from_its_file,
               typing_comes_after_variables, a_secret_is_not_told, near_names_are_suggested,
               hosts_have_one_spelling, utf8_is_told_from_bytes, every_option_has_its_row);
}
