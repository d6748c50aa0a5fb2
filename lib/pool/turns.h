#ifndef CARPOOL_POOL_TURNS_H
#define CARPOOL_POOL_TURNS_H

/* queue: fair. The blocked requests of an agent once more, by caller: callers stand in a ring for each
 * origin, and in one of the whole agent, and who has been served goes to its end. Each caller's requests
 * stand in the order of the queue. With fifo there are no turns.
 *
 * Where memory is short for the turn of a request, the agent goes by the queue's order until that request has
 * left. */

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "pool/queue.h"

struct agent;
struct origin;

TAILQ_HEAD(turn_list, turn);
TAILQ_HEAD(turn_entry_list, turn_entry);

/* What one caller has waiting for an origin, or for all origins of the agent. */
struct turn {
    UT_hash_handle hh; /* in agent->turns */
    struct turn_key {
        const struct origin *origin; /* NULL: all of them */
        const void *caller;
    } key;
    TAILQ_ENTRY(turn) link; /* the ring: origin->ring or agent->ring, next one first */
    uint32_t count;         /* requests */
    /* Of one origin: */
    struct turn *whole;
    TAILQ_ENTRY(turn) part_link; /* whole->parts */
    struct turn_entry_list entries;
    /* Of all: */
    struct turn_list parts;
};

/* A blocked request among those of its caller. */
struct turn_entry {
    TAILQ_ENTRY(turn_entry) link;
    struct turn *turn;
    struct waiter *waiter;
};

/* Whether turns are taken now. */
bool turns_are_taken(const struct agent *a);

/* The waiter is blocked from now on; `first`: it was to be served already, so its caller is next. Nothing
 * with fifo. */
void turns_enter(struct waiter *p, bool first);

/* It is blocked no more. */
void turns_leave(struct waiter *p);

/* The same, because it is served: its caller has had its turn. */
void turns_pass(struct waiter *p);

/* The policy's `queue` has changed. */
void turns_rebuild(struct agent *a);

/* Who is next at an origin: the oldest request of the caller whose turn it is. NULL: none is blocked. */
struct waiter *turns_next(const struct origin *o);

/* Who is next of the whole agent, among the origins for which `possible` holds, and `near` (may be NULL): the
 * oldest request of the caller whose turn it is, but one of `near` unless it is younger by more than
 * `fairness_us`. NULL: none. */
struct waiter *turns_next_of_agent(const struct agent *a, bool (*possible)(const struct origin *o),
                                   const struct origin *near, uint64_t fairness_us);

/* Whose place this request may take in the full queue of its origin: the newest of the caller that has most
 * there, if that is more than its own caller has. NULL: none does. */
struct waiter *turns_displaced_by(const struct waiter *p);

#endif
