#ifndef CARPOOL_TESTS_DAEMON_TEST_H
#define CARPOOL_TESTS_DAEMON_TEST_H

#include <check.h>

void daemon_cpus_tests(Suite *suite);

#endif
