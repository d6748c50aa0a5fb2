#ifndef CARPOOL_PROXY_REPLY_H
#define CARPOOL_PROXY_REPLY_H

/* What Carpool answers itself, a row each. */

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"

/* X(id, status, Proxy-Status error (RFC 9209), the client's connection is closed behind it) */
#define FAULT_LIST(X)                                                        \
    X(FAULT_BAD_REQUEST, 400, "http_request_error", 1)                       \
    X(FAULT_BAD_TARGET, 400, "http_request_error", 1)                        \
    X(FAULT_CLIENT_TOO_SLOW, 408, "http_request_error", 1)                   \
    X(FAULT_LINE_TOO_LONG, 414, "http_request_error", 1)                     \
    X(FAULT_HEAD_TOO_LARGE, 431, "http_request_error", 1)                    \
    X(FAULT_UNKNOWN_CODING, 501, "http_request_error", 1)                    \
    X(FAULT_VERSION, 505, "http_request_error", 1)                           \
    X(FAULT_LOOP, 502, "proxy_loop_detected", 1)                             \
    X(FAULT_DENIED, 403, "http_request_denied", 0)                           \
    X(FAULT_PROHIBITED, 502, "destination_ip_prohibited", 0)                 \
    X(FAULT_DNS, 502, "dns_error", 0)                                        \
    X(FAULT_DNS_TIMEOUT, 504, "dns_timeout", 0)                              \
    X(FAULT_REFUSED, 502, "connection_refused", 0)                           \
    X(FAULT_UNROUTABLE, 502, "destination_ip_unroutable", 0)                 \
    X(FAULT_CONNECT_TIMEOUT, 504, "connection_timeout", 0)                   \
    X(FAULT_TLS_PROTOCOL, 502, "tls_protocol_error", 0)                      \
    X(FAULT_TLS_CERTIFICATE, 502, "tls_certificate_error", 0)                \
    X(FAULT_TLS_ALERT, 502, "tls_alert_received", 0)                         \
    X(FAULT_TERMINATED, 502, "connection_terminated", 0)                     \
    X(FAULT_PROTOCOL, 502, "http_protocol_error", 0)                         \
    X(FAULT_RESPONSE_HEAD_SIZE, 502, "http_response_header_section_size", 0) \
    X(FAULT_READ_TIMEOUT, 504, "connection_read_timeout", 0)                 \
    X(FAULT_WRITE_TIMEOUT, 504, "connection_write_timeout", 0)               \
    X(FAULT_RESPONSE_TIMEOUT, 504, "http_response_timeout", 0)               \
    X(FAULT_LIMIT, 503, "connection_limit_reached", 0)                       \
    X(FAULT_TOO_MANY_CLIENTS, 503, "proxy_internal_response", 1)             \
    X(FAULT_NO_RESOURCES, 503, "proxy_internal_response", 0)                 \
    X(FAULT_INTERNAL, 500, "proxy_internal_error", 1)

enum fault {
    FAULT_NONE,
#define X(id, status, error, closes) id,
    FAULT_LIST(X)
#undef X
        FAULT_COUNT
};

unsigned fault_status(enum fault f);
const char *fault_error(enum fault f);
bool fault_closes(enum fault f);

struct reply {
    enum fault fault;      /* FAULT_NONE: status and no Proxy-Status */
    unsigned status;       /* with FAULT_NONE */
    struct slice instance; /* this Carpool's own name */
    struct slice text;     /* one line, without its end */
    struct slice fields;   /* further field lines with their ends, or empty */
    bool to_http_1_0;
    bool close;      /* says Connection: close */
    bool keep_alive; /* says Connection: keep-alive, to an HTTP/1.0 client that asked */
    bool head_only;  /* the answer to HEAD */
};

/* Writes the whole response into an empty buffer; false when it does not fit. */
bool reply_write(struct buffer *out, const struct reply *r);

#endif
