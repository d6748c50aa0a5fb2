#ifndef CARPOOL_ADMIN_TRACK_H
#define CARPOOL_ADMIN_TRACK_H

/* What the diagnosis remembers of an origin: its counters one to two minutes ago, the limits that held since,
 * and what it did in the last seconds. */

#include <stdbool.h>
#include <stdint.h>

#include "admin/traffic.h"
#include "base/hash.h"
#include "pool/pool.h"

/* The counters of an origin at some moment. */
struct figures {
    uint64_t requests, ended, reused, opened;
    uint64_t retired[RETIRE_COUNT];
    uint64_t reused_errors, dead_errors;
    uint64_t texts, texts_plain, repaired, repairs[REPAIR_COUNT];
    uint64_t peer_closed_idle_ms, idle_goaways;
    uint64_t queue_full, timed_out_waiting, held[HELD_BY_COUNT], errors[PROXY_ERROR_COUNT];
};

/* What refuses requests. */
struct limits {
    uint32_t sockets, total, pending;
    uint64_t pending_ms;
};

/* Found by name and age, since the pool may forget the origin at any time, and know another one of that name
 * soon after, or both at a time. */
struct track {
    UT_hash_handle hh;
    struct figures base, next; /* next becomes base when the window ends */
    struct limits limits;      /* under which these came about */
    struct traffic_ring lately;
    uint64_t saturated_since_ms; /* 0: it is not */
    uint64_t looks;              /* the number of the last look that found it */
    char key[];                  /* agent, line feed, when the origin was created, a space, origin */
};

void figures_take(const struct origin_stats *s, struct figures *out);

/* NULL when there is none. `head` is of a table of uthash. */
struct track *track_find_origin(const struct track *head, const struct origin *o);
/* NULL when memory is short, or the names are too long to be worth it. */
struct track *track_make_origin(struct track **head, const struct origin *o);
void track_free(struct track **head, struct track *t);

/* Of the forgotten origins of an agent, as one; made where there is none. NULL when memory is short. */
struct track *track_forgotten(struct track **head, const char *agent);
/* NULL: there is none. */
const struct track *track_find_forgotten(const struct track *head, const char *agent);
bool track_is_forgotten(const struct track *t);
/* An origin is forgotten, and what it has counted is among what its agent's forgotten ones have: what came
 * before the window stays out of that. */
void track_hand_over(struct track **head, const struct track *gone);
/* What happened before no longer counts. */
void track_begin_anew(struct track *t, const struct origin *o);
/* False: a reload changed limits, and what the earlier ones refused says nothing of these. */
bool track_limits_hold(const struct track *t, const struct origin *o);

#endif
