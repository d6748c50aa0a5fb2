#ifndef CARPOOL_TESTS_WIRE_TEST_H
#define CARPOOL_TESTS_WIRE_TEST_H

#include "wire_h2_rig.h"

void add_h1(Suite *suite);
void add_h1_low_water(Suite *suite);
void add_h1_turns(Suite *suite);
void add_h1_requests(Suite *suite);
void add_h2_translation(Suite *suite);
void add_h2_strictness(Suite *suite);
void add_h2_ends(Suite *suite);
void add_h2_flow(Suite *suite);
void add_h2_trouble(Suite *suite);
void add_h2_memory(Suite *suite);

#endif
