#include "pool/reuse.h"

enum retire_reason reuse_refusal(const struct call_end *end, const struct reuse_limits *l)
{
    if (!end->response_complete)
        return RETIRE_ERROR;
    if (!end->request_complete)
        return RETIRE_EARLY_RESPONSE;
    if (end->repaired)
        return RETIRE_PROTOCOL_ERROR;
    if (!end->self_delimiting)
        return RETIRE_CLOSE_DELIMITED;
    /* What the message said goes before how the connection ended. */
    if (l->stopping)
        return RETIRE_SHUTDOWN;
    if (!l->keep_alive)
        return RETIRE_KEEPALIVE_OFF;
    if (l->exchanges >= l->max_requests)
        return RETIRE_MAX_REQUESTS;
    if (!end->origin_persistent || end->told_close)
        return RETIRE_CONNECTION_CLOSE;
    if (!end->drained)
        return end->peer_ended ? RETIRE_PEER_CLOSED : RETIRE_UNEXPECTED_DATA;
    if (!l->wanted)
        return RETIRE_DRAINED;
    if (l->max_age_ms && l->age_ms >= l->max_age_ms)
        return RETIRE_MAX_AGE;
    if (l->has_hint_max && l->hint_left == 0)
        return RETIRE_KEEPALIVE_HINT;
    if (l->has_hint_timeout && l->hint_timeout_ms <= l->hint_buffer_ms)
        return RETIRE_KEEPALIVE_HINT;
    return RETIRE_NONE;
}
