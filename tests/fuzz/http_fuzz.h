#ifndef CARPOOL_TESTS_FUZZ_HTTP_FUZZ_H
#define CARPOOL_TESTS_FUZZ_HTTP_FUZZ_H

/* What the targets of lib/http share. What must hold is asserted. */

#include "fuzz.h"
#include "http/head.h"

/* What holds of every head that was taken: its bytes are legal, its slices stand in the message, in order,
 * and writing it anew and reading that gives the same. */
void fuzz_check_head(const struct head *h, struct slice message);

/* Whether a Connection field names this option: connection_has(), said anew. */
bool fuzz_connection_names(const struct head *h, struct slice name);

/* The same reading in one piece, byte by byte, in steps, and cut at line ends. */
void fuzz_check_connection(const uint8_t *data, size_t size, bool requests);

#endif
