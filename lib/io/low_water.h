#ifndef CARPOOL_IO_LOW_WATER_H
#define CARPOOL_IO_LOW_WATER_H

/* Of large content that passes by in the kernel the loop is told in large pieces while its sender is fast: the
 * connection's low-water mark (SO_RCVLOWAT) is raised to many bytes, or to the rest. So the loop and the
 * receiver wake once where they woke for each packet, which cost more than moving it
 * (doc/decisions/large-bodies.md).
 *
 *   low --low_water_await() after a burst--> raised --5 ms passed, or low_water_end()--> low
 *
 * A slow sender is not waited for twice: the mark stays low until it has sent a burst without a pause. An end
 * of file or a reset is told at once in any case. */

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/timer.h"
#include "io/conn.h"

/* The raised ones of a loop. Each goes low a while after bytes came, whatever happens: nothing hangs by it. */
struct low_waters {
    TAILQ_HEAD(, low_water) raised; /* by `due` */
    struct timer timer;             /* of the first */
};

/* Zeroed at first. */
struct low_water {
    TAILQ_ENTRY(low_water) link;
    struct low_waters *among; /* NULL: it is low */
    struct conn *conn;
    uint64_t due;   /* clock_ms() */
    uint64_t burst; /* bytes that passed by since the conn had none */
    int mark;       /* bytes, while it is raised */
};

void low_waters_init(struct low_waters *l, struct event_base *base);
/* None is raised any more. */
void low_waters_end(struct low_waters *l);

/* So many bytes passed by. */
void low_water_moved(struct low_water *w, uint64_t n);

/* `c` has none now, and `left` are to come, which is not 0. */
void low_water_await(struct low_waters *l, struct low_water *w, struct conn *c, uint64_t left);

/* Used by low_water_end(). */
void low_water_lower(struct low_water *w);

/* Low again: before what follows the content is looked at or awaited. */
static inline void low_water_end(struct low_water *w)
{
    if (w->among)
        low_water_lower(w);
}

#endif
