#ifndef CARPOOL_ADMIN_LOAD_H
#define CARPOOL_ADMIN_LOAD_H

/* How many connections the busiest minute needed at a time, on average over all of it, by Little's law: requests
 * a second, times the seconds for which one uses a connection. Those that were refused would have used one, too. */

#include <stdint.h>

struct span;

struct load {
    float needed;          /* but for requests that timed out: they would have kept any number busy */
    float occupied;        /* with these */
    uint64_t timed_out_ms; /* of later minutes, that began in this one or before */
};

/* A minute of so many milliseconds; the newest first. */
void load_add(struct load *l, const struct span *minute, uint64_t ms);

#endif
