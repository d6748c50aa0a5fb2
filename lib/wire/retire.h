#ifndef CARPOOL_WIRE_RETIRE_H
#define CARPOOL_WIRE_RETIRE_H

/* Every close of an upstream socket has one of these names: the same word in log, metrics, admin API and
 * documentation. */

/* X(id, word, what it means) */
#define RETIRE_LIST(X)                                                                                    \
    X(RETIRE_KEEPALIVE_OFF, "keepAlive-off", "keepAlive is false: one exchange a socket")                 \
    X(RETIRE_CONNECTION_CLOSE, "connection-close", "the origin asked for close, or speaks HTTP/1.0")      \
    X(RETIRE_CLOSE_DELIMITED, "close-delimited", "the end of the response was the end of the connection") \
    X(RETIRE_FREE_FULL, "free-full", "maxFreeSockets were free already")                                  \
    X(RETIRE_FREE_TIMEOUT, "free-timeout", "idle for timeouts.free")                                      \
    X(RETIRE_KEEPALIVE_HINT, "keepalive-hint", "the origin's Keep-Alive hint ran out")                    \
    X(RETIRE_MAX_REQUESTS, "max-requests", "carried maxRequestsPerSocket exchanges")                      \
    X(RETIRE_MAX_AGE, "max-age", "older than maxSocketAge")                                               \
    X(RETIRE_PEER_CLOSED, "peer-closed", "the origin closed it while it was free")                        \
    X(RETIRE_UNEXPECTED_DATA, "unexpected-data", "bytes came that no request had asked for")              \
    X(RETIRE_SOCKET_TIMEOUT, "socket-timeout", "no byte moved for timeouts.socket")                       \
    X(RETIRE_REQUEST_TIMEOUT, "request-timeout", "the exchange took longer than timeouts.request")        \
    X(RETIRE_CONNECT_FAILED, "connect-failed", "DNS, TCP or TLS failed")                                  \
    X(RETIRE_CONNECT_TIMEOUT, "connect-timeout", "not established within timeouts.connect")               \
    X(RETIRE_ERROR, "error", "a read or write failed, or it ended inside a message")                      \
    X(RETIRE_CLIENT_ABORTED, "client-aborted", "the client went away in the middle")                      \
    X(RETIRE_PROTOCOL_ERROR, "protocol-error", "the response was malformed")                              \
    X(RETIRE_EVICTED, "evicted", "its place (maxTotalSockets, descriptors) was needed elsewhere")         \
    X(RETIRE_DRAINED, "drained", "an operator drained the agent, or its configuration changed")           \
    X(RETIRE_UPGRADED, "upgraded", "it became a tunnel, which has ended")                                 \
    X(RETIRE_PRIVATE, "private", "NTLM or Negotiate bound it to one client, who left")                    \
    X(RETIRE_EARLY_RESPONSE, "early-response", "the response came before the request was sent whole")     \
    X(RETIRE_GOAWAY, "goaway", "HTTP/2: the origin said GOAWAY")                                          \
    X(RETIRE_PING_TIMEOUT, "ping-timeout", "HTTP/2: the origin did not answer a PING")                    \
    X(RETIRE_FLOOD, "flood", "HTTP/2: the origin sent frames of no use, and too many")                    \
    X(RETIRE_LEARNED, "learned-timeout", "idle for nearly as long as the origin was seen to allow")       \
    X(RETIRE_DEAD, "dead", "free, and its peer answered none of three keep-alive probes")                 \
    X(RETIRE_SHUTDOWN, "shutdown", "Carpool stops")

enum retire_reason {
    RETIRE_NONE, /* not retired: keep it */
#define X(id, word, help) id,
    RETIRE_LIST(X)
#undef X
        RETIRE_COUNT
};

/* The word of an enum retire_reason; "" for RETIRE_NONE. */
const char *retire_word(unsigned reason);

#endif
