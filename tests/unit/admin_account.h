#ifndef CARPOOL_TESTS_ADMIN_ACCOUNT_H
#define CARPOOL_TESTS_ADMIN_ACCOUNT_H

/* The account of one origin, of which a test says what its rule looks at. */

#include "admin/account.h"

extern struct agent_policy policy;
extern struct account account;

/* An origin of the agent payments, with nothing but the defaults. */
void account_begin(void);

/* So many connections of the last hour, for this. */
void account_open(enum opened_for why, uint32_t n);

#endif
