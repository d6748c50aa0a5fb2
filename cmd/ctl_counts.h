#ifndef CARPOOL_CMD_CTL_COUNTS_H
#define CARPOOL_CMD_CTL_COUNTS_H

/* Counts as the admin API writes them, and those by a word: {"first":3,"retry":1}. */

#include <jansson.h>
#include <stdint.h>

/* The one of this key; 0: there is none. */
uint64_t counts_get(const json_t *o, const char *key);

uint64_t counts_sum(const json_t *counts);

/* The word of the largest; NULL: there is none. */
const char *counts_largest(const json_t *counts);

#endif
