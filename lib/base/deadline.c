#include "base/deadline.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"

/* So many have their turn before what else the loop has to do. */
#define LOOKS_PER_TURN 256

static void put(struct deadlines *l, uint32_t place, struct deadline *d)
{
    l->heap[place] = d;
    d->place = place;
}

static void move_up(struct deadlines *l, struct deadline *d)
{
    uint32_t place = d->place;
    for (; place > 1 && l->heap[place / 2]->armed > d->armed; place /= 2)
        put(l, place, l->heap[place / 2]);
    put(l, place, d);
}

static void move_down(struct deadlines *l, struct deadline *d)
{
    uint32_t place = d->place, below;
    for (; (below = 2 * place) <= l->count; place = below) {
        below += below < l->count && l->heap[below + 1]->armed < l->heap[below]->armed;
        if (l->heap[below]->armed >= d->armed)
            break;
        put(l, place, l->heap[below]);
    }
    put(l, place, d);
}

bool deadlines_make_room(struct deadlines *l, uint32_t count)
{
    struct deadline **heap = array_reserve(l->heap, &l->room, (size_t)count + 1, sizeof(struct deadline *));
    if (!heap)
        return false;
    l->heap = heap;
    return true;
}

static void leave(struct deadlines *l, struct deadline *d)
{
    struct deadline *last = l->heap[l->count--];
    if (last != d) {
        put(l, d->place, last);
        move_up(l, last);
        move_down(l, last);
    }
    d->place = 0;
}

static void set_timer(struct deadlines *l)
{
    if (l->count > 0)
        timer_set_at(&l->timer, l->heap[1]->armed);
}

static bool has_more(const struct deadlines *l)
{
    return l->count > 0 && l->heap[1]->armed <= l->until;
}

/* Looks at the first one, whose time has come as it was when it was armed. */
static void look(struct deadlines *l)
{
    struct deadline *d = l->heap[1];
    if (d->due > l->until) {
        d->armed = d->due;
        move_down(l, d);
        return;
    }
    leave(l, d);
    if (d->due == 0)
        return;
    d->due = 0;
    l->fire(d);
}

static void on_time(void *ctx)
{
    struct deadlines *l = ctx;
    if (l->until == 0)
        l->until = clock_ms();
    for (unsigned looks = 0; looks < LOOKS_PER_TURN && has_more(l); looks++)
        look(l);
    if (has_more(l)) {
        timer_go_on(&l->timer);
        return;
    }
    l->until = 0;
    set_timer(l);
}

void deadlines_init(struct deadlines *l, struct event_base *base, void (*fire)(struct deadline *d))
{
    *l = (struct deadlines){.fire = fire};
    timer_init(&l->timer, base, on_time, l);
}

void deadlines_free(struct deadlines *l)
{
    assert(l->count == 0);
    timer_release(&l->timer);
    free(l->heap);
}

void deadline_arm(struct deadlines *l, struct deadline *d)
{
    bool is_new = !d->place;
    /* It fails only where no room was made for so many, and then the next deadline_set_at() tries again. */
    if (is_new && !deadlines_make_room(l, l->count + 1))
        return;
    if (is_new)
        put(l, ++l->count, d);
    if (is_new || d->due < d->armed) {
        d->armed = d->due;
        move_up(l, d);
    }
    set_timer(l); /* also where the loop had no memory for it before: else none would ever be looked at */
}

void deadline_set(struct deadlines *l, struct deadline *d, uint64_t ms)
{
    deadline_set_at(l, d, timer_due_after(ms));
}

void deadline_release(struct deadlines *l, struct deadline *d)
{
    if (d->place)
        leave(l, d);
    d->due = 0;
}
