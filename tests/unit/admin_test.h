#ifndef CARPOOL_TESTS_ADMIN_TEST_H
#define CARPOOL_TESTS_ADMIN_TEST_H

#include <check.h>

#include "admin/diagnosis.h"
#include "admin/server.h"

/* One agent with one origin, standing still. */
struct fixture {
    struct agent_policy policy;
    struct config config;
    struct pool pool;
    struct agent agent;
    struct origin origin;
    struct waiter waiting;
    struct proxy proxy;
    struct pool *pools[1];
    struct proxy *proxies[1];
    struct admin_daemon daemon;
    struct diagnosis *diagnosis;
    struct reload_report last_reload;
    uint64_t reloads;
    bool stopping;
};

void fixture_make(struct fixture *f);
/* As the pool forgets its origin. */
void fixture_forget(struct fixture *f);
void fixture_free(struct fixture *f);

void add_access_log_tests(Suite *suite);
void add_connections_tests(Suite *suite);
void add_limits_tests(Suite *suite);
void add_diagnosis_tests(Suite *suite);
void add_advice_tests(Suite *suite);
void add_explanation_tests(Suite *suite);
void add_history_tests(Suite *suite);
void add_load_tests(Suite *suite);
void add_overview_tests(Suite *suite);
void add_request_tests(Suite *suite);

#endif
