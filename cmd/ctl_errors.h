#ifndef CARPOOL_CMD_CTL_ERRORS_H
#define CARPOOL_CMD_CTL_ERRORS_H

/* What went wrong lately. */

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Of these agents (a list as /agents has it): how often each error occurred, and the recent ones, like ones
 * together; where there is one agent, perhaps without its name. "no errors" when there are none. */
void errors_print(const json_t *agents, bool with_agent, FILE *out, bool colours);

#endif
