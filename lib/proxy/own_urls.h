#ifndef CARPOOL_PROXY_OWN_URLS_H
#define CARPOOL_PROXY_OWN_URLS_H

/* rewriteScheme: what a response says of its own https origin, in the terms of an app that says http://.
 * Location, Content-Location and Refresh are rewritten where they name that origin, and cookies lose
 * Secure. */

#include <stdint.h>

#include "http/fields.h"

enum own_urls {
    OWN_URLS_KEPT,     /* as they came */
    OWN_URLS_HTTP,     /* http://host, with the port unless it is 443: then http's default leads there, too */
    OWN_URLS_HTTP_443, /* http://host:443, as the app wrote it itself */
    OWN_URLS_PATHS,    /* without scheme and host: the app asked a gateway */
} __attribute__((packed));

struct own_origin {
    enum own_urls urls;
    struct slice host; /* lower case, without brackets */
    uint16_t port;
};

/* So many bytes a field may become longer. */
#define OWN_URLS_LONGER 32

/* Writes the field's line; returns where to go on. */
char *own_urls_put(char *at, const struct field *f, const struct own_origin *own);

#endif
