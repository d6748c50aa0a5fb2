/* The head of a response: found, read and, where insecureHTTPParser allows it, repaired. */

#include <string.h>

#include "http/repair.h"
#include "wire/h1_internal.h"

static bool may_repair(const struct h1 *h, enum head_verdict v)
{
    return h->asked.repair && head_verdict_is_repairable(v);
}

/* The same head, strict, in a buffer of its own; where there can be none, what was wrong with it. */
static enum head_verdict parse_repaired(struct h1 *h, struct slice raw, struct head *head, uint32_t *kinds)
{
    struct wire_loop *loop = h->wire->loop;
    h->repaired = buffer_borrow(&loop->heads);
    if (!h->repaired || !buffer_reserve(&h->repaired, REPAIR_ROOM(raw.n)))
        return h->fault;
    struct buffer *b = h->repaired;
    b->end = (uint32_t)repair_head(raw, b->data, kinds);
    if (b->end == 0)
        return h->fault;
    return head_parse_response(buffer_unread(b), &loop->limits, head);
}

/* Said at once: a peer that speaks another protocol may never send the end of a head. */
static bool may_be_http(struct slice data)
{
    const struct slice begin = SLICE("HTTP/");
    size_t n = data.n < begin.n ? data.n : begin.n;
    return memcmp(data.p, begin.p, n) == 0;
}

static enum head_verdict scan(struct h1 *h, size_t *length)
{
    const struct head_limits *limits = &h->wire->loop->limits;
    struct slice data = buffer_unread(h->in);
    if (!may_be_http(data))
        return HEAD_BAD_START_LINE;
    if (h->fault == HEAD_OK) {
        enum head_verdict v = head_scan(data, &h->scanned, limits, length);
        if (!may_repair(h, v))
            return v;
        h->fault = v;
        h->scanned = 0;
    }
    return repair_scan(data, &h->scanned, limits, length);
}

enum head_verdict h1_read_head(struct h1 *h, struct head *head, size_t *length)
{
    uint32_t kinds = 0;
    enum head_verdict v = h->in ? scan(h, length) : HEAD_INCOMPLETE;
    if (v != HEAD_OK)
        return v;
    struct slice raw = {buffer_unread(h->in).p, *length};
    if (h->fault == HEAD_OK) {
        v = head_parse_response(raw, &h->wire->loop->limits, head);
        if (may_repair(h, v))
            h->fault = v;
    }
    if (h->fault != HEAD_OK)
        v = parse_repaired(h, raw, head, &kinds);
    if (v == HEAD_OK && h->asked.repair && repair_framing(head))
        kinds |= UINT32_C(1) << REPAIR_DOUBLED;
    if (kinds && v == HEAD_OK) {
        h->end.repaired = true;
        h->call->repairs = kinds;
    }
    return v;
}

void h1_forget_head(struct h1 *h)
{
    if (h->head_length == 0)
        return; /* none was given: one that is being read goes on */
    buffer_consume(h->in, h->head_length);
    h->head_length = 0;
    h->scanned = 0;
    h->fault = HEAD_OK;
    buffer_give(h->repaired);
    h->repaired = NULL;
}
