#include "pool/turns.h"

#include <assert.h>
#include <stdlib.h>

#include "pool/agent.h"
#include "pool/origin.h"

bool turns_are_taken(const struct agent *a)
{
    return a->policy->queue == QUEUE_FAIR && a->turnless == 0;
}

static struct turn_list *ring_of(struct agent *a, const struct turn *t)
{
    /* The key is const since origins are only compared there; the ring is this one's. */
    return t->key.origin ? &((struct origin *)t->key.origin)->ring : &a->ring;
}

static struct turn *find(const struct agent *a, const struct origin *o, const void *caller)
{
    const struct turn_key key = {o, caller};
    struct turn *t;
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): the key has no padding */
    HASH_FIND(hh, a->turns, &key, sizeof key, t);
    return t;
}

static struct turn *add(struct agent *a, const struct origin *o, const void *caller)
{
    struct turn *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->key = (struct turn_key){o, caller};
    HASH_ADD(hh, a->turns, key, sizeof t->key, t);
    if (!t->hh.tbl) {
        free(t);
        return NULL;
    }
    TAILQ_INIT(&t->entries);
    TAILQ_INIT(&t->parts);
    TAILQ_INSERT_TAIL(ring_of(a, t), t, link);
    return t;
}

/* One in which no request waits ends. */
static void end(struct agent *a, struct turn *t)
{
    assert(t->count == 0);
    if (t->whole)
        TAILQ_REMOVE(&t->whole->parts, t, part_link);
    TAILQ_REMOVE(ring_of(a, t), t, link);
    HASH_DEL(a->turns, t); /* NOLINT(clang-analyzer-core.NullDereference): it is in the table */
    free(t);
}

/* NULL: memory is short. */
static struct turn *turn_for(const struct waiter *p)
{
    struct agent *a = p->origin->agent;
    const void *caller = waiter_caller(p);
    struct turn *t = find(a, p->origin, caller), *whole;
    if (t)
        return t;
    whole = find(a, NULL, caller);
    if (!whole)
        whole = add(a, NULL, caller);
    if (!whole)
        return NULL;
    t = add(a, p->origin, caller);
    if (t) {
        t->whole = whole;
        TAILQ_INSERT_TAIL(&whole->parts, t, part_link);
    } else if (whole->count == 0) {
        end(a, whole);
    }
    return t;
}

static void insert_in_order(struct turn *t, struct turn_entry *e)
{
    struct turn_entry *before = TAILQ_LAST(&t->entries, turn_entry_list);
    while (before && waiter_is_before(e->waiter, before->waiter))
        before = TAILQ_PREV(before, turn_entry_list, link);
    if (before)
        TAILQ_INSERT_AFTER(&t->entries, before, e, link);
    else
        TAILQ_INSERT_HEAD(&t->entries, e, link);
}

/* Its entry in the turn of its caller; NULL: memory is short. */
static struct turn_entry *enter(struct waiter *p)
{
    struct turn_entry *e = calloc(1, sizeof *e);
    struct turn *t = e ? turn_for(p) : NULL;
    if (!t) {
        free(e);
        return NULL;
    }
    e->turn = t;
    e->waiter = p;
    insert_in_order(t, e);
    t->count++;
    t->whole->count++;
    return e;
}

static void move(struct agent *a, struct turn *t, bool to_head)
{
    struct turn_list *ring = ring_of(a, t);
    TAILQ_REMOVE(ring, t, link);
    if (to_head)
        TAILQ_INSERT_HEAD(ring, t, link);
    else
        TAILQ_INSERT_TAIL(ring, t, link);
}

void turns_enter(struct waiter *p, bool first)
{
    struct agent *a = p->origin->agent;
    p->entry = NULL;
    if (a->policy->queue == QUEUE_FIFO)
        return;
    p->entry = enter(p);
    if (!p->entry) {
        a->turnless++;
    } else if (first) {
        move(a, p->entry->turn, true);
        move(a, p->entry->turn->whole, true);
    }
}

void turns_leave(struct waiter *p)
{
    struct agent *a = p->origin->agent;
    struct turn_entry *e = p->entry;
    p->entry = NULL;
    if (!e) {
        a->turnless -= a->policy->queue == QUEUE_FAIR;
        return;
    }
    struct turn *t = e->turn, *whole = t->whole;
    TAILQ_REMOVE(&t->entries, e, link);
    free(e);
    t->count--;
    whole->count--;
    if (t->count == 0)
        end(a, t);
    if (whole->count == 0)
        end(a, whole);
}

void turns_pass(struct waiter *p)
{
    struct agent *a = p->origin->agent;
    if (!p->entry)
        return;
    move(a, p->entry->turn, false);
    move(a, p->entry->turn->whole, false);
}

static void empty(struct agent *a)
{
    struct origin *o;
    struct waiter *p;
    TAILQ_FOREACH (o, &a->blocked, blocked_link)
        TAILQ_FOREACH (p, &o->blocked, link)
            if (p->entry)
                turns_leave(p);
    a->turnless = 0;
}

void turns_rebuild(struct agent *a)
{
    struct origin *o;
    struct waiter *p;
    empty(a);
    TAILQ_FOREACH (o, &a->blocked, blocked_link)
        TAILQ_FOREACH (p, &o->blocked, link)
            turns_enter(p, false);
}

struct waiter *turns_next(const struct origin *o)
{
    const struct turn *t = turns_are_taken(o->agent) ? TAILQ_FIRST(&o->ring) : NULL;
    return t ? TAILQ_FIRST(&t->entries)->waiter : TAILQ_FIRST(&o->blocked);
}

/* Of one caller: see turns_next_of_agent(). */
static struct waiter *next_of_caller(const struct turn *whole, bool (*possible)(const struct origin *o),
                                     const struct origin *near, uint64_t fairness_us)
{
    const struct turn *part;
    struct waiter *oldest = NULL, *mine = NULL;
    TAILQ_FOREACH (part, &whole->parts, part_link) {
        struct waiter *p = TAILQ_FIRST(&part->entries)->waiter;
        if (p->origin == near)
            mine = p;
        else if (!possible(p->origin))
            continue;
        if (!oldest || stopwatch_since_us(&p->waited) < stopwatch_since_us(&oldest->waited))
            oldest = p;
    }
    return mine && stopwatch_since_us(&oldest->waited) + fairness_us > stopwatch_since_us(&mine->waited)
               ? mine
               : oldest;
}

struct waiter *turns_next_of_agent(const struct agent *a, bool (*possible)(const struct origin *o),
                                   const struct origin *near, uint64_t fairness_us)
{
    const struct turn *whole;
    struct waiter *p = NULL;
    TAILQ_FOREACH (whole, &a->ring, link)
        if ((p = next_of_caller(whole, possible, near, fairness_us)))
            break;
    return p;
}

struct waiter *turns_displaced_by(const struct waiter *p)
{
    const struct origin *o = p->origin;
    const struct turn *own, *t, *most = NULL;
    if (!turns_are_taken(o->agent))
        return NULL;
    own = find(o->agent, o, waiter_caller(p));
    TAILQ_FOREACH (t, &o->ring, link)
        if (!most || t->count > most->count)
            most = t;
    return most && (!own || own->count < most->count) ? TAILQ_LAST(&most->entries, turn_entry_list)->waiter
                                                      : NULL;
}
