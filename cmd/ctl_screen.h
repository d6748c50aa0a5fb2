#ifndef CARPOOL_CMD_CTL_SCREEN_H
#define CARPOOL_CMD_CTL_SCREEN_H

/* What `carpoolctl top` draws. */

#include <stdbool.h>
#include <stddef.h>

#include "cmd/ctl_history.h"
#include "cmd/ctl_pools.h"

/* A row on the screen: figures of now and of the last seconds. */
struct screen_row {
    const struct pool_row *pool;
    const struct history *history;
};

struct screen {
    const char *address;
    const struct pool_table *table; /* NULL: the daemon does not answer, and `error` says why */
    const struct screen_row *rows;
    size_t count;
    unsigned sort; /* a column, or SCREEN_COLUMNS: the worst first */
    bool frozen, utf8;
    size_t scroll; /* rows above the first that is shown; corrected by screen_draw() */
    const char *error;
};

#define SCREEN_COLUMNS 12

/* By the figure, or name, of this column, the largest first; SCREEN_COLUMNS: 0. */
int screen_compare(unsigned column, const struct screen_row *a, const struct screen_row *b);

void screen_draw(struct screen *s);

#endif
