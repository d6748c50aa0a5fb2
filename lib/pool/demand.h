#ifndef CARPOOL_POOL_DEMAND_H
#define CARPOOL_POOL_DEMAND_H

/* How many requests run or wait: the most at a time, and for how long they had connections. What changes
 * in_flight, waiting_count or blocked_count of an origin does so here. */

#include <stdint.h>

struct agent;
struct origin;

struct demand {
    uint32_t now, peak; /* peak: since demand_restart() */
};

/* So many more, or fewer, of `*part`, which is one of those three counts. */
void demand_rise(struct origin *o, uint32_t *part, uint32_t by);
void demand_fall(struct origin *o, uint32_t *part, uint32_t by);

/* A request has joined: no earlier, or one that is about to leave a count for another would be two. */
void demand_note(struct origin *o);

/* Of all shares. Where they are several, the most that one had, or that all had as somebody looked. */
uint32_t demand_peak_of_agent(const struct agent *a);

/* stats.used_us of all origins of all shares, up to now. Not from within a loop while the others turn, as what
 * follows. */
void demand_settle(struct agent *a);

/* The peaks begin anew with what is there now. */
void demand_restart(struct agent *a);

#endif
