/* lib/admin without a loop: texts, who may ask, what is answered. The rules of the diagnosis
 * have a file of their own beside this one. */

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/guard.h"
#include "admin/metrics.h"
#include "admin/routes.h"
#include "admin_test.h"
#include "unit.h"

#define assert_text(t, expected)                                \
    do {                                                        \
        assert_slice(((struct slice){(t).p, (t).n}), expected); \
        text_free(&(t));                                        \
    } while (0)

/* Texts */

START_TEST(text_writes_numbers)
{
    struct text t = {0};

    text_number(&t, 0);
    text_lit(&t, " ");
    text_number(&t, UINT64_MAX);
    text_lit(&t, " ");
    text_seconds(&t, 1500000);
    text_lit(&t, " ");
    text_seconds(&t, 1);
    text_lit(&t, " ");
    text_seconds(&t, 0);
    text_lit(&t, " ");
    text_ms(&t, 12050);
    text_lit(&t, " ");
    text_ms(&t, UINT64_MAX);
    assert_text(t, "0 18446744073709551615 1.5 0.000001 0 12.05 18446744073709551.615");
}
END_TEST

START_TEST(text_escapes_json)
{
    struct text t = {0};

    text_json(&t, SLICE("a\"\\\n\x01\xff<\xc3\xa9>"));
    assert_text(t, "\"a\\\"\\\\\\n\\u0001\\u00ff<\xc3\xa9>\"");
}
END_TEST

START_TEST(text_grows)
{
    struct text t = {0};

    for (int i = 0; i < 100000; i++)
        text_format(&t, "%d,", i % 10);
    ck_assert_uint_eq(t.n, 200000);
    ck_assert(!t.failed);
    text_free(&t);
}
END_TEST

/* Who may ask */

static const char *refused(const char *peer, const char *host, const char *origin)
{
    static struct cidr clients[1];
    static char *hosts[] = {(char *)"carpool.lan"};
    struct config c = {.admin = {.clients = {clients, 1}, .hosts = {hosts, 1}}};
    struct guard_request r = {.is_local = *peer == '/'};

    ck_assert(cidr_parse(clients, SLICE("127.0.0.0/8")));
    if (!r.is_local)
        ck_assert(address_from_ip(&r.peer, slice_of(peer), 1));
    if (host)
        r.host = slice_of(host);
    if (origin)
        r.origin = slice_of(origin);
    return guard_refusal(&c, &r);
}

START_TEST(guard_checks_the_peer)
{
    ck_assert_ptr_null(refused("127.1.2.3", "127.0.0.1", NULL));
    ck_assert_ptr_nonnull(strstr(refused("10.0.0.1", "127.0.0.1", NULL), "admin.clients"));
    ck_assert_ptr_null(refused("/unix", "evil.example", NULL));
}
END_TEST

START_TEST(guard_checks_the_host)
{
    static const char *const own[] = {"127.0.0.1", "127.0.0.1:3129",     "[::1]:3129", "[::1]",
                                      "LocalHost", "localhost:99999999", "10.1.2.3",   "carpool.LAN:1"};
    static const char *const foreign[] = {
        "evil.example", "127.0.0.1.evil.example", "",           ":80",        "[::1",
        "[]",           "localhost:80a",          "localhost.", "127.0.0.1x", "a@localhost"};

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        ck_assert_msg(!refused("127.0.0.1", own[i], NULL), "%s", own[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        ck_assert_msg(refused("127.0.0.1", foreign[i], NULL) != NULL, "%s", foreign[i]);
}
END_TEST

START_TEST(guard_checks_the_origin)
{
    ck_assert_ptr_null(refused("127.0.0.1", "127.0.0.1:3129", "http://127.0.0.1:3129"));
    ck_assert_ptr_null(refused("127.0.0.1", "LOCALHOST", "http://localhost:80"));
    ck_assert_ptr_null(refused("127.0.0.1", "carpool.lan", "https://carpool.lan"));
    ck_assert_ptr_nonnull(refused("127.0.0.1", "127.0.0.1:3129", "null"));
    ck_assert_ptr_nonnull(refused("127.0.0.1", "127.0.0.1:3129", ""));
    ck_assert_ptr_nonnull(refused("127.0.0.1", "127.0.0.1:3129", "http://127.0.0.1:3128"));
    ck_assert_ptr_nonnull(refused("127.0.0.1", "127.0.0.1:3129", "http://evil.example"));
    ck_assert_ptr_nonnull(refused("127.0.0.1", "127.0.0.1:3129", "ftp://127.0.0.1:3129"));
    ck_assert_ptr_nonnull(refused("/unix", "localhost", "http://evil.example"));
}
END_TEST

/* Answers */

static struct admin_answer answered(struct fixture *f, enum admin_method method, const char *path)
{
    struct admin_answer answer;

    admin_answer(&f->daemon, f->diagnosis, method, slice_of(path), &answer);
    return answer;
}

static unsigned status_of(struct fixture *f, enum admin_method method, const char *path)
{
    struct admin_answer answer = answered(f, method, path);

    text_free(&answer.body);
    return answer.status;
}

static json_t *json_of(struct fixture *f, enum admin_method method, const char *path)
{
    struct admin_answer answer = answered(f, method, path);
    json_error_t error;
    json_t *json = json_loadb(answer.body.p, answer.body.n, 0, &error);

    ck_assert_msg(json != NULL, "%s: %s: %.*s", path, error.text, (int)answer.body.n, answer.body.p);
    text_free(&answer.body);
    return json;
}

START_TEST(routes_find_their_way)
{
    struct fixture f;

    fixture_make(&f);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/healthz"), 200);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/readyz"), 200);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/"), 200);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/metrics"), 200);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/version"), 200);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/listeners"), 200);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/agents/pay%6Dents"), 200);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/agents/nope"), 404);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/agents/"), 404);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/agents/payments/"), 404);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/agents/payments%"), 404);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/agents/payments%0"), 404);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/agents/payments%00"), 404);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/agents/a/b/drain"), 404);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "//healthz"), 404);
    ck_assert_uint_eq(status_of(&f, ADMIN_POST, "/agents/nope/drain"), 404);
    ck_assert_uint_eq(status_of(&f, ADMIN_POST, "/agents"), 405);
    ck_assert_uint_eq(status_of(&f, ADMIN_OTHER, "/agents"), 405);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/reload"), 405);
    f.stopping = true;
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/readyz"), 503);
    ck_assert_uint_eq(status_of(&f, ADMIN_GET, "/healthz"), 200);
    fixture_free(&f);
}
END_TEST

START_TEST(routes_get_changes_nothing)
{
    struct fixture f;
    struct admin_answer answer;

    fixture_make(&f);
    answer = answered(&f, ADMIN_GET, "/agents/payments/pause");
    ck_assert_uint_eq(answer.status, 405);
    ck_assert_str_eq(answer.allow, "POST");
    ck_assert(!f.agent.paused);
    text_free(&answer.body);
    ck_assert_uint_eq(status_of(&f, ADMIN_POST, "/agents/payments/pause"), 200);
    ck_assert(f.agent.paused);
    ck_assert_uint_eq(status_of(&f, ADMIN_POST, "/agents/payments/resume"), 200);
    ck_assert(!f.agent.paused);
    fixture_free(&f);
}
END_TEST

START_TEST(routes_reload_is_answered_later)
{
    struct fixture f;
    struct admin_answer answer;

    fixture_make(&f);
    answer = answered(&f, ADMIN_POST, "/reload");
    ck_assert_uint_eq(answer.waits_for, 1);
    ck_assert_uint_eq(answered(&f, ADMIN_POST, "/reload").waits_for, 2);
    f.last_reload = (struct reload_report){.ok = true, .warnings = "c.yaml:1:1: warning: one\nand another"};
    answer_reloaded(&f.daemon, &answer);
    ck_assert_uint_eq(answer.status, 200);
    assert_text(answer.body, "{\"ok\":true,\"file\":\"the built-in defaults\",\"warnings\":"
                             "[\"c.yaml:1:1: warning: one\",\"and another\"],\"restartNeeded\":[]}\n");
    answer = (struct admin_answer){0};
    f.last_reload = (struct reload_report){.error = "c.yaml:1:1: error: unknown key 'mach'"};
    answer_reloaded(&f.daemon, &answer);
    ck_assert_uint_eq(answer.status, 400);
    ck_assert_ptr_nonnull(memmem(answer.body.p, answer.body.n, "unknown key 'mach'", 18));
    text_free(&answer.body);
    fixture_free(&f);
}
END_TEST

START_TEST(agents_have_their_fields)
{
    struct fixture f;
    json_t *json, *agent, *row, *error;

    fixture_make(&f);
    f.origin.stats.requests = 10;
    f.origin.stats.retired[RETIRE_FREE_TIMEOUT] = 2;
    f.origin.stats.reused_errors[SOCKET_FAILED_RESET] = 1;
    f.agent.forgotten.requests = 5;
    for (int i = 0; i < 25; i++)
        f.agent.errors[f.agent.error_count++ % AGENT_RECENT_ERRORS].wall_ms = (uint64_t)i * 1000;
    json = json_of(&f, ADMIN_GET, "/agents");
    agent = json_array_get(json_object_get(json, "agents"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(agent, "name")), "payments");
    ck_assert_int_eq(json_integer_value(json_object_get(agent, "requestsTotal")), 15);
    ck_assert(json_is_null(json_object_get(agent, "maxTotalSockets")));
    row = json_array_get(json_object_get(agent, "origins"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(row, "requestsTotal")), 10);
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(row, "retiredTotal"), "free-timeout")), 2);
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(row, "reusedSocketErrors"), "ECONNRESET")), 1);
    row = json_array_get(json_object_get(agent, "origins"), 1);
    ck_assert_str_eq(json_string_value(json_object_get(row, "origin")), "*");
    ck_assert_int_eq(json_integer_value(json_object_get(row, "requestsTotal")), 5);
    ck_assert_uint_eq(json_array_size(json_object_get(agent, "recentErrors")), 20);
    error = json_array_get(json_object_get(agent, "recentErrors"), 19);
    ck_assert_str_eq(json_string_value(json_object_get(error, "time")), "1970-01-01T00:00:24.000Z");
    json_decref(json);
    fixture_free(&f);
}
END_TEST

/* Metrics */

START_TEST(metrics_escape_labels)
{
    struct text t = {0};

    metrics_label_value(&t, SLICE("a\"b\\c\nd\te"));
    assert_text(t, "\"a\\\"b\\\\c\\nd?e\"");
}
END_TEST

START_TEST(metrics_add_up)
{
    struct fixture f;
    struct admin_answer answer;

    fixture_make(&f);
    f.origin.exact = true;
    f.origin.stats.requests = f.origin.stats.first_uses = f.origin.stats.opened = 3;
    f.origin.stats.reused = 7;
    f.agent.forgotten.opened = 4;
    histogram_add(&f.origin.stats.request, 90);
    histogram_add(&f.origin.stats.request, 900);
    answer = answered(&f, ADMIN_GET, "/metrics");
    text_put(&answer.body, (struct slice){"", 1});
#define HAS(line) ck_assert_msg(strstr(answer.body.p, "\n" line "\n") != NULL, "%s\n%s", line, answer.body.p)
    HAS("carpool_agent_requests_total{agent=\"payments\",origin=\"http://p.test:80\",reused=\"false\"} 3");
    HAS("carpool_agent_requests_total{agent=\"payments\",origin=\"http://p.test:80\",reused=\"true\"} 7");
    HAS("carpool_agent_sockets_opened_total{agent=\"payments\",origin=\"*\"} 4");
    HAS("carpool_agent_request_seconds_bucket{agent=\"payments\",origin=\"http://p.test:80\","
        "le=\"0.0001\"} 1");
    HAS("carpool_agent_request_seconds_bucket{agent=\"payments\",origin=\"http://p.test:80\","
        "le=\"0.001\"} 2");
    HAS("carpool_agent_request_seconds_bucket{agent=\"payments\",origin=\"http://p.test:80\","
        "le=\"+Inf\"} 2");
    HAS("carpool_agent_request_seconds_sum{agent=\"payments\",origin=\"http://p.test:80\"} 0.00099");
    HAS("carpool_config_last_reload_success 1");
    HAS("# TYPE carpool_agent_request_seconds histogram");
#undef HAS
    text_free(&answer.body);
    fixture_free(&f);
}
END_TEST

/* The page */

START_TEST(page_allows_its_own_script_alone)
{
    char policy[PAGE_POLICY_SIZE];

    page_policy("<style>s</style><script>hello</script>", policy);
    ck_assert_ptr_nonnull(strstr(policy, "script-src 'sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ='"));
    page_policy("no script", policy);
    ck_assert_ptr_nonnull(strstr(policy, "script-src 'none'"));
    ck_assert_ptr_null(strstr(page_html, "http://"));
    ck_assert_ptr_null(strstr(page_html, "https://"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admin");

    unit_group(suite, "text", text_writes_numbers, text_escapes_json, text_grows);
    unit_group(suite, "guard", guard_checks_the_peer, guard_checks_the_host, guard_checks_the_origin);
    unit_group(suite, "routes", routes_find_their_way, routes_get_changes_nothing,
               routes_reload_is_answered_later, agents_have_their_fields);
    unit_group(suite, "metrics", metrics_escape_labels, metrics_add_up);
    unit_group(suite, "page", page_allows_its_own_script_alone);
    add_access_log_tests(suite);
    add_connections_tests(suite);
    add_limits_tests(suite);
    add_diagnosis_tests(suite);
    add_overview_tests(suite);
    add_advice_tests(suite);
    add_explanation_tests(suite);
    add_history_tests(suite);
    add_load_tests(suite);
    add_request_tests(suite);
    return unit_run(suite);
}
