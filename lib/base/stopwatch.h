#ifndef CARPOOL_BASE_STOPWATCH_H
#define CARPOOL_BASE_STOPWATCH_H

/* A time that is measured piece by piece, and takes one number. Whether it runs now is its owner's to know;
 * zeroed, it is stopped and has measured nothing. */

#include <stdint.h>

#include "base/clock.h"

struct stopwatch {
    uint64_t us; /* see below */
};

static inline void stopwatch_start(struct stopwatch *w)
{
    w->us = clock_us() - w->us;
}

static inline void stopwatch_stop(struct stopwatch *w)
{
    w->us = clock_us() - w->us;
}

/* Of one that is stopped: what it has measured. */
static inline uint64_t stopwatch_total_us(const struct stopwatch *w)
{
    return w->us;
}

/* Of one that runs: since when, as clock_us(), if it had never been stopped. */
static inline uint64_t stopwatch_since_us(const struct stopwatch *w)
{
    return w->us;
}

#endif
