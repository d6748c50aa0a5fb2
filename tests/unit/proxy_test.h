#ifndef CARPOOL_TESTS_PROXY_TEST_H
#define CARPOOL_TESTS_PROXY_TEST_H

#include "proxy_rig.h"
#include "unit.h"

/* Reads a head from text; fails the test when it is none. The slices point into the text. */
void read_request(struct head *h, const char *text);
void read_response(struct head *h, const char *text);

void proxy_fate_tests(Suite *suite);
void proxy_access_tests(Suite *suite);
void proxy_caller_tests(Suite *suite);
void proxy_own_urls_tests(Suite *suite);
void proxy_splice_tests(Suite *suite);
void proxy_route_tests(Suite *suite);
void proxy_exchange_tests(Suite *suite);
void proxy_trouble_tests(Suite *suite);
void proxy_memory_tests(Suite *suite);
void proxy_blocked_tests(Suite *suite);
void proxy_low_water_tests(Suite *suite);
void proxy_gone_tests(Suite *suite);
void proxy_stale_tests(Suite *suite);
void proxy_private_tests(Suite *suite);
void proxy_reload_tests(Suite *suite);
void proxy_secure_tests(Suite *suite);
void proxy_beside_tests(Suite *suite);
void proxy_tunnel_tests(Suite *suite);

#endif
