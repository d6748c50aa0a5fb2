#ifndef CARPOOL_HTTP_OPENING_H
#define CARPOOL_HTTP_OPENING_H

/* What a client says first after a CONNECT: HTTP, TLS, or something else. Looks at each byte once it is there
 * and never waits for more than it needs. */

#include <stdbool.h>

#include "base/slice.h"

enum opening {
    OPENING_MORE, /* not known yet */
    /* A request line: a method of capitals but PRI, a space, and a path, a URL, OPTIONS's asterisk or
     * CONNECT's authority */
    OPENING_HTTP,
    OPENING_TLS,   /* a record with a ClientHello */
    OPENING_OTHER, /* neither */
};

enum opening opening_of(struct slice bytes);

/* The most of a ClientHello that is taken, with the heads of its records. */
#define HELLO_MAX (16 * 1024)

enum hello {
    HELLO_MORE,
    HELLO_WHOLE,     /* or nothing that a ClientHello could be: the TLS library will say so */
    HELLO_TOO_LARGE, /* it says so itself, or HELLO_MAX bytes are there */
};

/* Of what opening_of() called TLS: whether the whole ClientHello is there (RFC 8446 4, 5.1), which may span
 * records. */
enum hello hello_of(struct slice bytes);

#endif
