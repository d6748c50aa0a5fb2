#ifndef CARPOOL_POOL_CHECK_H
#define CARPOOL_POOL_CHECK_H

/* What must hold of a pool, said once and asserted by the tests after every step. It walks everything:
 * not for the data path. */

struct pool;

/* At any moment between two calls into the pool: counters are the lengths of their lists, every object
 * stands on the list of its state and on no other, waiting requests and connections match, and the books
 * are balanced. */
void pool_check(const struct pool *p);

/* After pool_end_turn(), moreover: everyone was notified, the dead are reaped, and no one waits for a place
 * that is there. */
void pool_check_turn(const struct pool *p);

#endif
