/* --print-config and the admin API's /config. */

#include "config_test.h"

char *printed(const struct config *c)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    config_print(c, f);
    fclose(f);
    return text;
}

static const char *const rich[] = {
    "",
    "listen: [\"127.0.0.1:4128\", \"[::1]:4128\", \"unix:/tmp/x.sock?mode=0600\"]\n"
    "admin: {listen: off, hosts: [Admin.Test]}\n"
    "log: {level: debug, format: json}\nworkers: auto\nname: edge-7\n"
    "server: {maxHeaderSize: 16385, keepAliveTimeout: 7s, halfClose: true}\n"
    "access: {clients: [10.0.0.0/8, 127.0.0.1], unmatched: deny, connectPorts: [443, 8443],\n"
    "  denyAddresses: []}\n"
    "defaults: {scheduling: fifo, maxSockets: Infinity, maxFreeSockets: 0, timeouts: {request: off},\n"
    "  family: 4, localAddress: 127.0.0.1, replayLimit: 0}\n"
    "upstreams:\n"
    "  \"we ird.name\": {match: [\"*\", \"a.example.com:8443\"], tls: true, proxy: \"http://a:b@[::1]:3128\"}\n"
    "  \"null\": {match: \"*.internal\", tls: {servername: \"x\", minVersion: TLSv1.3, ciphers: TLS_AES_128_GCM_SHA256},\n"
    "    address: [10.0.0.7:8443, \"unix:/run/x\", name.test:1]}\n"
    "  \"\xc3\xa9 \\L: #'\\\"\": {host: h.test, listen: 127.0.0.1:1, maxSockets: 1}\n"
    "  gateway: {match: \"[::1]:80\", listen: \"unix:g$$.sock\"}\n",
    "accessLog: {path: \"/var/$$log/${X:-$$y}\"}\n",
    "accessLog: {path: \"null\"}\n",
};

START_TEST(what_is_printed_reads_back)
{
    struct config *c = good_config(rich[_i]);
    char *first = printed(c);
    struct config *again = good_config(first);
    char *second = printed(again);
    ck_assert_str_eq(first, second);
    free(first);
    free(second);
    config_unref(c);
    config_unref(again);
}
END_TEST

/* So that a diff of the two shows what differs. */
START_TEST(defaults_are_spelled_as_in_the_manual)
{
    struct config *c = good_config("defaults: {maxTotalSockets: Infinity, timeouts: {tunnel: 60s}}\n");
    char *text = printed(c);
    ck_assert_ptr_nonnull(strstr(text, "shutdownDelay: 0s\n"));
    ck_assert_ptr_nonnull(strstr(text, "clients: [127.0.0.0/8, '::1']\n"));
    ck_assert_ptr_nonnull(strstr(text, "0.0.0.0/8, '::/128', 224.0.0.0/4"));
    ck_assert_ptr_nonnull(strstr(text, "headersTimeout: 60s\n"));
    ck_assert_ptr_nonnull(strstr(text, "maxRequestsPerSocket: 0\n"));
    ck_assert_ptr_nonnull(strstr(text, "maxTotalSockets: Infinity\n"));
    ck_assert_ptr_nonnull(strstr(text, "tunnel: 1m\n"));
    free(text);
    config_unref(c);
}
END_TEST

/* Other readers of YAML have more types. */
START_TEST(text_that_looks_like_something_else_is_quoted)
{
    struct config *c = good_config(
        "name: \"012\"\nupstreams: {no: {match: a.test}, 1: {match: 127.0.0.1},\n"
        "  2026-01-01: {match: b.test}, e3: {match: c.test}, 1e3: {match: d.test}, .inf: {match: e.test}}\n");
    char *text = printed(c);
    ck_assert_ptr_nonnull(strstr(text, "name: \"012\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "  \"no\":\n"));
    ck_assert_ptr_nonnull(strstr(text, "  \"1\":\n    match: [127.0.0.1]\n"));
    ck_assert_ptr_nonnull(strstr(text, "  \"2026-01-01\":\n"));
    ck_assert_ptr_nonnull(strstr(text, "  e3:\n"));
    ck_assert_ptr_nonnull(strstr(text, "  \"1e3\":\n"));
    ck_assert_ptr_nonnull(strstr(text, "  \".inf\":\n"));
    ck_assert_ptr_nonnull(strstr(text, "  path: off\n"));
    ck_assert_ptr_nonnull(strstr(text, "  listen: 127.0.0.1:3129\n"));
    free(text);
    config_unref(c);
}
END_TEST

START_TEST(dollars_survive)
{
    struct config *c = good_config(rich[2]);
    char *text = printed(c);
    ck_assert_str_eq(c->accessLog.path, "/var/$log/$y");
    ck_assert_ptr_nonnull(strstr(text, "path: /var/$$log/$$y\n"));
    free(text);
    config_unref(c);
}
END_TEST

START_TEST(the_environment_is_masked)
{
    setenv("CT_SECRET", "hunter2", 1);
    setenv("CT_NUMBER", "4711", 1);
    struct config *c =
        good_config("defaults: {localAddress: \"${CT_ADDRESS:-10.9.8.7}\"}\n"
                    "accessLog: {path: \"/log/${CT_SECRET}\"}\n"
                    "upstreams:\n"
                    "  a: {match: ['${CT_SECRET}.test', b.test], maxSockets: \"${CT_NUMBER}\"}\n"
                    "  b: {match: c.test, localAddress: 10.0.0.1,\n"
                    "      tls: {servername: \"${CT_SECRET}\"}}\n");
    char *clear = config_json(c, false), *masked = config_json(c, true);
    ck_assert_ptr_nonnull(strstr(clear, "\"/log/hunter2\""));
    ck_assert_ptr_nonnull(strstr(clear, "\"maxSockets\": 4711"));
    ck_assert_ptr_null(strstr(masked, "hunter2"));
    ck_assert_ptr_null(strstr(masked, "4711"));
    ck_assert_ptr_null(strstr(masked, "10.9.8.7"));
    ck_assert_ptr_nonnull(strstr(masked, "\"maxSockets\": \"***\""));
    ck_assert_ptr_nonnull(strstr(masked, "\"localAddress\": \"10.0.0.1\""));
    ck_assert_ptr_nonnull(strstr(masked, "\"maxSockets\": 100"));
    free(clear);
    free(masked);
    config_unref(c);
}
END_TEST

START_TEST(the_password_of_a_proxy_is_masked)
{
    struct config *c = good_config("defaults: {proxy: 'http://user:hunter%402@Px.Test:3128/'}\n"
                                   "upstreams:\n"
                                   "  a: {match: a.test}\n"
                                   "  b: {match: b.test, proxy: ''}\n"
                                   "  c: {match: c.test, proxy: 'http://[FD00::1]'}\n");
    const struct parent_proxy *p = &c->upstreams[0].policy.parent;
    char *clear = config_json(c, false), *masked = config_json(c, true);

    ck_assert_str_eq(p->host, "px.test");
    ck_assert_uint_eq(p->port, 3128);
    ck_assert_str_eq(p->address, "px.test:3128");
    ck_assert_str_eq(p->authorization, "Proxy-Authorization: Basic dXNlcjpodW50ZXJAMg==\r\n");
    ck_assert_str_eq(c->upstreams[1].policy.parent.host, "");
    p = &c->upstreams[2].policy.parent;
    ck_assert_str_eq(p->host, "fd00::1");
    ck_assert_str_eq(p->address, "[fd00::1]:80");
    ck_assert_str_eq(p->authorization, "");
    ck_assert_ptr_nonnull(strstr(clear, "\"proxy\": \"http://user:hunter%402@Px.Test:3128/\""));
    ck_assert_ptr_null(strstr(masked, "hunter"));
    ck_assert_ptr_null(strstr(masked, "user"));
    ck_assert_ptr_nonnull(strstr(masked, "\"proxy\": \"http://***@px.test:3128\""));
    ck_assert_ptr_nonnull(strstr(masked, "\"proxy\": \"http://[FD00::1]\""));
    free(clear);
    free(masked);
    config_unref(c);
}
END_TEST

/* A mistake is told without what may be a password. */
START_TEST(the_password_of_a_proxy_is_not_quoted)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    ck_assert_ptr_null(
        config_parse(SLICE("defaults: {proxy: 'https://user:hunter2@px.test'}\n"), "c.yaml", NULL, out));
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "c.yaml:1:19: error: bad value for defaults.proxy"));
    ck_assert_ptr_null(strstr(text, "hunter2"));
    free(text);
}
END_TEST

START_TEST(references_are_counted)
{
    struct config *c = config_ref(good_config(""));
    config_unref(c);
    ck_assert_uint_eq(c->workers, 1);
    config_unref(c);
    config_unref(NULL);
}
END_TEST

void add_print_tests(Suite *suite)
{
    TCase *rich_files = tcase_create("print");
    tcase_add_loop_test(rich_files, what_is_printed_reads_back, 0, (int)(sizeof rich / sizeof rich[0]));
    suite_add_tcase(suite, rich_files);
    unit_group(suite, "show", defaults_are_spelled_as_in_the_manual,
               text_that_looks_like_something_else_is_quoted, dollars_survive, the_environment_is_masked,
               the_password_of_a_proxy_is_masked, the_password_of_a_proxy_is_not_quoted,
               references_are_counted);
}
