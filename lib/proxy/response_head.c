#include "proxy/response_head.h"

#include <string.h>

#include "http/repair.h"

static bool may_repair(const struct exchange *e, enum head_verdict v)
{
    return e->origin->agent->policy->insecureHTTPParser && head_verdict_is_repairable(v);
}

static void note(struct exchange *e, uint32_t kinds)
{
    e->end.repaired = true;
    e->origin->stats.repaired++;
    for (unsigned i = 0; i < REPAIR_COUNT; i++)
        e->origin->stats.repairs[i] += kinds >> i & 1;
}

/* The same head, strict, in a buffer of its own; where there can be none, what was wrong with it. */
static enum head_verdict parse_repaired(struct exchange *e, struct slice raw,
                                        const struct head_limits *limits, uint32_t *kinds)
{
    struct buffer *b = buffer_borrow(&e->proxy->heads);
    struct buffer *large = b && REPAIR_ROOM(raw.n) > b->size ? buffer_grow(b, REPAIR_ROOM(raw.n)) : b;
    if (!large) {
        buffer_give(b);
        return e->head_fault;
    }
    e->repaired = large;
    large->end = (uint32_t)repair_head(raw, large->data, kinds);
    if (large->end == 0)
        return e->head_fault;
    return head_parse_response(buffer_unread(large), limits, &e->proxy->response_head);
}

/* Told at once: who speaks another protocol may never send the end of a head. */
static bool may_be_http(struct slice data)
{
    const struct slice begin = SLICE("HTTP/");
    size_t n = data.n < begin.n ? data.n : begin.n;
    return memcmp(data.p, begin.p, n) == 0;
}

static enum head_verdict scan(struct exchange *e, const struct head_limits *limits, size_t *length)
{
    struct slice data = buffer_unread(e->in);
    if (!may_be_http(data))
        return HEAD_BAD_START_LINE;
    if (e->head_fault == HEAD_OK) {
        enum head_verdict v = head_scan(data, &e->scanned, limits, length);
        if (!may_repair(e, v))
            return v;
        e->head_fault = v;
        e->scanned = 0;
    }
    return repair_scan(data, &e->scanned, limits, length);
}

enum head_verdict response_head_read(struct exchange *e, const struct head_limits *limits, size_t *length)
{
    uint32_t kinds = 0;
    enum head_verdict v = e->in ? scan(e, limits, length) : HEAD_INCOMPLETE;
    if (v != HEAD_OK)
        return v;
    struct slice raw = {buffer_unread(e->in).p, *length};
    if (e->head_fault == HEAD_OK) {
        v = head_parse_response(raw, limits, &e->proxy->response_head);
        if (may_repair(e, v))
            e->head_fault = v;
    }
    if (e->head_fault != HEAD_OK)
        v = parse_repaired(e, raw, limits, &kinds);
    if (v == HEAD_OK && e->origin->agent->policy->insecureHTTPParser &&
        repair_framing(&e->proxy->response_head))
        kinds |= UINT32_C(1) << REPAIR_DOUBLED;
    if (kinds && v == HEAD_OK)
        note(e, kinds);
    return v;
}

void response_head_done(struct exchange *e)
{
    e->scanned = 0;
    e->head_fault = HEAD_OK;
    buffer_give(e->repaired);
    e->repaired = NULL;
}
