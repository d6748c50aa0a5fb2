/* lib/base/deadline */

#include "unit.h"

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "base_test.h"

#define MANY 1000

struct task {
    struct deadline deadline;
    uint64_t due; /* 0: it is not to fire */
    unsigned fired;
};

static struct event_base *base;
static struct deadlines deadlines;
static struct task tasks[MANY];
static void (*and_then)(struct task *t);

static void on_deadline(struct deadline *d)
{
    struct task *t = (struct task *)((char *)d - offsetof(struct task, deadline));

    ck_assert(!deadline_is_set(d));
    ck_assert_uint_gt(t->due, 0);
    ck_assert_uint_ge(clock_ms(), t->due);
    t->fired++;
    if (and_then)
        and_then(t);
}

static void begin(void)
{
    base = event_base_new();
    deadlines_init(&deadlines, base, on_deadline);
    memset(tasks, 0, sizeof tasks);
    and_then = NULL;
    srand(7);
    clock_update();
}

static void end(void)
{
    for (int i = 0; i < MANY; i++)
        deadline_release(&deadlines, &tasks[i].deadline);
    ck_assert_uint_eq(deadlines.count, 0);
    deadlines_free(&deadlines);
    event_base_free(base);
}

static void set(struct task *t, uint64_t due)
{
    t->due = due;
    deadline_set_at(&deadlines, &t->deadline, due);
}

/* The loop ends with the last deadline. */
static void expect_all_fired_once(void)
{
    event_base_dispatch(base);
    for (int i = 0; i < MANY; i++)
        ck_assert_uint_eq(tasks[i].fired, tasks[i].due ? 1 : 0);
}

static uint64_t soon(void)
{
    return clock_ms() + (uint64_t)rand() % 60;
}

START_TEST(deadlines_fire_once_and_never_early)
{
    begin();
    for (int i = 0; i < MANY; i++)
        set(&tasks[i], soon());
    expect_all_fired_once();
    end();
}
END_TEST

START_TEST(deadlines_move_and_go)
{
    begin();
    for (int turns = 0; turns < 10 * MANY; turns++) {
        struct task *t = &tasks[rand() % MANY];
        switch (rand() % 4) {
        case 0:
            deadline_clear(&t->deadline);
            t->due = 0;
            break;
        case 1:
            deadline_release(&deadlines, &t->deadline);
            deadline_release(&deadlines, &t->deadline);
            t->due = 0;
            break;
        default: set(t, soon()); break;
        }
    }
    expect_all_fired_once();
    end();
}
END_TEST

static void release_another(struct task *t)
{
    struct task *other = &tasks[(t - tasks + 1) % MANY];
    deadline_release(&deadlines, &t->deadline);
    if (other->fired)
        return;
    deadline_release(&deadlines, &other->deadline);
    other->due = 0;
}

START_TEST(deadlines_may_go_while_one_fires)
{
    begin();
    and_then = release_another;
    for (int i = 0; i < MANY; i++)
        set(&tasks[i], soon());
    expect_all_fired_once();
    end();
}
END_TEST

static void set_again_for_now(struct task *t)
{
    set(t, clock_ms());
}

/* However many they are, and however often they are due, the loop comes to what else it has. */
START_TEST(deadlines_leave_others_their_turn)
{
    unsigned fired = 0;
    begin();
    and_then = set_again_for_now;
    for (int i = 0; i < MANY; i++)
        set(&tasks[i], clock_ms());
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    for (int i = 0; i < MANY; i++)
        fired += tasks[i].fired;
    ck_assert_uint_gt(fired, 0);
    ck_assert_uint_lt(fired, MANY);
    for (int turns = 0; turns < MANY; turns++)
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    and_then = NULL;
    event_base_dispatch(base);
    for (int i = 0; i < MANY; i++)
        ck_assert(!deadline_is_set(&tasks[i].deadline) && tasks[i].fired > 0);
    end();
}
END_TEST

START_TEST(deadlines_are_cheap_to_move)
{
    begin();
    set(&tasks[0], clock_ms() + 20);
    set(&tasks[0], clock_ms() + 60);
    set(&tasks[0], clock_ms() + 40);
    ck_assert_uint_eq(tasks[0].deadline.armed + 20, tasks[0].due);
    expect_all_fired_once();
    deadline_set(&deadlines, &tasks[0].deadline, 0);
    ck_assert(!deadline_is_set(&tasks[0].deadline));
    deadline_set(&deadlines, &tasks[0].deadline, UINT64_MAX);
    ck_assert_uint_eq(tasks[0].deadline.due, UINT64_MAX);
    end();
}
END_TEST

/* On a loop whose turns take so long that each timer is late: they wait once, and not once for each part. */
START_TEST(many_that_are_late_are_late_once)
{
    unsigned fired = 0, turns;
    begin();
    for (int i = 0; i < MANY; i++)
        set(&tasks[i], clock_ms() + 1);
    for (turns = 0; fired < MANY && turns < 5 * TIMER_LATE_TURNS; turns++) {
        usleep(21000);
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        fired = 0;
        for (int i = 0; i < MANY; i++)
            fired += tasks[i].fired;
    }
    ck_assert_uint_eq(fired, MANY);
    ck_assert_uint_le(turns, 2 * TIMER_LATE_TURNS);
    end();
}
END_TEST

static bool memory_is_short;

static void *allocate(size_t n)
{
    return memory_is_short ? NULL : malloc(n);
}

static void *reallocate(void *p, size_t n)
{
    return memory_is_short ? NULL : realloc(p, n);
}

/* The loop had no memory for the timer when the first one was set. */
START_TEST(a_timer_that_could_not_be_set_is_set_with_the_next)
{
    event_set_mem_functions(allocate, reallocate, free);
    for (int next = 0; next < 2; next++) { /* the same one once more, or another */
        begin();
        memory_is_short = true;
        set(&tasks[0], clock_ms() + 1);
        memory_is_short = false;
        set(&tasks[next], clock_ms() + 2);
        expect_all_fired_once();
        end();
    }
}
END_TEST

void base_deadline_tests(Suite *suite)
{
    unit_group(suite, "deadline", deadlines_fire_once_and_never_early, deadlines_move_and_go,
               deadlines_may_go_while_one_fires, deadlines_leave_others_their_turn,
               deadlines_are_cheap_to_move, many_that_are_late_are_late_once,
               a_timer_that_could_not_be_set_is_set_with_the_next);
}
