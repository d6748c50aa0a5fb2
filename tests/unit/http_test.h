#ifndef CARPOOL_TESTS_HTTP_TEST_H
#define CARPOOL_TESTS_HTTP_TEST_H

/* The parts of http_test that have a file of their own, and what they share. */

#include <check.h>

#include "http/head.h"

void http_body_tests(Suite *suite);
void http_corpus_tests(Suite *suite);
void http_explain_tests(Suite *suite);
void http_fields_tests(Suite *suite);
void http_opening_tests(Suite *suite);
void http_repair_tests(Suite *suite);
void http_scan_tests(Suite *suite);
void http_uri_tests(Suite *suite);

/* Heads that must be well-formed; the result stands in one static struct. */
struct head *request_head(struct slice bytes);
struct head *response_head(struct slice bytes);

/* The same, of a head that consists of its first line and these field lines: "Host: a\r\nVia: b\r\n". */
struct head *request_with(const char *fields);
struct head *response_with(const char *fields);

#endif
