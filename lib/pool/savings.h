#ifndef CARPOOL_POOL_SAVINGS_H
#define CARPOOL_POOL_SAVINGS_H

/* What reuse saved an origin: the connections that were not opened, and the time that opening them would have
 * taken. */

#include <stdint.h>

struct origin_stats;

/* So many connects decide what one takes. */
#define CONNECT_TIMES 15

/* What the latest connects took, TLS included, and what reuse saved before the last one. All zero at first. */
struct connect_times {
    uint32_t us[CONNECT_TIMES]; /* a ring */
    uint32_t count;             /* ever */
    int64_t reuses,
        reuses_us; /* how many requests needed no connection of their own, each times its median */
};

/* `stats` are those of the origin. */
void connect_times_add(struct connect_times *t, const struct origin_stats *stats, uint64_t us);

/* In microseconds; 0: there was none. */
uint64_t connect_times_median(const struct connect_times *t);

/* Requests that a connection carried, each once. One that was refused, or whose connect failed, would have
 * cost a direct client no connection either. */
uint64_t savings_carried(const struct origin_stats *stats);

/* Below 0 where more connections were opened than used: of several origins, that reduces what the others
 * saved. */
struct savings {
    int64_t connections, connect_us;
};

/* Adds those of an origin: requests carried less connections opened, and that times what one saved on average:
 * the median as it was then, or a later connect would change what earlier requests saved. */
void savings_add(struct savings *to, const struct origin_stats *stats, const struct connect_times *times);

/* As they are shown: 0 at least, and no time where no connection was saved. */
struct savings savings_shown(const struct savings *s);

/* Adds those of several origins. */
static inline void savings_sum(struct savings *to, const struct savings *from)
{
    to->connections += from->connections;
    to->connect_us += from->connect_us;
}

#endif
