#ifndef CARPOOL_WIRE_H2_CHECK_H
#define CARPOOL_WIRE_H2_CHECK_H

/* What must hold of a connection that speaks HTTP/2, asserted by the tests between two turns: not for the
 * data path. */

#include <stdint.h>

struct wire;
struct wire_loop;

/* What the streams of several connections add up to. */
struct h2_sums {
    uint64_t grown; /* bytes by which their windows are larger than at first */
};

/* Streams, what they are to be notified of and what their windows hold agree; `calls` are open on it. Adds to
 * `sums`. */
void h2_check(const struct wire *w, uint32_t calls, struct h2_sums *sums);

/* The same of all connections of a loop together. */
void h2_check_loop(const struct wire_loop *loop, const struct h2_sums *sums);

#endif
