#ifndef CARPOOL_IO_UPTAKE_H
#define CARPOOL_IO_UPTAKE_H

/* Whether a slow peer takes what was written to it. The kernel says that there is room again only when a
 * third of its buffer is free, which may last minutes; until then it is asked what the buffer still holds. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/conn.h"

struct uptake {
    uint64_t looked_ms; /* 0: never */
    uint64_t due_ms;    /* of the next look */
    size_t unsent;      /* bytes, at the last one */
};

/* Plans the next look, for a time limit that runs from moved_ms, when a byte last moved; all as clock_ms().
 * Returns when that is; 0: there is no limit. */
uint64_t uptake_plan(struct uptake *u, uint64_t moved_ms, uint64_t limit_ms);

/* Looks. True: the peer has taken some since the last look; or nothing is known yet, since this look comes much
 * too late (the process was stopped). */
bool uptake_look(struct uptake *u, const struct conn *c, uint64_t moved_ms, uint64_t limit_ms);

#endif
