#ifndef CARPOOL_CMD_CTL_COUNTS_H
#define CARPOOL_CMD_CTL_COUNTS_H

/* Counts by a word, as the admin API writes them: {"first":3,"retry":1}. */

#include <jansson.h>
#include <stdint.h>

uint64_t counts_sum(const json_t *counts);

/* The word of the largest; NULL: there is none. */
const char *counts_largest(const json_t *counts);

#endif
