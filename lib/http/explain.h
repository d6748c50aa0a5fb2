#ifndef CARPOOL_HTTP_EXPLAIN_H
#define CARPOOL_HTTP_EXPLAIN_H

/* What is wrong with a message, in the words of its sender: which byte, where, what to write instead. One
 * sentence of printable ASCII without its full stop; of field values it says nothing but lengths and codings,
 * since they may be secret. Nothing here decides: the verdicts are head.h's, framing.h's and uri.h's. */

#include "http/framing.h"
#include "http/head.h"
#include "http/uri.h"

/* A sentence, with room for an excerpt. */
#define EXPLAIN_SIZE 420

/* `data` is what has come, from the first byte of the head on. */
void explain_request_head(struct slice data, enum head_verdict v, const struct head_limits *limits,
                          char out[EXPLAIN_SIZE]);
void explain_response_head(struct slice data, enum head_verdict v, const struct head_limits *limits,
                           char out[EXPLAIN_SIZE]);

void explain_framing(const struct head *h, enum framing_verdict v, char out[EXPLAIN_SIZE]);

/* A target, in any form. */
void explain_target(struct slice target, enum uri_verdict v, char out[EXPLAIN_SIZE]);

/* The value of a Host field that is malformed. */
void explain_host(struct slice value, char out[EXPLAIN_SIZE]);

#define EXPLAIN_QUOTED 328

/* The first bytes of `s`, escaped, in quotes where there is a space or an escape; "..." where it was cut.
 * Returns `out`. */
const char *explain_quote(struct slice s, char out[EXPLAIN_QUOTED]);

/* "a space", "\"{\"", "byte 0x01", "byte 0xfc, not ASCII,". Returns `out`. */
const char *explain_byte(char c, char out[32]);

#endif
