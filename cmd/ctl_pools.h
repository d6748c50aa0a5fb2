#ifndef CARPOOL_CMD_CTL_POOLS_H
#define CARPOOL_CMD_CTL_POOLS_H

/* What /agents said, as the rows of a table, and the table on paper. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One origin, or one agent with the sums of all its origins. The texts belong to the JSON. */
struct pool_row {
    const char *agent;
    const char *origin; /* "-": the agent has none yet */
    bool paused, removed;
    uint64_t active, connecting, free, pending;
    uint64_t max; /* UINT64_MAX: no limit */
    uint64_t requests, reused, opened, retired, errors;
    const char *main_reason; /* of most retirements; NULL: none yet */
    uint64_t main_count;
};

struct pool_table {
    json_t *json;
    struct pool_row *rows;
    size_t count;
};

/* False with a sentence in `error` when it is not what /agents says. */
bool pool_table_read(struct pool_table *t, const char *body, size_t length, bool by_agent, char *error,
                     size_t error_size);
void pool_table_free(struct pool_table *t);

/* The busiest first: pending, then the share of the limit in use, then requests. */
void pool_table_sort_by_load(struct pool_table *t);

/* The table (without the column of origins when its rows are agents) and the diagnosis beneath it; with
 * colours for a terminal. */
void pool_table_print(const struct pool_table *t, FILE *out, bool by_agent, bool colours);

/* The sentences of all agents, one after the other; NULL at the end. */
const char *pool_table_sentence(const struct pool_table *t, size_t index);

#define POOL_COLUMNS   12
#define POOL_CELL_SIZE 256

enum pool_column {
    COLUMN_AGENT,
    COLUMN_ORIGIN,
    COLUMN_ACTIVE,
    COLUMN_CONNECTING,
    COLUMN_FREE,
    COLUMN_PENDING,
    COLUMN_MAX,
    COLUMN_REQUESTS,
    COLUMN_REUSE,
    COLUMN_OPENED,
    COLUMN_RETIRED,
    COLUMN_ERRORS,
};

const char *pool_column_title(enum pool_column c);
bool pool_column_is_text(enum pool_column c);
/* The cell's text, without control bytes; returns out. */
const char *pool_cell(const struct pool_row *r, enum pool_column c, char out[POOL_CELL_SIZE]);
/* Columns of a terminal that a UTF-8 text takes, were all its characters one wide. */
size_t pool_text_width(const char *text);

#endif
