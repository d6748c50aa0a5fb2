#ifndef CARPOOL_BASE_TIMER_H
#define CARPOOL_BASE_TIMER_H

/* A deadline that is moved on every request and almost never met. Moving it later costs one store: the loop's
 * own timer is left where it stands, and when that fires too early it is set again for what is left. All of
 * it counts from the cached clock_ms(), so a loop turn begins with clock_update().
 *
 * A timer that fires late says that the process did not run (it was stopped, its machine paused): what came
 * meanwhile has its turn first, and then the timer, if it is still set for then. */

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

/* So many turns of the loop: it takes 32 events in the first and at most twice as many in the next one. */
#define TIMER_LATE_TURNS 8

struct timer {
    struct event event;
    uint64_t due;        /* clock_ms(); 0: not set */
    uint64_t armed;      /* when the loop will look; 0: never */
    uint8_t turns_ahead; /* that others have before this one, which is late */
    void (*fire)(void *ctx);
    void *ctx;
};

/* Must be called once before anything else; `fire` runs from the loop with the timer no longer set. */
void timer_init(struct timer *t, struct event_base *base, void (*fire)(void *), void *ctx);

/* Fires `ms` from now or a little later, never earlier; ms 0 means never, as `off` does in the configuration.
 * Replaces what was set. */
void timer_set(struct timer *t, uint64_t ms);

/* The clock_ms() that timer_set() means. */
uint64_t timer_due_after(uint64_t ms);

/* Fires at an absolute clock_ms(); 0: never. */
void timer_set_at(struct timer *t, uint64_t due);

/* The sooner of two such times. */
static inline uint64_t timer_sooner(uint64_t a, uint64_t b)
{
    return !a ? b : !b || a < b ? a : b;
}

/* From `fire`: once more in the next turn, of which it has not had enough; it is not late then, however long
 * that takes. */
void timer_go_on(struct timer *t);

/* Does not fire any more. The timer may not be freed yet: see timer_release(). */
void timer_clear(struct timer *t);

static inline bool timer_is_set(const struct timer *t)
{
    return t->due != 0;
}

/* Of one that was set: false, and it never fires, where memory is short. */
static inline bool timer_will_fire(const struct timer *t)
{
    return t->armed != 0;
}

/* Takes it out of the loop, before its memory goes; may be called twice, and from `fire`. */
void timer_release(struct timer *t);

#endif
