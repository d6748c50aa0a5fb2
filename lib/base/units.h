#ifndef CARPOOL_BASE_UNITS_H
#define CARPOOL_BASE_UNITS_H

/* Times, sizes and counts as people write them in the configuration. */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define COUNT_INFINITE UINT32_MAX

/* "250", "250ms", "5s", "2m", "1h", "off" -> milliseconds, off and 0 -> 0. False when it is none of these or does not fit. */
bool units_parse_time(struct slice text, uint64_t *ms);

/* "65536", "16KiB", "1MiB" -> bytes. */
bool units_parse_size(struct slice text, uint64_t *bytes);

/* "20" or "Infinity" -> COUNT_INFINITE. */
bool units_parse_count(struct slice text, uint32_t *count);

/* Room for any of the texts below. */
#define UNITS_TEXT_SIZE 32

/* The shortest text that reads back to the same; return `out`. */
const char *units_format_time(uint64_t ms, char out[UNITS_TEXT_SIZE]);
const char *units_format_size(uint64_t bytes, char out[UNITS_TEXT_SIZE]);
const char *units_format_count(uint32_t count, char out[UNITS_TEXT_SIZE]);

#endif
