#ifndef CARPOOL_TESTS_BASE_TEST_H
#define CARPOOL_TESTS_BASE_TEST_H

/* The parts of base_test that have a file of their own. */

#include <check.h>

void base_address_tests(Suite *suite);
void base_console_tests(Suite *suite);
void base_deadline_tests(Suite *suite);
void base_log_tests(Suite *suite);
void base_mailbox_tests(Suite *suite);
void base_time_tests(Suite *suite);

#endif
