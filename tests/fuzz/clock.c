#include "clock.h"

#include <event2/event.h>

static uint64_t now_us = UINT64_C(1000000000000);

int fuzz_clock(clockid_t id, struct timespec *ts)
{
    (void)id;
    now_us++;
    ts->tv_sec = (time_t)(now_us / 1000000);
    ts->tv_nsec = (long)(now_us % 1000000 * 1000);
    return 0;
}

void fuzz_clock_pass(uint64_t ms)
{
    now_us += ms * 1000;
}

static int wake_timer(const struct event_base *base, const struct event *e, void *ctx)
{
    (void)base;
    (void)ctx;
    if (event_pending(e, EV_TIMEOUT, NULL) && event_get_fd(e) < 0)
        event_active((struct event *)e, EV_TIMEOUT, 0);
    return 0;
}

void fuzz_wake_timers(struct event_base *base)
{
    event_base_foreach_event(base, wake_timer, NULL);
}
