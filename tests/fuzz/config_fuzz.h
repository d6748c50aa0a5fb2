#ifndef CARPOOL_TESTS_FUZZ_CONFIG_FUZZ_H
#define CARPOOL_TESTS_FUZZ_CONFIG_FUZZ_H

/* What the targets of lib/config share. */

#include "config/config.h"
#include "fuzz.h"

/* The upstream of a host and port, found by the words of carpool.yaml(5), without an index. `host` is in the
 * spelling that patterns have. */
const struct upstream *fuzz_match_naively(const struct config *c, const char *host, uint16_t port);

/* match_find() and match_names_exactly() against the former, with and without a dot at the host's end. */
void fuzz_check_match(const struct config *c, const char *host, uint16_t port);

#endif
