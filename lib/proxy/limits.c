#include "proxy/limits.h"

#include <stdio.h>

#include "config/config.h"
#include "pool/agent.h"

const char *limits_text(const struct origin *o, char out[LIMITS_TEXT_SIZE])
{
    const struct agent *a = o->agent;
    bool below_max = origin_below_max(o), by_total = below_max && agent_is_full(a);
    uint32_t limit = by_total ? a->policy->maxTotalSockets : a->policy->maxSockets;
    const char *name = by_total ? "maxTotalSockets" : "maxSockets";

    if (a->paused)
        snprintf(out, LIMITS_TEXT_SIZE, "the agent is paused; to go on: carpoolctl resume %s", a->name);
    else if (below_max && !by_total)
        snprintf(out, LIMITS_TEXT_SIZE, "none became free");
    else if (limit == 1)
        snprintf(out, LIMITS_TEXT_SIZE, "the only connection busy (%s)", name);
    else
        snprintf(out, LIMITS_TEXT_SIZE, "all %u connections busy (%s)", limit, name);
    return out;
}

const char *limits_queue_text(const struct origin *o, char out[LIMITS_TEXT_SIZE])
{
    char why[LIMITS_TEXT_SIZE];
    uint32_t waiting = o->blocked_count;

    limits_text(o, why);
    if (waiting == 0)
        snprintf(out, LIMITS_TEXT_SIZE, "no queue (maxPendingRequests is 0), %.160s", why);
    else
        snprintf(out, LIMITS_TEXT_SIZE, "queue full: %u request%s waiting (maxPendingRequests), %.160s",
                 waiting, waiting == 1 ? "" : "s", why);
    return out;
}
