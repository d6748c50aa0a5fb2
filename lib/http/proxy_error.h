#ifndef CARPOOL_HTTP_PROXY_ERROR_H
#define CARPOOL_HTTP_PROXY_ERROR_H

/* What went wrong with an exchange, in the words of Proxy-Status (RFC 9209 2.3): in responses, logs, metrics
 * and /agents alike. X(id, word) */
#define PROXY_ERROR_LIST(X)                                                \
    X(PROXY_ERROR_REQUEST, "http_request_error")                           \
    X(PROXY_ERROR_DENIED, "http_request_denied")                           \
    X(PROXY_ERROR_LOOP, "proxy_loop_detected")                             \
    X(PROXY_ERROR_PROHIBITED, "destination_ip_prohibited")                 \
    X(PROXY_ERROR_UNROUTABLE, "destination_ip_unroutable")                 \
    X(PROXY_ERROR_DNS, "dns_error")                                        \
    X(PROXY_ERROR_DNS_TIMEOUT, "dns_timeout")                              \
    X(PROXY_ERROR_REFUSED, "connection_refused")                           \
    X(PROXY_ERROR_CONNECT_TIMEOUT, "connection_timeout")                   \
    X(PROXY_ERROR_TERMINATED, "connection_terminated")                     \
    X(PROXY_ERROR_READ_TIMEOUT, "connection_read_timeout")                 \
    X(PROXY_ERROR_WRITE_TIMEOUT, "connection_write_timeout")               \
    X(PROXY_ERROR_LIMIT, "connection_limit_reached")                       \
    X(PROXY_ERROR_TLS_PROTOCOL, "tls_protocol_error")                      \
    X(PROXY_ERROR_TLS_CERTIFICATE, "tls_certificate_error")                \
    X(PROXY_ERROR_TLS_ALERT, "tls_alert_received")                         \
    X(PROXY_ERROR_PROTOCOL, "http_protocol_error")                         \
    X(PROXY_ERROR_INCOMPLETE, "http_response_incomplete")                  \
    X(PROXY_ERROR_UNAVAILABLE, "destination_unavailable")                  \
    X(PROXY_ERROR_RESPONSE_HEAD_SIZE, "http_response_header_section_size") \
    X(PROXY_ERROR_RESPONSE_TIMEOUT, "http_response_timeout")               \
    X(PROXY_ERROR_INTERNAL_RESPONSE, "proxy_internal_response")            \
    X(PROXY_ERROR_INTERNAL, "proxy_internal_error")

enum proxy_error {
#define X(id, word) id,
    PROXY_ERROR_LIST(X)
#undef X
        PROXY_ERROR_COUNT
};

/* The word of an enum proxy_error. */
const char *proxy_error_word(unsigned error);

#endif
