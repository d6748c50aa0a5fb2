#ifndef CARPOOL_CMD_CTL_HISTORY_H
#define CARPOOL_CMD_CTL_HISTORY_H

/* What `carpoolctl top` remembers of each row between two looks: what happened in between, and the last minute of
 * it. */

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "cmd/ctl_pools.h"

#define HISTORY_LENGTH 60

struct counters {
    uint64_t requests, reused, opened;
};

struct history {
    UT_hash_handle hh;
    struct counters before, now;  /* of the last two looks */
    double opened_rate;           /* a second, between these */
    double reuse;                 /* of the requests between them, 0 to 1; negative: there were none */
    double rates[HISTORY_LENGTH]; /* of requests; the newest is at (count - 1) % HISTORY_LENGTH */
    uint32_t count;
    uint64_t looks; /* that have seen it */
    uint64_t look;  /* the last one of these */
    char key[];
};

struct history_set {
    struct history *all;
    uint64_t looks;
};

/* Begins a look; rows follow. */
void history_begin(struct history_set *s);
/* Takes in a row; the history belongs to the set, and its rates are right once the look has ended. */
struct history *history_take(struct history_set *s, const struct pool_row *r);
/* Forgets rows that the look did not see, and computes the rates since the look before, `seconds` ago. */
void history_end(struct history_set *s, double seconds);
void history_free(struct history_set *s);

/* The highest of the last `width` rates. */
double history_highest(const struct history *h, unsigned width);

#define SPARKLINE_SIZE (HISTORY_LENGTH * 3 + 1)

/* The last `width` rates as small bars, right-aligned, scaled to the highest; UTF-8 or ASCII. Returns out. */
const char *history_sparkline(const struct history *h, unsigned width, bool utf8, char out[SPARKLINE_SIZE]);

#endif
