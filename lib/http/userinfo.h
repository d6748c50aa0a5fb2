#ifndef CARPOOL_HTTP_USERINFO_H
#define CARPOOL_HTTP_USERINFO_H

/* The "user:password" of a URL, which no log and no message shows. */

#include "base/slice.h"

/* Copies a target, or a line with one, however malformed, to `out`, cut at `size`, with *** for what stands
 * before the @ of its authority. Returns the length. */
size_t userinfo_mask(struct slice text, char *out, size_t size);

#endif
