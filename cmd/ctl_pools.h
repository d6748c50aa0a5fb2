#ifndef CARPOOL_CMD_CTL_POOLS_H
#define CARPOOL_CMD_CTL_POOLS_H

/* What /agents said, as rows, sentences and one line over all. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One origin, or one agent with the sums of all its origins. The texts belong to the JSON. */
struct pool_row {
    const char *agent;
    const char *origin; /* "-": the agent has none yet */
    bool paused, removed;
    size_t problems; /* sentences about it, or about its agent as a whole */
    uint64_t lately; /* requests that failed or were refused in the last one to two minutes */
    uint64_t active, connecting, free, waiting;
    uint64_t max;  /* UINT64_MAX: no limit; of an origin, the smaller of its own and its agent's */
    uint64_t full; /* of an agent with several origins: how many of them are at their limit */
    /* HTTP/2; of an agent, whether some origin speaks it */
    bool speaks_http2;
    const char *protocol; /* of an origin; "-": not known, or of an agent */
    uint64_t streams, max_streams, draining, goaways;
    uint64_t max_in_flight; /* UINT64_MAX: no limit */
    double waited_max_ms;
    uint64_t requests, reused, opened;
    uint64_t refused, errors;                      /* by a limit; all others */
    double request_rate, refused_rate, error_rate; /* a second, over the same time as the first line's */
    uint64_t retired;                              /* of those that were open */
    const char *main_reason;                       /* of most of them; NULL: none yet */
    uint64_t main_count;
};

struct pool_table {
    json_t *json;
    struct pool_row *rows;
    size_t count;
};

/* False with a sentence in `error` when it is not what /agents, or /agents/NAME, says. */
bool pool_table_read(struct pool_table *t, const char *body, size_t length, bool by_agent, char *error,
                     size_t error_size);
void pool_table_free(struct pool_table *t);

/* The worst first: what has a problem now, then by requests that failed or were refused lately; forgotten
 * origins last; then by what waits, what failed or was refused since the start, the share of the limit in
 * use, and requests. */
void pool_table_sort(struct pool_table *t);

/* What is wrong, the daemon's own sentences before those of the agents, most failures first; NULL at the
 * end. */
const char *pool_table_sentence(const struct pool_table *t, size_t index);
size_t pool_table_sentence_count(const struct pool_table *t);

/* "no problems; now 12.4 requests/s, 2 active, 1 waiting, 0.0 errors/s, 2.7 refused/s; up 3 h, last reload 5
 * min ago"; or "no problems, but 2 requests failed in the last two minutes (carpoolctl errors); now ...": too
 * few for a problem. As in the table, what a limit refused is no error. Returns `out`. */
const char *pool_table_summary(const struct pool_table *t, char *out, size_t size);

/* "saved since start: 9,080 connections, 12 min 31 s of handshakes". Returns `out`. */
const char *pool_table_savings(const struct pool_table *t, char *out, size_t size);

/* Some row is of origins that were forgotten. */
bool pool_table_has_forgotten(const struct pool_table *t);

/* Some row of the table has something to say of HTTP/2. */
bool pool_table_has_http2(const struct pool_table *t);

#endif
