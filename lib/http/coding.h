#ifndef CARPOOL_HTTP_CODING_H
#define CARPOOL_HTTP_CODING_H

/* Content codings (RFC 9110 8.4): whether a server compresses what it might. */

#include <stdbool.h>

#include "http/head.h"

/* The client would take gzip: named in Accept-Encoding, and not with a weight of 0. */
bool coding_accepts_gzip(const struct head *h);

/* The response is of a type that compresses well: text, JSON, XML, a script. */
bool coding_is_text(const struct head *h);

#endif
