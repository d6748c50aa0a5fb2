/* The configuration file: values, defaults, inheritance and files. */

#include "config_test.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/bindable.h"

#define IN "/dir/c.yaml:"

struct config *config_of(const char *text, struct told *told)
{
    char *messages = NULL;
    size_t size;
    FILE *f = open_memstream(&messages, &size);
    struct config *c = config_parse(slice_of(text), "/dir/c.yaml", NULL, f);
    fclose(f);
    if (told) {
        *told = (struct told){.text = messages};
        for (const char *p = messages; *p; p++)
            told->lines += *p == '\n';
    } else {
        free(messages);
    }
    return c;
}

struct config *good_config(const char *text)
{
    struct told told;
    struct config *c = config_of(text, &told);
    ck_assert_msg(c != NULL, "refused:\n%s\n%s", text, told.text);
    ck_assert_msg(told.lines == 0, "told something:\n%s\n%s", text, told.text);
    free(told.text);
    return c;
}

static void assert_told(const struct told *told, const char *line)
{
    char *whole = NULL;
    ck_assert(asprintf(&whole, "%s\n", line) > 0);
    const char *at = strstr(told->text, whole);
    ck_assert_msg(at && (at == told->text || at[-1] == '\n'), "wanted:\n%s\ntold:\n%s", line, told->text);
    free(whole);
}

void assert_refused(const char *text, const char *line)
{
    struct told told;
    struct config *c = config_of(text, &told);
    ck_assert_msg(c == NULL, "taken:\n%s", text);
    assert_told(&told, line);
    free(told.text);
}

void assert_warned(const char *text, const char *line)
{
    struct told told;
    struct config *c = config_of(text, &told);
    ck_assert_msg(c != NULL, "refused:\n%s\n%s", text, told.text);
    assert_told(&told, line);
    free(told.text);
    config_unref(c);
}

void assert_refused_for(const char *text, const char *words)
{
    struct told told;
    struct config *c = config_of(text, &told);
    ck_assert_msg(c == NULL, "taken:\n%s", text);
    ck_assert_msg(strstr(told.text, words) != NULL, "wanted: %s\ntold:\n%s", words, told.text);
    free(told.text);
}

/* ---- values */

START_TEST(nothing_is_the_defaults)
{
    static const char *const texts[] = {
        "", "# nothing\n", "---\n", "{}\n", "server:\nupstreams:\ndefaults: ~\n", "null\n"};
    struct config *c = config_load(NULL, NULL, stderr);
    char *expected = printed(c);
    ck_assert_int_eq(c->listen.count, 1);
    ck_assert_int_eq(address_port(&c->listen.items[0].address), 3128);
    ck_assert_int_eq(address_port(&c->admin.listen.items[0].address), 3129);
    ck_assert_str_eq(c->path, "");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct config *other = good_config(texts[i]);
        char *text = printed(other);
        ck_assert_str_eq(text, expected);
        free(text);
        config_unref(other);
    }
    free(expected);
    config_unref(c);
}
END_TEST

START_TEST(the_contract_gives_the_defaults)
{
    struct config *c = config_load(NULL, NULL, stderr);
    const struct agent_policy *p = &c->defaults;
    ck_assert_uint_eq(c->workers, 1);
    ck_assert_uint_eq(c->shutdownTimeout, 30000);
    ck_assert_uint_eq(c->server.maxConnections, 10000);
    ck_assert_uint_eq(c->server.headersTimeout, 60000);
    ck_assert_uint_eq(c->server.requestTimeout, 300000);
    ck_assert_uint_eq(c->server.timeout, 60000);
    ck_assert_uint_eq(c->server.keepAliveTimeout, 5000);
    ck_assert_uint_eq(c->server.keepAliveTimeoutBuffer, 1000);
    ck_assert_uint_eq(c->server.maxRequestsPerSocket, COUNT_INFINITE);
    ck_assert_uint_eq(c->server.maxHeaderSize, 16384);
    ck_assert_uint_eq(c->server.maxHeadersCount, 100);
    ck_assert_uint_eq(c->access.connectPorts.items[0], 443);
    ck_assert_uint_eq(c->access.denyAddresses.count, 7);
    ck_assert(p->keepAlive && p->scheduling == SCHEDULING_LIFO && p->family == FAMILY_ANY);
    ck_assert_uint_eq(p->maxSockets, 100);
    ck_assert_uint_eq(p->maxFreeSockets, 256);
    ck_assert_uint_eq(p->minFreeSockets, 0);
    ck_assert_uint_eq(p->maxTotalSockets, 1000);
    ck_assert_uint_eq(p->maxPendingRequests, 1024);
    ck_assert_uint_eq(p->maxSocketAge, 600000);
    ck_assert_uint_eq(p->maxRequestsPerSocket, COUNT_INFINITE);
    ck_assert_uint_eq(p->timeouts.connect, 10000);
    ck_assert_uint_eq(p->timeouts.pending, 30000);
    ck_assert_uint_eq(p->timeouts.socket, 60000);
    ck_assert_uint_eq(p->timeouts.request, 0);
    ck_assert_uint_eq(p->timeouts.free, 30000);
    ck_assert_uint_eq(p->timeouts.tunnel, 3600000);
    ck_assert_uint_eq(p->agentKeepAliveTimeoutBuffer, 1000);
    ck_assert_uint_eq(p->drainLimit, 65536);
    ck_assert_uint_eq(p->replayLimit, 65536);
    ck_assert_uint_eq(p->retries, 1);
    ck_assert_uint_eq(p->local.length, 0);
    ck_assert(c->default_tls.rejectUnauthorized && c->default_tls.sessionReuse && !c->default_tls.enabled);
    ck_assert_int_eq(c->default_tls.minVersion, TLS_VERSION_1_2);
    config_unref(c);
}
END_TEST

START_TEST(zero_lifts_limits_but_some)
{
    struct config *c =
        good_config("server: {maxConnections: 0, maxRequestsPerSocket: 0, keepAliveInitialDelay: 0}\n"
                    "defaults: {maxSockets: 0, maxTotalSockets: 0, maxFreeSockets: 0, minFreeSockets: 0,\n"
                    "  maxPendingRequests: 0, maxRequestsPerSocket: 0, retries: 0, drainLimit: 0,\n"
                    "  replayLimit: 0, maxSocketAge: 0}\n");
    ck_assert_uint_eq(c->server.maxConnections, COUNT_INFINITE);
    ck_assert_uint_eq(c->defaults.maxSockets, COUNT_INFINITE);
    ck_assert_uint_eq(c->defaults.maxTotalSockets, COUNT_INFINITE);
    ck_assert_uint_eq(c->defaults.maxFreeSockets, 0);
    ck_assert_uint_eq(c->defaults.maxPendingRequests, 0);
    ck_assert_uint_eq(c->defaults.retries, 0);
    ck_assert_uint_eq(c->defaults.replayLimit, 0);
    ck_assert_uint_eq(c->defaults.maxSocketAge, 0);
    config_unref(c);
    c = good_config(
        "defaults: {maxSockets: Infinity, maxFreeSockets: Infinity, maxPendingRequests: Infinity}\n");
    ck_assert_uint_eq(c->defaults.maxSockets, COUNT_INFINITE);
    ck_assert_uint_eq(c->defaults.maxFreeSockets, COUNT_INFINITE);
    ck_assert_uint_eq(c->defaults.maxPendingRequests, COUNT_INFINITE);
    config_unref(c);
}
END_TEST

START_TEST(upstreams_inherit_key_by_key)
{
    struct config *c = good_config("upstreams:\n"
                                   "  u: {match: u.test, maxSockets: 3, timeouts: {connect: 1s}}\n"
                                   "  v: {match: v.test}\n"
                                   "defaults: {maxSockets: 7, retries: 2, timeouts: {free: 800ms}}\n");
    const struct agent_policy *u = &c->upstreams[0].policy, *v = &c->upstreams[1].policy;
    ck_assert_uint_eq(u->maxSockets, 3);
    ck_assert_uint_eq(u->retries, 2);
    ck_assert_uint_eq(u->timeouts.connect, 1000);
    ck_assert_uint_eq(u->timeouts.free, 800);
    ck_assert_uint_eq(u->timeouts.pending, 30000);
    ck_assert_uint_eq(v->maxSockets, 7);
    ck_assert_uint_eq(v->timeouts.connect, 10000);
    ck_assert_uint_eq(v->timeouts.free, 800);
    config_unref(c);
}
END_TEST

START_TEST(listeners_are_read)
{
    struct config *c =
        good_config("listen: [\"[::1]:99\", localhost:98, \"unix:p.sock?mode=0640\", unix:/run/q.sock]\n"
                    "admin: {listen: \"unix:/run/a.sock\"}\n");
    char text[ADDRESS_TEXT_SIZE];
    ck_assert_str_eq(address_format(&c->listen.items[0].address, text), "[::1]:99");
    ck_assert_str_eq(address_format(&c->listen.items[1].address, text), "127.0.0.1:98");
    ck_assert_str_eq(address_format(&c->listen.items[2].address, text), "unix:/dir/p.sock");
    ck_assert_uint_eq(c->listen.items[2].mode, 0640);
    ck_assert_uint_eq(c->listen.items[3].mode, 0666);
    ck_assert_uint_eq(c->admin.listen.items[0].mode, 0600);
    config_unref(c);
    c = good_config("upstreams: {a: {match: a.test, listen: \"unix:/run/a.sock\"}}\nadmin: {listen: off}\n");
    ck_assert_uint_eq(c->upstreams[0].listen.items[0].mode, 0666);
    ck_assert_uint_eq(c->admin.listen.count, 0);
    config_unref(c);
}
END_TEST

START_TEST(upstream_addresses_are_read)
{
    struct config *c = good_config(
        "upstreams: {a: {match: a.test, address: [10.0.0.7:8443, \"[::1]:1\", \"unix:s\", Host.Test:5]}}\n");
    const struct address_list *l = &c->upstreams[0].address;
    char text[ADDRESS_TEXT_SIZE];
    ck_assert_uint_eq(l->count, 4);
    ck_assert(!l->items[0].is_name && !l->items[1].is_name && !l->items[2].is_name && l->items[3].is_name);
    ck_assert_str_eq(address_format(&l->items[0].address, text), "10.0.0.7:8443");
    ck_assert_str_eq(address_format(&l->items[1].address, text), "[::1]:1");
    ck_assert_str_eq(address_format(&l->items[2].address, text), "unix:/dir/s");
    ck_assert_str_eq(l->items[3].host, "host.test");
    ck_assert_uint_eq(l->items[3].port, 5);
    config_unref(c);
}
END_TEST

START_TEST(files_start_at_the_folder)
{
    struct config *c = good_config("accessLog: {path: log/a.log}\n");
    ck_assert_str_eq(c->accessLog.path, "/dir/log/a.log");
    config_unref(c);
    c = good_config("accessLog: {path: \"-\"}\n");
    ck_assert_str_eq(c->accessLog.path, "-");
    config_unref(c);
}
END_TEST

START_TEST(yaml_may_be_written_as_one_likes)
{
    config_unref(good_config("listen: [127.0.0.1:3128]\r\nserver:\r\n  maxConnections: \"5\"\r\n"));
    config_unref(good_config(
        "listen:\n  - '127.0.0.1:1'\n  - \"[::1]:1\"\nupstreams:\n  a:\n    match:\n      - a.test\n"));
    config_unref(good_config("\xef\xbb\xbfworkers: auto\n"));
    config_unref(good_config(
        "defaults: &d {maxSockets: &n 5, maxFreeSockets: *n}\nupstreams: {\"we ird\": {match: \"*\"}}\n"));
}
END_TEST

/* ---- files */

START_TEST(all_mistakes_are_told_in_one_pass)
{
    struct told told;
    ck_assert_ptr_null(config_of("upstreams:\n  a: {maxSockets: x, match: 'a b'}\n  b: {}\n"
                                 "defaults: {retries: 99}\nworkers: x\nlisten: [a, b]\n",
                                 &told));
    ck_assert_uint_eq(told.lines, 7);
    ck_assert(strncmp(told.text, IN "2:19:", sizeof IN "2:19:" - 1) == 0);
    free(told.text);
}
END_TEST

START_TEST(aliases_cannot_blow_up)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fputs("upstreams:\n a: &a\n  match: [x", f);
    for (int i = 0; i < 2000; i++)
        fprintf(f, ",h%d", i);
    fputs("]\n", f);
    for (int i = 0; i < 3000; i++)
        fprintf(f, " u%d: *a\n", i);
    fclose(f);
    assert_refused_for(text, "too much to read: aliases");
    free(text);
}
END_TEST

START_TEST(strange_files_are_told)
{
    char path[] = "/tmp/carpool-config-XXXXXX", message[4096] = "";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 1024 * 1024 + 1), 0);
    close(fd);
    const char *const paths[] = {"/nonexistent/carpool.yaml", "/", path};
    const char *const words[] = {"No such file", "Is a directory", "larger than 1 MiB"};
    for (int i = 0; i < 3; i++) {
        FILE *f = fmemopen(message, sizeof message, "w");
        ck_assert_ptr_null(config_load(paths[i], NULL, f));
        fclose(f);
        ck_assert_ptr_nonnull(strstr(message, words[i]));
        ck_assert(strncmp(message, paths[i], strlen(paths[i])) == 0);
    }
    unlink(path);
}
END_TEST

START_TEST(the_command_line_replaces_listen)
{
    char first[] = "127.0.0.1:5", bad[] = "0.0.0.0:5", *items[] = {first};
    struct text_list list = {items, 1};
    char *messages = NULL;
    size_t size;
    struct config *c = config_parse(SLICE("listen: [0.0.0.0:1, 127.0.0.1:5]\n"), "c.yaml", &list, stderr);
    ck_assert_ptr_nonnull(c);
    ck_assert_uint_eq(c->listen.count, 1);
    ck_assert_uint_eq(address_port(&c->listen.items[0].address), 5);
    config_unref(c);
    items[0] = bad;
    FILE *f = open_memstream(&messages, &size);
    ck_assert_ptr_null(config_load(NULL, &list, f));
    fclose(f);
    ck_assert(strncmp(messages, "command line: error: listen: '0.0.0.0:5'", 40) == 0);
    free(messages);
}
END_TEST

START_TEST(the_command_line_names_an_address_once)
{
    char twice[] = "127.0.0.1:5", *items[] = {twice, twice}, *messages = NULL;
    struct text_list list = {items, 2};
    size_t size;
    FILE *f = open_memstream(&messages, &size);
    ck_assert_ptr_null(config_load(NULL, &list, f));
    fclose(f);
    ck_assert_str_eq(messages, "command line: error: listen: '127.0.0.1:5' is in use already, by listen "
                               "(command line)\n");
    free(messages);
}
END_TEST

/* For -t only. */
START_TEST(this_host_is_asked_for_its_addresses)
{
    char mapped[] = "[::ffff:127.0.0.1]:5", *items[] = {mapped};
    struct text_list list = {items, 1};
    char *messages = NULL;
    size_t size;
    struct config *c = config_load(NULL, &list, stderr);
    ck_assert_ptr_nonnull(c);
    config_unref(c);
    FILE *f = open_memstream(&messages, &size);
    ck_assert_ptr_null(config_test(NULL, &list, f));
    fclose(f);
    ck_assert(strncmp(messages, "command line: error: listen: cannot listen on '[::ffff:", 54) == 0);
    free(messages);
}
END_TEST

/* As a start would find out when it binds the second one. */
START_TEST(two_ways_to_write_a_path_are_told)
{
    char first[] = "unix:/tmp/./x", second[] = "unix:/tmp//x", other[] = "unix:/tmp/y", *messages = NULL;
    char *items[] = {first, other, second};
    struct text_list list = {items, 2};
    size_t size;
    struct config *c = config_test(NULL, &list, stderr);
    ck_assert_ptr_nonnull(c);
    config_unref(c);
    list.count = 3;
    FILE *f = open_memstream(&messages, &size);
    ck_assert_ptr_null(config_test(NULL, &list, f));
    fclose(f);
    ck_assert_ptr_nonnull(strstr(messages, "'unix:/tmp//x' is in use already, by 'unix:/tmp/./x' of listen"));
    free(messages);
}
END_TEST

START_TEST(bindable_is_what_the_kernel_lets_us)
{
    struct address a;
    ck_assert(address_parse(&a, SLICE("127.0.0.1:1")));
    ck_assert_ptr_null(bindable_problem(&a));
    ck_assert(address_parse(&a, SLICE("0.0.0.0:1")));
    ck_assert_ptr_null(bindable_problem(&a));
    ck_assert(address_parse(&a, SLICE("unix:/nowhere/x")));
    ck_assert_str_eq(bindable_problem(&a), "its directory does not exist");
    ck_assert(address_parse(&a, SLICE("unix:/run/made-when-the-service-starts/x")));
    ck_assert_ptr_null(bindable_problem(&a));
    ck_assert(address_parse(&a, SLICE("unix:/etc/passwd")));
    ck_assert_ptr_nonnull(strstr(bindable_problem(&a), "not a socket"));
    ck_assert(address_parse(&a, SLICE("unix:/tmp/x")));
    ck_assert_ptr_null(bindable_problem(&a));
    ck_assert(address_parse(&a, SLICE("unix:/x")));
    ck_assert(!bindable_problem(&a) || strstr(bindable_problem(&a), "may not write to"));
    ck_assert(address_parse(&a, SLICE("192.0.2.77:1")));
    ck_assert_ptr_nonnull(bindable_problem(&a));
    ck_assert(address_parse(&a, SLICE("[fe80::1]:1")));
    ck_assert_ptr_nonnull(bindable_problem(&a));
}
END_TEST

START_TEST(exposure_depends_on_the_clients)
{
    struct address outside, inside, path;
    struct config *c = good_config("access: {clients: [10.0.0.0/8]}\nlisten: 0.0.0.0:1\n");
    ck_assert(address_parse(&outside, SLICE("10.0.0.1:1")) && address_parse(&inside, SLICE("127.0.0.2:1")));
    ck_assert(address_parse(&path, SLICE("unix:/x")));
    ck_assert(!config_exposes(c, &outside, false));
    ck_assert(config_exposes(c, &outside, true));
    ck_assert(!config_exposes(c, &inside, true) && !config_exposes(c, &path, true));
    config_unref(c);
}
END_TEST

START_TEST(odd_policies_are_warned_about)
{
    assert_warned("defaults: {minFreeSockets: 5, maxSockets: 2}\n",
                  IN "1:12: warning: defaults: minFreeSockets 5 is never reached, since maxSockets is 2");
    assert_warned("defaults: {minFreeSockets: 5, maxFreeSockets: 4, maxTotalSockets: 3}\n", IN
                  "1:12: warning: defaults: minFreeSockets 5 is never reached, since maxTotalSockets is 3");
    assert_warned(
        "defaults: {minFreeSockets: 5, keepAlive: false}\n", IN
        "1:12: warning: defaults: the connections of minFreeSockets carry one request each, since keepAlive is false");
    assert_warned("callers: unit\ndefaults: {allow: [cron.service, -, 10.0.0.1, root]}\n", IN
                  "2:12: warning: defaults.allow: 'root' cannot be a caller with callers: unit: units end in "
                  ".service, .scope or .slice");
    assert_warned(
        "listen: []\n", IN
        "1:1: warning: no listener is configured: requests can only come in at sockets that systemd passes");
    assert_warned(
        "upstreams: {a: {match: a.test, connect: pool}}\n", IN
        "1:32: warning: upstreams.a: connect is pool, but without connectTls https stays a tunnel, which is "
        "not pooled; carpoolctl ca create makes a CA for it");
    assert_warned(
        "defaults: {connect: pool}\n", IN
        "1:12: warning: defaults: connect is pool, but without connectTls https stays a tunnel, which is not pooled; "
        "carpoolctl ca create makes a CA for it");
}
END_TEST

/* Node's convention: 2 is 2 ms, and hardly ever meant. */
START_TEST(small_times_without_a_unit_are_warned_about)
{
    static const char *const fine[] = {"2ms", "50", "0", "off", "2s"};
    char text[64];

    assert_warned("defaults: {timeouts: {request: 2}}\n",
                  IN "1:32: warning: defaults.timeouts.request: '2' is in milliseconds; add the unit: s if "
                     "seconds are meant, ms if not");
    setenv("CARPOOL_TEST_TIME", "49", 1);
    assert_warned(
        "shutdownTimeout: ${CARPOOL_TEST_TIME}\n",
        IN "1:18: warning: shutdownTimeout: '${CARPOOL_TEST_TIME}' is in milliseconds; add the unit: s "
           "if seconds are meant, ms if not");
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        snprintf(text, sizeof text, "shutdownTimeout: %s\n", fine[i]);
        config_unref(good_config(text));
    }
}
END_TEST

START_TEST(two_apps_may_have_two_policies_for_one_host)
{
    struct config *c = good_config("upstreams:\n  a: {host: Api.Test, listen: 127.0.0.1:1}\n"
                                   "  b: {host: \"api.test:81\", listen: 127.0.0.1:2}\n"
                                   "  c: {match: [\"c.test:8080\", \"*.c.test\"], listen: 127.0.0.1:3}\n");
    ck_assert_str_eq(c->upstreams[0].host, "api.test");
    ck_assert_uint_eq(c->upstreams[0].host_port, 0);
    ck_assert_str_eq(c->upstreams[1].host, "api.test");
    ck_assert_uint_eq(c->upstreams[1].host_port, 81);
    ck_assert_str_eq(c->upstreams[2].host, "c.test");
    ck_assert_uint_eq(c->upstreams[2].host_port, 8080);
    ck_assert_str_eq(c->upstreams[2].host_option, "");
    config_unref(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    unit_group(suite, "values", nothing_is_the_defaults, the_contract_gives_the_defaults,
               zero_lifts_limits_but_some, upstreams_inherit_key_by_key, listeners_are_read,
               upstream_addresses_are_read, files_start_at_the_folder, yaml_may_be_written_as_one_likes,
               the_command_line_replaces_listen, the_command_line_names_an_address_once,
               this_host_is_asked_for_its_addresses, two_ways_to_write_a_path_are_told,
               bindable_is_what_the_kernel_lets_us, two_apps_may_have_two_policies_for_one_host);
    unit_group(suite, "files", all_mistakes_are_told_in_one_pass, aliases_cannot_blow_up,
               strange_files_are_told, exposure_depends_on_the_clients, odd_policies_are_warned_about,
               small_times_without_a_unit_are_warned_about);
    add_part_tests(suite);
    add_reload_tests(suite);
    add_mistake_tests(suite);
    add_match_tests(suite);
    add_print_tests(suite);
    add_tls_tests(suite);
    return unit_run(suite);
}
