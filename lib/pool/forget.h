#ifndef CARPOOL_POOL_FORGET_H
#define CARPOOL_POOL_FORGET_H

/* Origins that are not in use. Clients make up hosts and ports, so what is remembered of them is bounded:
 *
 *   KEPT        in use (a socket, a waiter, a user), or an upstream names it: never forgotten
 *   EMPTY       neither; forgotten after a minute, and the oldest first beyond FORGET_EMPTY_MAX an agent
 *   UNREACHED   the same, and it never had a socket: just long enough for one who asks why; or it lives in
 *               another pool now
 *
 * What it has counted goes on in its agent's row "*". Nothing is forgotten from within another call of the
 * pool's: at the end of a turn, and by a timer. */

#include <stdint.h>

struct agent;
struct origin;

#define FORGET_EMPTY_MAX     1000
#define FORGET_UNREACHED_MAX 100
#define FORGET_EMPTY_MS      (60 * 1000)
#define FORGET_UNREACHED_MS  1000

enum origin_keeping { ORIGIN_KEPT, ORIGIN_EMPTY, ORIGIN_UNREACHED, ORIGIN_KEEPINGS };

/* Whatever decides about it may have changed. */
void forget_update(struct origin *o);

/* Its memory goes. */
void forget_leave(struct origin *o);

/* Forgets the origins of an agent's share that have been empty for so long (unreached ones: or
 * FORGET_UNREACHED_MS). */
void forget_old(struct agent *a, uint64_t empty_ms);

/* Forgets those that are too many. */
void forget_excess(struct agent *a);

#endif
