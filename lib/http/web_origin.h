#ifndef CARPOOL_HTTP_WEB_ORIGIN_H
#define CARPOOL_HTTP_WEB_ORIGIN_H

/* The Origin field (RFC 6454 7): which page a browser asks for. */

#include <stdbool.h>

#include "base/slice.h"

/* Whether a page that was served by `host` (host [":" port], as in Host) sent this Origin. https counts too:
 * a TLS proxy of the operator's may stand in front. `null` is no one's own. */
bool web_origin_is_own(struct slice origin, struct slice host);

#endif
