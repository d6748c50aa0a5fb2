#ifndef CARPOOL_PROXY_GATEWAY_H
#define CARPOOL_PROXY_GATEWAY_H

/* Who may ask an upstream's own listener on TCP: apps, not pages in a browser on this host. A page can
 * neither forge Host, by which DNS rebinding shows, nor leave out Origin or Sec-Fetch-Site where it asks
 * across sites. */

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "http/head.h"
#include "http/uri.h"

/* False, with a sentence in `text`, when it may not. `authority` is what the request was sent to: its
 * absolute target's, or else its Host field's; NULL where there is neither (HTTP/1.0). */
bool gateway_admits(const struct upstream *u, const struct head *h, const struct uri *authority, char *text,
                    size_t text_size);

#endif
