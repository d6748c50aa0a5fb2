#include "http/head.h"

#include <string.h>

#include "http/bytes.h"

static const struct {
    unsigned status;
    bool repairable;
    const char *text;
} verdicts[] = {
#define X(id, status, repairable, text) [id] = {status, repairable, text},
    HEAD_VERDICT_LIST(X)
#undef X
};

unsigned head_verdict_status(enum head_verdict v)
{
    return verdicts[v].status;
}

bool head_verdict_is_repairable(enum head_verdict v)
{
    return verdicts[v].repairable;
}

const char *head_verdict_text(enum head_verdict v)
{
    return verdicts[v].text;
}

/* What is to be said when no head ends within the limit. */
static enum head_verdict verdict_at_limit(struct slice data)
{
    return memchr(data.p, '\n', data.n) ? HEAD_TOO_LARGE : HEAD_LINE_TOO_LONG;
}

/* Finds the line end at or after *at. On HEAD_OK *at is after its LF; on HEAD_INCOMPLETE, where to go on. */
static enum head_verdict scan_line(struct slice data, size_t *at)
{
    const char *p = data.p + *at, *end = data.p + data.n;
    const char *lf = memchr(p, '\n', (size_t)(end - p));
    const char *stop = lf ? lf : end;
    const char *cr = memchr(p, '\r', (size_t)(stop - p));

    /* RFC 9112 2.2: a recipient may take a bare LF for a line end, and must not let a bare CR pass. Readers
     * differ in both, so neither is shared with others. */
    if (cr && cr + 1 < stop)
        return HEAD_BARE_CR;
    if (lf && !cr)
        return HEAD_BARE_LF;
    *at = (size_t)((lf ? lf + 1 : cr ? cr : end) - data.p);
    return lf ? HEAD_OK : HEAD_INCOMPLETE;
}

enum head_verdict head_scan(struct slice data, size_t *scanned, const struct head_limits *limits,
                            size_t *length)
{
    bool full = data.n >= limits->max_size;

    if (full)
        data.n = limits->max_size;
    if (data.n == 0)
        return HEAD_INCOMPLETE;
    /* The limit was higher when that was scanned, and no head ended there. */
    if (*scanned > data.n)
        return verdict_at_limit(data);
    /* Both start lines begin with a token (RFC 9112 3 and 4): what cannot become HTTP, as a TLS hello, is
     * told at once. */
    if (*scanned == 0 && !byte_is(data.p[0], BYTE_TOKEN) && data.p[0] != '\r' && data.p[0] != '\n')
        return HEAD_BAD_START_LINE;

    for (;;) {
        enum head_verdict v = scan_line(data, scanned);
        size_t at = *scanned;

        if (v == HEAD_INCOMPLETE)
            return full ? verdict_at_limit(data) : HEAD_INCOMPLETE;
        if (v != HEAD_OK)
            return v;
        if (at == 2 || data.p[at - 3] == '\n') {
            *length = at;
            return HEAD_OK;
        }
    }
}

const struct field *head_find(const struct head *h, enum field_id id)
{
    if (!head_has(h, id))
        return NULL;
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->fields[i].id == id)
            return &h->fields[i];
    }
    return NULL;
}

uint32_t head_count(const struct head *h, enum field_id id)
{
    uint32_t count = 0;

    if (!head_has(h, id))
        return 0;
    for (uint32_t i = 0; i < h->count; i++)
        count += h->fields[i].id == id;
    return count;
}
