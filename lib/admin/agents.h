#ifndef CARPOOL_ADMIN_AGENTS_H
#define CARPOOL_ADMIN_AGENTS_H

/* The pools of all loops as JSON, each agent once (its first pool's share leads to the others): names and
 * meanings as in carpoold(8). Limits that are lifted are null. */

#include "admin/diagnosis.h"
#include "admin/server.h"
#include "admin/text.h"
#include "pool/http2.h"
#include "pool/pool.h"

/* {"daemon": {...}, "agents": [...]}, those that drain after their removal from the configuration last. */
void agents_write_all(struct text *t, const struct admin_daemon *daemon, struct diagnosis *d);

/* The same and the callers, all of one moment: what the page shows. */
void agents_write_live(struct text *t, const struct admin_daemon *daemon, struct diagnosis *d);

/* One of them. */
void agents_write_one(struct text *t, const struct agent *a, struct diagnosis *d);

/* ,"requestsPerSecond":...,"errorsPerSecond":...,"refusedPerSecond":... */
void agents_write_rates(struct text *t, const struct traffic_rates *r);

/* {"connections":...,"connectMs":...} */
void agents_write_savings(struct text *t, const struct savings *saved);

/* What an origin, or all of an agent's, have now. */
struct groups {
    uint32_t active, connecting, free, pending;
    uint64_t oldest_pending_us;
    struct http2_figures http2;
};

/* What its origins have and had, the forgotten ones included. */
struct agent_totals {
    struct groups now;
    struct origin_stats stats;
    struct savings saved;
};

void origin_groups(const struct origin *o, struct groups *out);
void groups_add(struct groups *to, const struct groups *from);

/* Requests that were given a connection: one each, over HTTP/2 several. */
uint32_t groups_running(const struct groups *g);

void agent_totals(const struct agent *a, struct agent_totals *out);

#endif
