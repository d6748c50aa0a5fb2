#ifndef CARPOOL_PROXY_PUT_H
#define CARPOOL_PROXY_PUT_H

/* Writing into room that was made sure of before: each returns where to go on. */

#include <string.h>

#include "base/slice.h"
#include "http/fields.h"

static inline char *put(char *at, struct slice s)
{
    return s.n > 0 ? mempcpy(at, s.p, s.n) : at; /* an absent slice may point nowhere */
}

static inline char *put_field(char *at, struct slice name, struct slice value)
{
    at = put(at, name);
    at = put(at, SLICE(": "));
    at = put(at, value);
    return put(at, SLICE("\r\n"));
}

#endif
