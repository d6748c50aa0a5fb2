#ifndef CARPOOL_HTTP_CROSSCHECK_H
#define CARPOOL_HTTP_CROSSCHECK_H

/* A second opinion on a head that parser.c has taken: http-parser must cut it into the same fields. */

#include <stdbool.h>

#include "base/slice.h"

struct head;

/* `lines` are the field lines of a request or trailer section with the empty line; `fields` in `h` point into
 * it. */
bool crosscheck_fields(struct slice lines, const struct head *h);

/* `data` is the whole head of a response. */
bool crosscheck_response(struct slice data, const struct head *h);

#endif
