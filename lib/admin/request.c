#include "admin/request.h"

#include <assert.h>
#include <string.h>

#define TOO_MUCH_CONTENT "the admin API takes no content of that size"
#define MAX_SKIPPED      16 /* bytes of empty lines before a request */

static const struct head_limits limits = {.max_size = REQUEST_MAX_HEAD, .max_count = 100};

static enum request_progress bad(struct request *r, unsigned status, const char *problem)
{
    r->status = status;
    r->problem = problem;
    return REQUEST_BAD;
}

static enum admin_method method_of(struct slice name)
{
    if (slice_eq(name, SLICE("GET")) || slice_eq(name, SLICE("HEAD")))
        return ADMIN_GET;
    return slice_eq(name, SLICE("POST")) ? ADMIN_POST : ADMIN_OTHER;
}

/* "/path" of "/path?query" and of "http://host/path?query", with the latter's authority. False: neither. */
static bool split_target(struct slice target, struct slice *authority, struct slice *path)
{
    const char *end;

    *authority = (struct slice){NULL, 0};
    if (target.n > 7 && slice_eq_nocase((struct slice){target.p, 7}, SLICE("http://"))) {
        struct slice rest = slice_from(target, 7);
        const char *slash = memchr(rest.p, '/', rest.n);
        size_t n = slash ? (size_t)(slash - rest.p) : rest.n;

        *authority = (struct slice){rest.p, n};
        target = slash ? slice_from(rest, n) : SLICE("/");
    }
    if (target.n == 0 || target.p[0] != '/')
        return false;
    end = memchr(target.p, '?', target.n);
    *path = (struct slice){target.p, end ? (size_t)(end - target.p) : target.n};
    return true;
}

/* p is NULL when there is none. */
static struct slice value_of(const struct head *h, enum field_id id)
{
    const struct field *f = head_find(h, id);

    return f ? f->value : (struct slice){NULL, 0};
}

/* What the guard decides by must be unmistakable. */
static enum request_progress take_head(struct request *r, const struct head *h)
{
    struct slice authority;

    r->method = method_of(h->method);
    r->is_head = slice_eq(h->method, SLICE("HEAD"));
    r->is_http_1_0 = h->minor == 0;
    r->persistent = head_is_persistent(h);
    if (!split_target(h->target, &authority, &r->path))
        return bad(r, 400, "the target is not a path");
    if (head_count(h, FIELD_HOST) > 1 || head_count(h, FIELD_ORIGIN) > 1)
        return bad(r, 400, "Host or Origin stands there twice");
    if (!head_has(h, FIELD_HOST) && !r->is_http_1_0)
        return bad(r, 400, "Host is missing");
    r->host = authority.p ? authority : value_of(h, FIELD_HOST);
    r->origin = value_of(h, FIELD_ORIGIN);
    enum framing_verdict v = framing_of_request(h, &r->framing);
    if (v != FRAMING_OK)
        return bad(r, v == FRAMING_UNKNOWN_CODING ? 501 : 400, framing_verdict_text(v));
    if (r->framing.kind == BODY_LENGTH && r->framing.length > REQUEST_MAX_CONTENT)
        return bad(r, 413, TOO_MUCH_CONTENT);
    r->expects_continue = expects_continue(h) && r->framing.kind != BODY_NONE && !r->is_http_1_0;
    return REQUEST_COMPLETE;
}

/* RFC 9112 2.2: an empty line before a request is ignored; not any number of them. */
static void skip_empty_lines(struct request *r, char *bytes, size_t *n)
{
    size_t skip = 0;

    while (r->skipped < MAX_SKIPPED && *n - skip >= 2 && bytes[skip] == '\r' && bytes[skip + 1] == '\n') {
        skip += 2;
        r->skipped += 2;
    }
    *n -= skip;
    memmove(bytes, bytes + skip, *n);
}

static enum request_progress read_head(struct request *r, struct head *scratch, char *bytes, size_t *n)
{
    size_t length;

    if (r->scanned == 0)
        skip_empty_lines(r, bytes, n);
    if (*n == 0 || (*n == 1 && bytes[0] == '\r'))
        return REQUEST_INCOMPLETE;
    enum head_verdict v = head_scan((struct slice){bytes, *n}, &r->scanned, &limits, &length);
    if (v == HEAD_INCOMPLETE)
        return REQUEST_INCOMPLETE;
    if (v == HEAD_OK)
        v = head_parse_request((struct slice){bytes, length}, &limits, scratch);
    if (v != HEAD_OK)
        return bad(r, head_verdict_status(v), head_verdict_text(v));
    r->head_length = length;
    return take_head(r, scratch);
}

/* So many bytes of content are done with. */
static void take_out(const struct request *r, size_t used, char *bytes, size_t *n)
{
    *n -= used;
    memmove(bytes + r->head_length, bytes + r->head_length + used, *n - r->head_length);
}

static enum request_progress read_length(struct request *r, char *bytes, size_t *n)
{
    size_t left = (size_t)r->framing.length - r->content, there = *n - r->head_length;
    size_t used = left < there ? left : there;

    r->content += used;
    take_out(r, used, bytes, n);
    return used == left ? REQUEST_COMPLETE : REQUEST_INCOMPLETE;
}

static enum request_progress progress_of(struct request *r, enum chunked_event e)
{
    if (r->content > REQUEST_MAX_CONTENT)
        return bad(r, 413, TOO_MUCH_CONTENT);
    if (e == CHUNKED_BAD)
        return bad(r, 400, "the chunked coding is malformed");
    if (e == CHUNKED_TOO_LARGE)
        return bad(r, 413, "the chunked coding has too much beside its content");
    return e == CHUNKED_END ? REQUEST_COMPLETE : REQUEST_INCOMPLETE;
}

static enum request_progress read_chunks(struct request *r, char *bytes, size_t *n)
{
    struct slice rest = {bytes + r->head_length, *n - r->head_length};
    size_t all = rest.n, used;
    enum chunked_event e;

    do {
        struct slice data = {NULL, 0};

        e = chunked_decode(&r->chunked, rest, &used, &data);
        rest = slice_from(rest, used);
        r->content += e == CHUNKED_DATA ? data.n : 0;
    } while ((e == CHUNKED_DATA || e == CHUNKED_TRAILER) && r->content <= REQUEST_MAX_CONTENT);
    take_out(r, all - rest.n, bytes, n);
    return progress_of(r, e);
}

enum request_progress request_read(struct request *r, struct head *scratch, char *bytes, size_t *n)
{
    assert(!r->problem);
    if (r->head_length == 0) {
        enum request_progress p = read_head(r, scratch, bytes, n);
        if (p != REQUEST_COMPLETE)
            return p;
    }
    switch (r->framing.kind) {
    case BODY_LENGTH: return read_length(r, bytes, n);
    case BODY_CHUNKED: return read_chunks(r, bytes, n);
    case BODY_NONE:
    case BODY_CLOSE:
    case BODY_TUNNEL: break;
    }
    return REQUEST_COMPLETE;
}

void request_end(struct request *r, char *bytes, size_t *n)
{
    *n -= r->head_length;
    memmove(bytes, bytes + r->head_length, *n);
    *r = (struct request){0};
}
