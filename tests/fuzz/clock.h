#ifndef CARPOOL_TESTS_FUZZ_CLOCK_H
#define CARPOOL_TESTS_FUZZ_CLOCK_H

/* A clock that stands still until it is told, for targets that answer clock_gettime() themselves
 * (calls.h). */

#include <stdint.h>
#include <time.h>

struct event_base;

/* It moves by a microsecond a look, so that what comes later is later, and no machine is too slow. */
int fuzz_clock(clockid_t id, struct timespec *ts);

void fuzz_clock_pass(uint64_t ms);

/* Timers look at the clock when the loop wakes them, and those that are early sleep again (base/timer.h). */
void fuzz_wake_timers(struct event_base *base);

#endif
