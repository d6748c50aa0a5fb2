#ifndef CARPOOL_PROXY_CLOSE_REASON_H
#define CARPOOL_PROXY_CLOSE_REASON_H

/* Every close of a client connection has one of these names: the same word in log, metrics and
 * documentation. */

/* X(id, word, what it means) */
#define CLIENT_CLOSE_LIST(X)                                                                            \
    X(CLIENT_CLOSED, "client", "the client closed or reset it")                                         \
    X(CLIENT_CONNECTION_CLOSE, "connection-close", "asked for, HTTP/1.0, no length, or answered early") \
    X(CLIENT_KEEPALIVE_TIMEOUT, "keepAliveTimeout", "idle for server.keepAliveTimeout and its buffer")  \
    X(CLIENT_HEADERS_TIMEOUT, "headersTimeout", "a head took longer than server.headersTimeout")        \
    X(CLIENT_REQUEST_TIMEOUT, "requestTimeout", "a request took longer than server.requestTimeout")     \
    X(CLIENT_TIMEOUT, "timeout", "ran into server.timeout (tunnel: timeouts.tunnel)")                   \
    X(CLIENT_MAX_REQUESTS, "maxRequestsPerSocket", "it made server.maxRequestsPerSocket requests")      \
    X(CLIENT_MAX_CONNECTIONS, "maxConnections", "server.maxConnections were open already")              \
    X(CLIENT_BAD_REQUEST, "bad-request", "malformed or refused; a CONNECT or TLS that failed")          \
    X(CLIENT_CUT, "cut", "its response could not be completed")                                         \
    X(CLIENT_SHUTDOWN, "shutdown", "Carpool stops")

enum client_close {
    CLIENT_KEPT, /* not closed: on to the next request */
#define X(id, word, help) id,
    CLIENT_CLOSE_LIST(X)
#undef X
        CLIENT_CLOSE_COUNT
} __attribute__((packed));

const char *client_close_word(enum client_close c);

#endif
