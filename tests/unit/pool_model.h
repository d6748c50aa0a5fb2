#ifndef CARPOOL_TESTS_POOL_MODEL_H
#define CARPOOL_TESTS_POOL_MODEL_H

/* A model of the queue, beside the real pool: who must be served next, and what may never be. */

#include "pool_test.h"

#define ASKERS  24
#define HOSTS   3
#define CALLERS 4 /* the last one is nobody that is known */

enum standing { OUT, QUEUED, GIVEN, HOLDS };

struct walker {
    struct asker asker;
    enum standing standing; /* GIVEN: settled, not told yet */
    bool owner;
    struct origin *origin;
    bool again;
    unsigned caller;
    enum waiter_state seen; /* of its waiter, at the end of the last step; IDLE: it asked since */
    unsigned long nth;      /* of all requests, the how-manieth to ask first */
    TAILQ_ENTRY(walker) link;
};

TAILQ_HEAD(walker_list, walker);

extern struct walker model_walkers[ASKERS];
extern struct walker_list
    model_queue[HOSTS]; /* as the queue of each origin should be: who waits, oldest first */
extern struct origin *model_origins[HOSTS];
extern bool model_is_shared; /* sockets of HTTP/2, too */

/* What was looked at. */
extern unsigned long model_turns_seen;
extern unsigned long long model_steps_with_sockets;

unsigned model_host_of(const struct origin *o);

/* Repeats first, each in the order in which they first asked. */
void model_join(struct walker *w, bool again);
/* He is notified: he and all others that were given something meanwhile. */
void model_note_settled(struct walker *w);
void model_note_all_given(void);

/* After each step: the model and the pool agree. */
void model_check(void);
/* No list grows above its limit: it shrinks towards one that was lowered. */
void model_check_limits(void);
/* At the end: what was opened is open, or closed for a reason. */
void model_check_books(void);

#endif
