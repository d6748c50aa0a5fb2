#ifndef CARPOOL_POOL_STATS_H
#define CARPOOL_POOL_STATS_H

/* What an origin has seen in its life. Counters only grow; a forgotten origin's are added to its agent's
 * row "*". */

#include <stdbool.h>
#include <stdint.h>

#include "pool/retire.h"

/* Upper bounds in microseconds of the buckets of every histogram; the last bucket is +Inf. */
#define HISTOGRAM_BOUNDS                                                                                \
    {                                                                                                   \
        100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, \
            5000000, 10000000                                                                           \
    }
#define HISTOGRAM_BUCKETS 17

struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS]; /* not cumulative */
    uint64_t sum_us;
};

void histogram_add(struct histogram *h, uint64_t us);
uint64_t histogram_count(const struct histogram *h);

/* How a reused socket failed: X(id, code). */
#define SOCKET_FAILURE_LIST(X)           \
    X(SOCKET_FAILED_EOF, "EOF")          \
    X(SOCKET_FAILED_RESET, "ECONNRESET") \
    X(SOCKET_FAILED_PIPE, "EPIPE")       \
    X(SOCKET_FAILED_OTHER, "EIO")

enum socket_failure {
#define X(id, code) id,
    SOCKET_FAILURE_LIST(X)
#undef X
        SOCKET_FAILURE_COUNT
};

const char *socket_failure_code(enum socket_failure f);

struct origin_stats {
    uint64_t requests;   /* requests, not attempts */
    uint64_t first_uses; /* sockets given that had carried nothing */
    uint64_t reused;     /* sockets given that had carried an exchange */
    uint64_t opened;     /* established sockets */
    uint64_t retries;
    uint64_t handshakes_full, handshakes_resumed; /* TLS */
    uint64_t retired[RETIRE_COUNT];
    uint64_t peer_closed_idle_ms; /* how long those of retired[RETIRE_PEER_CLOSED] had been idle, summed */
    uint64_t reused_errors[SOCKET_FAILURE_COUNT];
    struct histogram pending, connect, request;
};

/* Nothing was asked, opened or closed yet. */
bool origin_stats_is_empty(const struct origin_stats *s);

void origin_stats_add(struct origin_stats *to, const struct origin_stats *from);

#endif
