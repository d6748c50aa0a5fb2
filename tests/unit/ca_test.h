#ifndef CARPOOL_TESTS_CA_TEST_H
#define CARPOOL_TESTS_CA_TEST_H

#include "ca/ca.h"
#include "unit.h"

/* A CA as it is read from files, with its key. */
struct ca *ca_for(const char *const *names, size_t count);

void ca_signer_tests(Suite *suite);

#endif
