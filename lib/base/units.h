#ifndef CARPOOL_BASE_UNITS_H
#define CARPOOL_BASE_UNITS_H

/* Times, sizes and counts as people write them in the configuration. */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define COUNT_INFINITE UINT32_MAX

/* "250", "250ms", "5s", "2m", "1h", "off" -> milliseconds, off and 0 -> 0. False when it is none of these or
 * does not fit: no sign, no space, no fraction, no other unit or case. */
bool units_parse_time(struct slice text, uint64_t *ms);

/* "65536", "16KiB", "1MiB" -> bytes. */
bool units_parse_size(struct slice text, uint64_t *bytes);

/* "20", or "Infinity" -> COUNT_INFINITE. 0 stays 0: what it means is the option's to say. */
bool units_parse_count(struct slice text, uint32_t *count);

/* Room for any of the texts below. */
#define UNITS_TEXT_SIZE 32

/* Texts that read back to the same, in the largest unit that leaves no rest ("90s", "250ms", "off"); return
 * `out`. */
const char *units_format_time(uint64_t ms, char out[UNITS_TEXT_SIZE]);
const char *units_format_size(uint64_t bytes, char out[UNITS_TEXT_SIZE]);
const char *units_format_count(uint32_t count, char out[UNITS_TEXT_SIZE]);

#endif
