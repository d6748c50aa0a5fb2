#include "proxy/queue_hold_text.h"

#include <stdio.h>

#include "config/config.h"
#include "pool/agent.h"

/* `taken` are all that the limit counts: those of one origin, or of its agent. */
static void put_taken(char out[QUEUE_HOLD_TEXT_SIZE], const struct origin *o, uint32_t taken, uint32_t limit,
                      const char *name)
{
    const char *state = taken > 0 && o->connecting_count == taken ? "being opened" : "busy";

    if (limit == 1)
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, "the only connection %s (%s)", state, name);
    else if (limit == 2)
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, "both connections %s (%s)", state, name);
    else
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, "all %u connections %s (%s)", limit, state, name);
}

/* HTTP/2: it bounds the requests that share connections, too. */
static void put_max_sockets(char out[QUEUE_HOLD_TEXT_SIZE], const struct origin *o)
{
    uint32_t limit = o->agent->policy->maxSockets;

    if (!origin_below_max(o))
        put_taken(out, o, origin_sockets(o), limit, "maxSockets");
    else if (!origin_may_begin(o))
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, "%u in flight over HTTP/2 (maxSockets)", limit);
    else
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, "none became free");
}

const char *queue_hold_text(const struct origin *o, char out[QUEUE_HOLD_TEXT_SIZE])
{
    const struct agent *a = o->agent;

    switch (queue_held_by(o)) {
    case HELD_BY_PAUSE:
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, "the agent is paused; to go on: carpoolctl resume %s", a->name);
        break;
    case HELD_BY_MAX_TOTAL: put_taken(out, o, a->total, a->policy->maxTotalSockets, "maxTotalSockets"); break;
    case HELD_BY_STREAMS:
        snprintf(out, QUEUE_HOLD_TEXT_SIZE,
                 "the origin takes no more on its HTTP/2 connections (SETTINGS_MAX_CONCURRENT_STREAMS)");
        break;
    case HELD_BY_MAX_SOCKETS:
    case HELD_BY_COUNT: put_max_sockets(out, o); break;
    }
    return out;
}

const char *queue_full_text(const struct origin *o, char out[QUEUE_HOLD_TEXT_SIZE])
{
    char why[QUEUE_HOLD_TEXT_SIZE];
    uint32_t waiting = o->blocked_count;

    queue_hold_text(o, why);
    if (waiting == 0)
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, "no queue (maxPendingRequests is 0), %.160s", why);
    else
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, "queue full: %u request%s waiting (maxPendingRequests), %.160s",
                 waiting, waiting == 1 ? "" : "s", why);
    return out;
}
