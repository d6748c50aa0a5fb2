#ifndef CARPOOL_BASE_RECENT_H
#define CARPOOL_BASE_RECENT_H

/* How often something happened in the last one to two minutes. All zero: never. */

#include <stdint.h>

#define RECENT_MS 60000

struct recent {
    uint64_t began_ms; /* of `now` */
    uint32_t before, now;
};

static inline void recent_add(struct recent *r, uint64_t now_ms)
{
    if (now_ms >= r->began_ms + RECENT_MS) {
        r->before = now_ms < r->began_ms + 2 * RECENT_MS ? r->now : 0;
        r->now = 0;
        r->began_ms = now_ms;
    }
    r->now++;
}

static inline uint32_t recent_count(const struct recent *r, uint64_t now_ms)
{
    if (now_ms >= r->began_ms + 2 * RECENT_MS)
        return 0;
    return now_ms >= r->began_ms + RECENT_MS ? r->now : r->before + r->now;
}

#endif
