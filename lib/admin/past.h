#ifndef CARPOOL_ADMIN_PAST_H
#define CARPOOL_ADMIN_PAST_H

/* What the history keeps of each agent, and of the origins that were busy last. */

#include <stdbool.h>
#include <stdint.h>

#include "admin/span.h"
#include "admin/tenure.h"
#include "base/hash.h"
#include "pool/pool.h"

/* Of an agent, or of one of its origins. Found by its name, since the pool may forget either at any time. */
struct past {
    UT_hash_handle hh;
    uint64_t added_ms;        /* of the agent: one that a reload removed has nothing to do with the next */
    uint64_t created_ms;      /* of the origin: another one of the same name begins anew */
    struct origin_stats base; /* as the running minute began */
    struct span running;
    struct tenure tenure;
    struct span *minutes;   /* a ring that all pasts fill together; NULL: nothing happened yet */
    uint32_t quiet_minutes; /* in a row */
    uint64_t looked_ms;     /* when something was there last */
    bool is_origin;
    char key[]; /* agent, line feed, origin */
};

/* All zero at first. */
struct past_table {
    struct past *first; /* a hash by key */
    uint32_t origin_count;
};

/* `p` may be freed meanwhile. */
#define PAST_FOREACH(t, p, next) HASH_ITER (hh, (t)->first, p, next)

/* Of an agent (`o` NULL) or of one of its origins. NULL: there is none, or it is of an earlier agent of this
 * name. */
struct past *past_find(const struct past_table *t, const struct agent *a, const struct origin *o);

/* Instead of that of an earlier agent, and of the quietest origin where there are HISTORY_ORIGINS. NULL when
 * memory is short, or the names are too long to be worth it. */
struct past *past_make(struct past_table *t, const struct agent *a, const struct origin *o);

void past_free(struct past_table *t, struct past *p);
void past_free_all(struct past_table *t);

#endif
