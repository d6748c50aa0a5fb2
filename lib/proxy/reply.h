#ifndef CARPOOL_PROXY_REPLY_H
#define CARPOOL_PROXY_REPLY_H

/* What Carpool answers itself, a row each. */

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "http/proxy_error.h"

/* X(id, status, Proxy-Status error (RFC 9209), the client's connection is closed after it) */
#define FAULT_LIST(X)                                                   \
    X(FAULT_BAD_REQUEST, 400, PROXY_ERROR_REQUEST, 1)                   \
    X(FAULT_BAD_TARGET, 400, PROXY_ERROR_REQUEST, 1)                    \
    X(FAULT_CLIENT_TOO_SLOW, 408, PROXY_ERROR_REQUEST, 1)               \
    X(FAULT_MISDIRECTED, 421, PROXY_ERROR_REQUEST, 1)                   \
    X(FAULT_LINE_TOO_LONG, 414, PROXY_ERROR_REQUEST, 1)                 \
    X(FAULT_HEAD_TOO_LARGE, 431, PROXY_ERROR_REQUEST, 1)                \
    X(FAULT_UNKNOWN_CODING, 501, PROXY_ERROR_REQUEST, 1)                \
    X(FAULT_VERSION, 505, PROXY_ERROR_REQUEST, 1)                       \
    X(FAULT_LOOP, 502, PROXY_ERROR_LOOP, 1)                             \
    X(FAULT_DENIED, 403, PROXY_ERROR_DENIED, 0)                         \
    X(FAULT_PROHIBITED, 502, PROXY_ERROR_PROHIBITED, 0)                 \
    X(FAULT_DNS, 502, PROXY_ERROR_DNS, 0)                               \
    X(FAULT_DNS_TIMEOUT, 504, PROXY_ERROR_DNS_TIMEOUT, 0)               \
    X(FAULT_REFUSED, 502, PROXY_ERROR_REFUSED, 0)                       \
    X(FAULT_UNROUTABLE, 502, PROXY_ERROR_UNROUTABLE, 0)                 \
    X(FAULT_CONNECT_TIMEOUT, 504, PROXY_ERROR_CONNECT_TIMEOUT, 0)       \
    X(FAULT_DEAD_PATH, 504, PROXY_ERROR_CONNECT_TIMEOUT, 0)             \
    X(FAULT_TLS_PROTOCOL, 502, PROXY_ERROR_TLS_PROTOCOL, 0)             \
    X(FAULT_TLS_CERTIFICATE, 502, PROXY_ERROR_TLS_CERTIFICATE, 0)       \
    X(FAULT_TLS_ALERT, 502, PROXY_ERROR_TLS_ALERT, 0)                   \
    X(FAULT_TERMINATED, 502, PROXY_ERROR_TERMINATED, 0)                 \
    X(FAULT_PARENT, 502, PROXY_ERROR_INTERNAL, 0)                       \
    X(FAULT_PROTOCOL, 502, PROXY_ERROR_PROTOCOL, 0)                     \
    X(FAULT_INCOMPLETE, 502, PROXY_ERROR_INCOMPLETE, 0)                 \
    X(FAULT_UNAVAILABLE, 503, PROXY_ERROR_UNAVAILABLE, 0)               \
    X(FAULT_RESPONSE_HEAD_SIZE, 502, PROXY_ERROR_RESPONSE_HEAD_SIZE, 0) \
    X(FAULT_READ_TIMEOUT, 504, PROXY_ERROR_READ_TIMEOUT, 0)             \
    X(FAULT_WRITE_TIMEOUT, 504, PROXY_ERROR_WRITE_TIMEOUT, 0)           \
    X(FAULT_RESPONSE_TIMEOUT, 504, PROXY_ERROR_RESPONSE_TIMEOUT, 0)     \
    X(FAULT_NO_PLACE, 503, PROXY_ERROR_LIMIT, 0)                        \
    X(FAULT_TOO_MANY_CLIENTS, 503, PROXY_ERROR_INTERNAL_RESPONSE, 1)    \
    X(FAULT_NO_RESOURCES, 503, PROXY_ERROR_INTERNAL_RESPONSE, 0)        \
    X(FAULT_INTERNAL, 500, PROXY_ERROR_INTERNAL, 1)

enum fault {
    FAULT_NONE,
#define X(id, status, error, closes) id,
    FAULT_LIST(X)
#undef X
        FAULT_COUNT
} __attribute__((packed));

unsigned fault_status(enum fault f);
enum proxy_error fault_proxy_error(enum fault f); /* f is not FAULT_NONE */
const char *fault_error(enum fault f);            /* its word */
bool fault_closes(enum fault f);

struct reply {
    enum fault fault;            /* FAULT_NONE: no failure, see the next two */
    unsigned status;             /* with FAULT_NONE */
    struct slice details;        /* with FAULT_NONE: why Carpool answers itself, for Proxy-Status */
    struct slice instance;       /* this Carpool's own name */
    bool next_is_h2;             /* the connection to the origin that failed speaks HTTP/2 */
    struct slice text;           /* one line, without its end; where `type` is given, the content as it is */
    struct slice type;           /* empty: plain text */
    struct slice fields;         /* further field lines with their ends, or empty */
    struct slice date;           /* empty: without one */
    bool close;                  /* says Connection: close, else keep-alive */
    unsigned keep_alive_seconds; /* advertised; 0: not */
    bool head_only;              /* the answer to HEAD */
};

/* Bytes of content. */
size_t reply_length(const struct reply *r);

/* Writes the whole response into an empty buffer, which is exchanged for a larger one where it has to be;
 * false when memory is short, and the buffer is still the caller's. */
bool reply_write(struct buffer **out, const struct reply *r);

#endif
