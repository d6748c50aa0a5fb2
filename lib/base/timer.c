#include "base/timer.h"

#include <assert.h>

#include "base/clock.h"

/* A longer wait is cut into steps: libevent adds times without looking for overflow. */
#define LONGEST_STEP_MS (24 * 3600 * 1000)
/* A loop that runs is not that late. */
#define LATE_MS 20

static void arm(struct timer *t)
{
    uint64_t now = clock_ms();
    uint64_t wait = t->due > now ? t->due - now : 0;
    struct timeval tv;

    if (wait > LONGEST_STEP_MS)
        wait = LONGEST_STEP_MS;
    tv.tv_sec = (time_t)(wait / 1000);
    tv.tv_usec = (suseconds_t)(wait % 1000 * 1000);
    /* It fails for want of memory only, and then the next timer_set() tries again. What the loop had before,
     * it still has. */
    if (event_add(&t->event, &tv) == 0)
        t->armed = now + wait;
}

/* Whether others come first. */
static bool must_wait(struct timer *t, uint64_t looked_for)
{
    if (clock_ms() < t->due)
        t->turns_ahead = 0;
    else if (t->turns_ahead > 0)
        t->turns_ahead--;
    else if (clock_ms() >= looked_for + LATE_MS)
        t->turns_ahead = TIMER_LATE_TURNS;
    return clock_ms() < t->due || t->turns_ahead > 0;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct timer *t = arg;
    uint64_t looked_for = t->armed;

    (void)fd;
    (void)what;
    t->armed = 0;
    if (t->due == 0) {
        t->turns_ahead = 0;
        return;
    }
    clock_update();
    if (must_wait(t, looked_for)) {
        arm(t);
        return;
    }
    t->due = 0;
    t->fire(t->ctx);
}

void timer_init(struct timer *t, struct event_base *base, void (*fire)(void *), void *ctx)
{
    int rc = evtimer_assign(&t->event, base, on_event, t);

    assert(rc == 0);
    (void)rc;
    t->due = 0;
    t->armed = 0;
    t->turns_ahead = 0;
    t->fire = fire;
    t->ctx = ctx;
}

void timer_set_at(struct timer *t, uint64_t due)
{
    t->due = due;
    if (due != 0 && (t->armed == 0 || due < t->armed))
        arm(t);
}

uint64_t timer_due_after(uint64_t ms)
{
    /* Rounded up, so that nothing fires a fraction early. */
    uint64_t now = (clock_us() + 999) / 1000;

    return ms == 0 ? 0 : ms < UINT64_MAX - now ? now + ms : UINT64_MAX;
}

void timer_set(struct timer *t, uint64_t ms)
{
    timer_set_at(t, timer_due_after(ms));
}

void timer_go_on(struct timer *t)
{
    t->turns_ahead = 1; /* which is over when it fires */
    timer_set_at(t, clock_ms());
}

void timer_clear(struct timer *t)
{
    t->due = 0;
}

void timer_release(struct timer *t)
{
    if (t->armed != 0)
        event_del(&t->event);
    t->due = 0;
    t->armed = 0;
    t->turns_ahead = 0;
}
