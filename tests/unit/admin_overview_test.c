/* The overview that carpoolctl shows first. */

#include "admin_test.h"

#include "admin/overview.h"
#include "unit.h"

static const char *overview(struct fixture *f)
{
    static char out[1024];
    struct text t = {0};

    overview_write(&t, &f->daemon, diagnosis_traffic(f->diagnosis));
    snprintf(out, sizeof out, "%.*s", (int)t.n, t.p);
    text_free(&t);
    return out;
}

#define overview_says(f, part) ck_assert_msg(strstr(overview(f), part) != NULL, "%s in %s", part, overview(f))

START_TEST(overview_knows_what_is_wrong)
{
    struct fixture f;

    fixture_make(&f);
    f.config.server.maxConnections = 100;
    f.config.path = (char *)"c.yaml";
    diagnosis_sample(f.diagnosis);
    overview_says(
        &f, "\"reloads\":0,\"reload\":{\"ok\":true,\"time\":\"1970-01-01T00:00:00.000Z\",\"error\":null}");
    overview_says(&f, "\"restartNeeded\":[],\"saved\":{\"connections\":0,\"connectMs\":0},\"diagnosis\":[]}");
    f.proxy.stats.clients_refused = 7;
    f.last_reload =
        (struct reload_report){.number = 3, .error = "c.yaml:1:1: error: unknown key 'mach'\nand more"};
    diagnosis_sample(f.diagnosis);
    overview_says(&f, "\"clientsRefused\":7,\"reloads\":3,\"reload\":{\"ok\":false,");
    overview_says(&f, "[\"the last reload failed, so the previous configuration stays in force: "
                      "c.yaml:1:1: error: unknown key 'mach', and 1 more: carpoold -t -c c.yaml\",");
    overview_says(&f, "\"error\":\"c.yaml:1:1: error: unknown key 'mach'\\nand more\"}");
    overview_says(
        &f,
        "\"7 clients were refused in the last two minutes, when as many were connected as "
        "server.maxConnections allowed (it is 100 now): look for clients that do not close, or raise it\"]");
    for (unsigned i = 1; i < TRAFFIC_SAMPLES; i++)
        diagnosis_sample(f.diagnosis);
    ck_assert_ptr_null(strstr(overview(&f), "were refused in"));
    f.stopping = true;
    f.config.shutdownTimeout = 30000;
    overview_says(
        &f, "\"diagnosis\":[\"carpoold is stopping: it takes no new connections, and requests under way "
            "finish (shutdownTimeout: 30s)\",\"the last reload");
    f.config.shutdownDelay = 5000;
    overview_says(&f, "stopping: after shutdownDelay (5s) it takes no new connections, and requests");
    f.stopping = false;
    f.config.restart_needed = (struct text_list){(char *[]){(char *)"workers", (char *)"name"}, 2};
    overview_says(&f, "\"restartNeeded\":[\"workers\",\"name\"]");
    overview_says(&f, ",\"restart carpoold to apply the new values of workers, name\"]");
    fixture_free(&f);
}
END_TEST

/* What an origin opened in vain is taken off, and what a reload removed is not taken back. */
START_TEST(savings_are_those_since_the_start)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){.first_uses = 1, .reused = 9, .opened = 1};
    overview_says(&f, "\"saved\":{\"connections\":9,\"connectMs\":0}");
    f.agent.forgotten_savings = (struct savings){-4, 0};
    overview_says(&f, "\"saved\":{\"connections\":5,\"connectMs\":0}");
    f.pool.removed_savings = (struct savings){20, 7000};
    overview_says(&f, "\"saved\":{\"connections\":25,\"connectMs\":7}");
    f.agent.forgotten_savings.connections = -50;
    overview_says(&f, "\"saved\":{\"connections\":0,\"connectMs\":0}");
    fixture_free(&f);
}
END_TEST

START_TEST(traffic_is_that_of_the_last_ten_seconds)
{
    struct traffic_sample now;
    struct traffic_figures said;
    struct traffic t;
    struct fixture f;

    fixture_make(&f);
    traffic_begin(&t);
    t.samples[0].ms = 0;
    for (unsigned i = 0; i < 30; i++) {
        if (i >= 20) {
            f.origin.stats.requests += 5;
            f.origin.stats.errors[PROXY_ERROR_DNS] += 2;
            f.origin.stats.errors[PROXY_ERROR_LIMIT]++;
        }
        traffic_take(&t, &f.daemon);
        t.samples[(t.count - 1) % TRAFFIC_SAMPLES].ms = 1000 * (i + 1);
    }
    traffic_gather(&f.daemon, &now);
    now.ms = 31000;
    traffic_figures(&t, &now, &said);
    ck_assert(said.rates.requests_per_second == 4.5);
    ck_assert(said.rates.errors_per_second == 2.7);
    ck_assert(said.rates.refused_per_second == 0.9);
    ck_assert_uint_eq(said.failed, 20);
    fixture_free(&f);
}
END_TEST

static void took(struct traffic *t, const struct fixture *f, struct traffic_figures *out)
{
    struct traffic_sample now;

    traffic_gather(&f->daemon, &now);
    now.ms = t->samples[0].ms + 10000;
    traffic_figures(t, &now, out);
}

/* A reload removes an agent; its last connection closes; and it is freed. */
START_TEST(traffic_of_removed_agents_stays)
{
    struct agent other = {.forgotten = {.requests = 40, .errors = {[PROXY_ERROR_PROTOCOL] = 4}}};
    struct traffic_figures said;
    struct traffic t;
    struct fixture f;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){.requests = 60, .errors = {[PROXY_ERROR_DNS] = 10}};
    traffic_begin(&t);
    traffic_take(&t, &f.daemon);
    TAILQ_REMOVE(&f.pool.agents, &f.agent, link);
    TAILQ_INSERT_TAIL(&f.pool.removed, &f.agent, link);
    TAILQ_INSERT_TAIL(&f.pool.agents, &other, link);
    took(&t, &f, &said);
    ck_assert(said.rates.requests_per_second == 10 && said.rates.errors_per_second == 1.4);
    TAILQ_REMOVE(&f.pool.removed, &f.agent, link);
    f.pool.removed_stats = f.origin.stats;
    took(&t, &f, &said);
    ck_assert(said.rates.requests_per_second == 10 && said.rates.errors_per_second == 1.4);
    ck_assert_uint_eq(said.failed, 14);
    fixture_free(&f);
}
END_TEST

/* The first request counts before the first second is over, and for no more than it is. */
START_TEST(traffic_counts_up_to_now)
{
    struct traffic_figures said;
    struct traffic_sample now;
    struct traffic t;
    struct fixture f;

    fixture_make(&f);
    traffic_begin(&t);
    f.origin.stats.requests = 3;
    traffic_gather(&f.daemon, &now);
    now.ms = t.samples[0].ms + 200;
    traffic_figures(&t, &now, &said);
    ck_assert(said.rates.requests_per_second == 3);
    now.ms = t.samples[0].ms + 1500;
    traffic_figures(&t, &now, &said);
    ck_assert(said.rates.requests_per_second == 2);
    fixture_free(&f);
}
END_TEST

START_TEST(each_origin_has_its_verdict)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats = (struct origin_stats){.requests = 60,
                                           .errors = {[PROXY_ERROR_LIMIT] = 15, [PROXY_ERROR_PROTOCOL] = 40}};
    diagnosis_sample(f.diagnosis);
    ck_assert_uint_eq(diagnosis_of_origin(f.diagnosis, &f.origin).problems, 2);
    ck_assert_uint_eq(diagnosis_of_origin(f.diagnosis, &f.origin).failed, 55);
    ck_assert_uint_eq(diagnosis_failed(f.diagnosis, &f.agent), 55);
    f.agent.forgotten = (struct origin_stats){.requests = 4, .errors = {[PROXY_ERROR_DNS] = 4}};
    ck_assert_uint_eq(diagnosis_of_forgotten(f.diagnosis, &f.agent).problems, 1);
    ck_assert_uint_eq(diagnosis_failed(f.diagnosis, &f.agent), 59);
    diagnosis_end_window(f.diagnosis);
    diagnosis_end_window(f.diagnosis);
    ck_assert_uint_eq(diagnosis_failed(f.diagnosis, &f.agent), 0);
    fixture_free(&f);
}
END_TEST

static bool adds_up(const struct fixture *f, double requests, double errors, double refused)
{
    struct traffic_rates agent = diagnosis_rates_of_agent(f->diagnosis, &f->agent);
    struct traffic_rates origin = diagnosis_rates_of_origin(f->diagnosis, &f->origin);
    struct traffic_rates forgotten = diagnosis_rates_of_forgotten(f->diagnosis, &f->agent);
    struct traffic_sample now;
    struct traffic_figures all;

    traffic_gather(&f->daemon, &now);
    traffic_figures(diagnosis_traffic(f->diagnosis), &now, &all);
    return agent.requests_per_second == requests && agent.errors_per_second == errors &&
           agent.refused_per_second == refused && all.rates.requests_per_second == requests &&
           all.rates.errors_per_second == errors && all.rates.refused_per_second == refused &&
           origin.requests_per_second + forgotten.requests_per_second == requests;
}

/* Of rows, the rates are those of the same time: they add up to those of the daemon. */
START_TEST(rates_of_rows_add_up)
{
    struct fixture f;

    fixture_make(&f);
    for (unsigned i = 0; i < 25; i++)
        diagnosis_sample(f.diagnosis);
    f.origin.stats =
        (struct origin_stats){.requests = 60, .errors = {[PROXY_ERROR_LIMIT] = 3, [PROXY_ERROR_DNS] = 4}};
    ck_assert(adds_up(&f, 60, 7, 3));
    for (unsigned i = 0; i < TRAFFIC_LATELY - 1; i++)
        diagnosis_sample(f.diagnosis);
    f.agent.forgotten = (struct origin_stats){.requests = 4, .errors = {[PROXY_ERROR_DNS] = 4}};
    diagnosis_look(f.diagnosis);
    ck_assert(adds_up(&f, 64, 11, 3));
    diagnosis_sample(f.diagnosis);
    ck_assert(adds_up(&f, 4, 4, 0));
    for (unsigned i = 0; i < TRAFFIC_LATELY; i++)
        diagnosis_sample(f.diagnosis);
    ck_assert(adds_up(&f, 0, 0, 0));
    f.agent.removed = true;
    f.origin.stats.requests += 9;
    ck_assert(diagnosis_rates_of_agent(f.diagnosis, &f.agent).requests_per_second == 0);
    fixture_free(&f);
}
END_TEST

/* What an origin had counted before it is forgotten did not happen just then. */
START_TEST(rates_of_what_is_forgotten)
{
    struct fixture f;

    fixture_make(&f);
    f.origin.stats.requests = 800;
    for (unsigned i = 0; i < 25; i++)
        diagnosis_sample(f.diagnosis);
    f.origin.stats.requests = 802;
    HASH_DEL(f.agent.origins, &f.origin);
    f.agent.forgotten = f.origin.stats;
    diagnosis_look(f.diagnosis);
    ck_assert(diagnosis_rates_of_forgotten(f.diagnosis, &f.agent).requests_per_second == 2);
    ck_assert(diagnosis_rates_of_agent(f.diagnosis, &f.agent).requests_per_second == 2);
    f.agent.origins = NULL;
    fixture_free(&f);
}
END_TEST

void add_overview_tests(Suite *suite)
{
    unit_group(suite, "overview", overview_knows_what_is_wrong, savings_are_those_since_the_start,
               traffic_is_that_of_the_last_ten_seconds, traffic_counts_up_to_now,
               traffic_of_removed_agents_stays, each_origin_has_its_verdict, rates_of_rows_add_up,
               rates_of_what_is_forgotten);
}
