#ifndef CARPOOL_POOL_STATS_H
#define CARPOOL_POOL_STATS_H

/* What an origin has seen in its life. Counters only grow; a forgotten origin's are added to its agent's
 * row "*". */

#include <stdbool.h>
#include <stdint.h>

#include "http/proxy_error.h"
#include "http/repair.h"
#include "pool/ledger.h"
#include "wire/h2.h"
#include "wire/retire.h"

/* Upper bounds in microseconds of the buckets of every histogram; the last bucket is +Inf. */
#define HISTOGRAM_BOUNDS                                                                                \
    {                                                                                                   \
        100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, \
            5000000, 10000000                                                                           \
    }
#define HISTOGRAM_BUCKETS 17

/* How long the largest of recent values is known by itself: this long at least, twice this long at most. */
#define HISTOGRAM_RECENT_MS 10000

struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS]; /* not cumulative */
    uint64_t sum_us, max_us;
    uint64_t recent_max_us[2]; /* of the window that the last value fell into, and of the one before */
    uint64_t recent_window;    /* its number, counted from the clock's zero */
};

void histogram_add(struct histogram *h, uint64_t us);
uint64_t histogram_count(const struct histogram *h);

/* The largest of the last HISTOGRAM_RECENT_MS; an estimate from buckets must not exceed it. */
uint64_t histogram_recent_max(const struct histogram *h);

/* How a reused socket failed: X(id, code). */
#define SOCKET_FAILURE_LIST(X)           \
    X(SOCKET_FAILED_EOF, "EOF")          \
    X(SOCKET_FAILED_RESET, "ECONNRESET") \
    X(SOCKET_FAILED_PIPE, "EPIPE")       \
    X(SOCKET_FAILED_DEAD, "ETIMEDOUT")   \
    X(SOCKET_FAILED_OTHER, "EIO")

enum socket_failure {
#define X(id, code) id,
    SOCKET_FAILURE_LIST(X)
#undef X
        SOCKET_FAILURE_COUNT
};

/* Of an enum socket_failure. */
const char *socket_failure_code(unsigned failure);

/* What a request waited for: X(id, the word in /agents). STREAMS: the origin lets no more begin on its
 * connections of HTTP/2. */
#define HELD_BY_LIST(X)                     \
    X(HELD_BY_MAX_SOCKETS, "maxSockets")    \
    X(HELD_BY_MAX_TOTAL, "maxTotalSockets") \
    X(HELD_BY_STREAMS, "streams")           \
    X(HELD_BY_PAUSE, "pause")

enum held_by {
#define X(id, word) id,
    HELD_BY_LIST(X)
#undef X
        HELD_BY_COUNT
};

/* Of an enum held_by. */
const char *held_by_word(unsigned by);

/* An origin that closes sockets sooner after a response than this closes them because of it, not because they
 * were idle. */
#define CLOSED_AT_ONCE_MS 100

struct origin_stats {
    uint64_t requests;                     /* requests, not attempts */
    uint64_t first_uses;                   /* sockets given that had carried nothing */
    uint64_t reused;                       /* sockets given that had carried an exchange */
    uint64_t opened;                       /* established sockets, */
    uint64_t opened_for[OPENED_FOR_COUNT]; /* and why: their sum */
    uint64_t retries;
    uint64_t handshakes_full, handshakes_resumed; /* TLS */
    uint64_t retired[RETIRE_COUNT];
    /* Of retired[RETIRE_GOAWAY], those that had been idle: HTTP/2's way to close what is idle */
    uint64_t idle_goaways;
    uint64_t peer_closed_idle_ms; /* how long origin_stats_peer_closed() had been idle, summed */
    uint64_t closed_unused;       /* established sockets that had carried nothing when they were retired */
    uint64_t reused_errors[SOCKET_FAILURE_COUNT];
    /* Every request ends in one of three ways: with the origin's whole response (then it is in `request`),
     * with an error, or because its client left. */
    uint64_t errors[PROXY_ERROR_COUNT];
    uint64_t client_aborts;
    uint64_t
        timed_out_waiting; /* of errors[PROXY_ERROR_RESPONSE_TIMEOUT], those that waited most of their time */
    uint64_t timed_out,
        timed_out_us; /* requests that had connections as their time ran out, and for how long */
    /* How long requests and tunnels had places, and waited for theirs to be opened, summed; the former as far
     * as demand_settle() knows */
    uint64_t used_us;
    /* Texts of some size that came to clients which accept gzip, with Via; and those of them that were not
     * compressed */
    uint64_t texts, texts_plain;
    uint64_t repaired;              /* heads of responses (insecureHTTPParser), */
    uint64_t repairs[REPAIR_COUNT]; /* and which of them needed what */
    uint64_t held[HELD_BY_COUNT];   /* requests that found no place, by what kept it from them */
    /* Of errors[PROXY_ERROR_LIMIT], for maxPendingRequests: those refused at once, and those that lost their
     * place in the queue to another caller (queue: fair) */
    uint64_t queue_full, displaced;
    /* HTTP/2: RST_STREAM by who sent it and GOAWAY, by error code; requests that were repeated since the
     * origin certainly had not processed them; and how long PINGs took */
    uint64_t resets_by_origin[H2_ERROR_COUNT], resets_by_carpool[H2_ERROR_COUNT], goaways[H2_ERROR_COUNT];
    uint64_t unprocessed;
    struct histogram ping;
    struct histogram pending; /* held by a limit or a pause; all requests but those refused at once */
    uint64_t paused_us;       /* of the sum of `pending`, the time in pauses */
    struct histogram connect; /* established sockets */
    struct histogram request; /* from the head to the last byte of a whole response */
};

/* Of all words. */
uint64_t origin_stats_errors(const struct origin_stats *s);

/* Sockets that the origin closed while they were free. */
static inline uint64_t origin_stats_peer_closed(const struct origin_stats *s)
{
    return s->retired[RETIRE_PEER_CLOSED] + s->idle_goaways;
}

/* Requests that ended. */
uint64_t origin_stats_ended(const struct origin_stats *s);

/* Nothing was asked, opened or closed yet. */
bool origin_stats_is_empty(const struct origin_stats *s);

void origin_stats_add(struct origin_stats *to, const struct origin_stats *from);

#endif
