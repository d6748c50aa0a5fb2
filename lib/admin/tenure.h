#ifndef CARPOOL_ADMIN_TENURE_H
#define CARPOOL_ADMIN_TENURE_H

/* Since when the limits are what they are: what earlier ones held says nothing of these. */

#include <stdbool.h>
#include <stdint.h>

#include "admin/span.h"
#include "pool/agent.h"

struct tenure {
    uint32_t max_sockets, max_total;
    uint64_t minute;              /* the number of the one in which they came into force, */
    uint32_t held[HELD_BY_COUNT]; /* and what had been held within it by then */
};

/* False: a reload changed them. */
bool tenure_holds(const struct tenure *t, const struct agent_policy *now);

/* `running` is what the minute has had so far. */
void tenure_begin(struct tenure *t, const struct agent_policy *now, uint64_t minute,
                  const struct span *running);

/* Adds those that earlier limits held, of this minute, to held_before of `out`. */
void tenure_add_before(const struct tenure *t, uint64_t minute, const struct span *of_minute,
                       struct span *out);

#endif
