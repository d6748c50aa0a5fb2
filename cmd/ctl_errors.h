#ifndef CARPOOL_CMD_CTL_ERRORS_H
#define CARPOOL_CMD_CTL_ERRORS_H

/* What went wrong lately. */

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Of these agents (a list as /agents has it): how often each error occurred, and the recent ones, like ones
 * together. "no errors" when there are none. */
void errors_print(const json_t *agents, FILE *out, bool colours);

#endif
