#include "pool/spares.h"

#include "base/clock.h"
#include "pool/pool.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS   30000
/* What clients asked for is kept warm this long after the last request. */
#define INTEREST_MS (10 * 60 * 1000)

void spares_back_off(struct origin *o)
{
    uint64_t wait = (uint64_t)BACKOFF_FIRST_MS << (o->spare_failures < 5 ? o->spare_failures : 5);
    o->spare_failures++;
    o->spare_not_before_ms = clock_ms() + (wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS);
}

static bool wants_spares(const struct origin *o)
{
    const struct agent *a = o->agent;
    if (a->removed || o->moved || a->pool->stopping || a->policy->minFreeSockets == 0 ||
        clock_ms() < o->spare_not_before_ms)
        return false;
    return o->warm || (o->last_request_ms && clock_ms() - o->last_request_ms < INTEREST_MS);
}

void spares_open(struct origin *o)
{
    const struct agent *a = o->agent;
    if (!wants_spares(o))
        return;
    while (o->free_count + (o->connecting_count - o->owned_count - o->waiting_count) <
               a->policy->minFreeSockets &&
           o->free_count < a->policy->maxFreeSockets && origin_below_max(o) && !agent_is_full(a)) {
        if (!socket_connect(o, NULL, OPENED_FOR_WARM))
            return;
    }
}
