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
    size_t problems; /* sentences about its agent */
    bool fails;      /* its agent: requests of the last hour failed or were refused */
    uint64_t active, connecting, free, waiting;
    uint64_t max; /* UINT64_MAX: no limit */
    /* HTTP/2; of an agent, whether some origin speaks it */
    bool speaks_http2;
    const char *protocol; /* of an origin; "-": not known, or of an agent */
    uint64_t streams, max_streams, draining, goaways;
    uint64_t max_in_flight; /* UINT64_MAX: no limit */
    double waited_max_ms;
    uint64_t requests, reused, opened;
    uint64_t refused, errors; /* by a limit; all others */
    uint64_t retired;         /* of those that were open */
    const char *main_reason;  /* of most of them; NULL: none yet */
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

/* The worst first: agents with problems, and of these those whose requests fail, then what waits, then the
 * share of the limit in use, then requests. */
void pool_table_sort(struct pool_table *t);

/* What is wrong, the daemon's own sentences before those of the agents, most failures first; NULL at the
 * end. */
const char *pool_table_sentence(const struct pool_table *t, size_t index);
size_t pool_table_sentence_count(const struct pool_table *t);

/* "no problems: 12.4 requests/s, 2 active, 1 waiting, 0.0 errors/s, 2.7 refused/s; up 3 h, last reload 5 min
 * ago". As in the table, what a limit refused is no error. Returns `out`. */
const char *pool_table_summary(const struct pool_table *t, char *out, size_t size);

/* "saved since start: 9,080 connections, 12 min 31 s of handshakes". Returns `out`. */
const char *pool_table_savings(const struct pool_table *t, char *out, size_t size);

#define POOL_NAME_SIZE 300

/* The agent, and whether it is no longer configured; the origin without its scheme's default port; each
 * returns `out`. */
const char *pool_agent_name(const struct pool_row *r, char out[POOL_NAME_SIZE]);
const char *pool_origin_name(const struct pool_row *r, char out[POOL_NAME_SIZE]);

/* "2/20", or "2" where there is no limit. Returns `out`. */
const char *pool_active(const struct pool_row *r, char out[POOL_NAME_SIZE]);

/* "12/100", or "-" where HTTP/2 is not spoken. Returns `out`. */
const char *pool_streams(const struct pool_row *r, char out[POOL_NAME_SIZE]);

/* The reuse of connections in per cent, or "-". Returns `out`. */
const char *pool_reuse(const struct pool_row *r, char out[POOL_NAME_SIZE]);

/* At its limit; has as many exchanges in flight over HTTP/2 as its limit or its connections allow. */
bool pool_is_full(const struct pool_row *r);
bool pool_streams_are_full(const struct pool_row *r);

/* Some row of the table has something to say of HTTP/2. */
bool pool_table_has_http2(const struct pool_table *t);

/* Has no connection, and nothing waits. */
bool pool_is_idle(const struct pool_row *r);

#endif
