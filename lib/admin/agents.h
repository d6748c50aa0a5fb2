#ifndef CARPOOL_ADMIN_AGENTS_H
#define CARPOOL_ADMIN_AGENTS_H

/* The pools of all loops as JSON, each agent once (its first pool's share leads to the others): names and meanings as in carpoold(8). Limits that are lifted are null. */

#include "admin/diagnosis.h"
#include "admin/text.h"
#include "pool/pool.h"

/* {"agents": [...]}, those that drain after their removal from the configuration last. */
void agents_write_all(struct text *t, struct pool *const *pools, unsigned count, struct diagnosis *d);

/* One of them. */
void agents_write_one(struct text *t, const struct agent *a, struct diagnosis *d);

/* What its origins have and had, the forgotten ones included. */
struct agent_totals {
    uint32_t active, connecting, free, pending;
    struct origin_stats stats;
};

void agent_totals(const struct agent *a, struct agent_totals *out);

#endif
