#ifndef CARPOOL_BASE_DEADLINE_H
#define CARPOOL_BASE_DEADLINE_H

/* Many deadlines on one timer (timer.h), for what there are thousands of: each takes 32 bytes instead of 184.
 * As with a timer, moving one later costs one store, and what came meanwhile has its turn before those that
 * are late. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/timer.h"

/* Embedded in what has it; zeroed at first. */
struct deadline {
    uint64_t due;   /* clock_ms(); 0: not set */
    uint64_t armed; /* when it will be looked at */
    uint32_t place; /* in the heap, from 1 on; 0: it is in none */
};

struct deadlines {
    struct timer timer;
    uint64_t until;         /* those that were due by then have their turns; 0: none have */
    struct deadline **heap; /* by `armed`; heap[0] is not used */
    uint32_t count;
    size_t room; /* of the heap */
    void (*fire)(struct deadline *d);
};

/* `fire` runs from the loop with the deadline no longer set. */
void deadlines_init(struct deadlines *l, struct event_base *base, void (*fire)(struct deadline *d));

/* None may be in use any more. */
void deadlines_free(struct deadlines *l);

/* Room for `count` at a time, which may then be set and never miss it for want of memory. False: there is
 * none. */
bool deadlines_make_room(struct deadlines *l, uint32_t count);

/* Fires `ms` from now or a little later, never earlier; 0: never. Replaces what was set. */
void deadline_set(struct deadlines *l, struct deadline *d, uint64_t ms);

/* Used by deadline_set_at(). */
void deadline_arm(struct deadlines *l, struct deadline *d);

/* Fires at an absolute clock_ms(); 0: never. */
static inline void deadline_set_at(struct deadlines *l, struct deadline *d, uint64_t due)
{
    d->due = due;
    if (due != 0 && (!d->place || due < d->armed || l->timer.armed == 0))
        deadline_arm(l, d);
}

/* Does not fire any more. Its memory may not go yet: see deadline_release(). */
static inline void deadline_clear(struct deadline *d)
{
    d->due = 0;
}

static inline bool deadline_is_set(const struct deadline *d)
{
    return d->due != 0;
}

/* Before its memory goes, or it goes to another loop; may be called twice, and from `fire`. */
void deadline_release(struct deadlines *l, struct deadline *d);

#endif
