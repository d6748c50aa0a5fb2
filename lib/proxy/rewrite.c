#include "proxy/rewrite.h"

#include <assert.h>

#include "base/decimal.h"
#include "http/bytes.h"
#include "proxy/put.h"

/* What is added to a head beside its own bytes, at most: see the callers. */
#define ADDED_BYTES 512

static char *put_length(char *at, uint64_t length)
{
    at = put(at, SLICE("Content-Length: "));
    at = decimal_put(at, length);
    return put(at, SLICE("\r\n"));
}

static struct slice version_of(const struct head *h, bool is_http2)
{
    if (is_http2)
        return SLICE("2.0");
    return h->minor == 0 ? SLICE("1.0") : SLICE("1.1");
}

static char *put_via(char *at, struct slice version, struct slice name)
{
    if (name.n == 0)
        return at;
    at = put(at, SLICE("Via: "));
    at = put(at, version);
    at = put(at, SLICE(" "));
    at = put(at, name);
    return put(at, SLICE("\r\n"));
}

/* Every field with its separators, and what we add: behind each comma of Upgrade a space. */
static size_t most_bytes(const struct head *h, size_t extra)
{
    size_t n = h->method.n + h->reason.n + extra + ADDED_BYTES;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        n += f->name.n + f->value.n + 4 + (f->id == FIELD_UPGRADE ? f->value.n : 0);
    }
    return n;
}

/* All that was put had room: see most_bytes(). */
static bool ends_at(struct buffer *b, const char *at)
{
    b->end = (uint32_t)(at - b->data);
    assert(b->end <= b->size);
    return true;
}

/* Bytes beyond ASCII are percent-encoded (RFC 3986 2.1), three for one. */
static size_t encoded_length(struct slice path)
{
    size_t n = path.n;
    if (n == 0)
        return 0; /* it may point nowhere */
    const char *p = path.p, *end = p + n;
    while ((p = bytes_skip_visible(p, end)) < end) {
        n += 2;
        p++;
    }
    return n;
}

static char *put_encoded(char *at, struct slice path)
{
    static const char digits[] = "0123456789ABCDEF";
    if (path.n == 0)
        return at; /* it may point nowhere */
    const char *end = path.p + path.n;
    for (const char *p = path.p; p < end; p++) {
        const char *stop = bytes_skip_visible(p, end);
        at = put(at, (struct slice){p, (size_t)(stop - p)});
        p = stop;
        if (p == end)
            break;
        *at++ = '%';
        *at++ = digits[(unsigned char)*p >> 4];
        *at++ = digits[(unsigned char)*p & 15];
    }
    return at;
}

static char *put_target(char *at, const struct head *h, struct slice path)
{
    if (path.n == 0)
        return put(at, slice_eq(h->method, SLICE("OPTIONS")) ? SLICE("*") : SLICE("/"));
    if (path.p[0] == '?')
        *at++ = '/';
    return put_encoded(at, path);
}

/* Max-Forwards counts the hops of TRACE and OPTIONS down (RFC 9110 7.6.2); zero was answered before. */
static char *put_max_forwards(char *at, const struct head *h, const struct field *f)
{
    unsigned long long left;
    bool counts = slice_eq(h->method, SLICE("TRACE")) || slice_eq(h->method, SLICE("OPTIONS"));
    if (!counts || !slice_to_u64(f->value, &left) || left == 0)
        return put_field(at, f->name, f->value);
    at = put(at, SLICE("Max-Forwards: "));
    at = decimal_put(at, left - 1);
    return put(at, SLICE("\r\n"));
}

static char *put_upgrade(char *at, const struct field *f)
{
    struct slice list = f->value, protocol;
    if (!upgrade_next(&list, &protocol))
        return at;
    at = put(put(put(at, f->name), SLICE(": ")), protocol);
    while (upgrade_next(&list, &protocol))
        at = put(put(at, SLICE(", ")), protocol);
    return put(at, SLICE("\r\n"));
}

static char *put_request_fields(char *at, const struct head *h, const struct outgoing_request *o)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (f->id == FIELD_HOST || f->id == FIELD_CONTENT_LENGTH)
            continue;
        if (f->id == FIELD_UPGRADE && o->upgrade)
            at = put_upgrade(at, f);
        else if (field_stays_on_hop(f))
            continue;
        else if (f->id == FIELD_MAX_FORWARDS)
            at = put_max_forwards(at, h, f);
        else if (f->id == FIELD_EXPECT && h->minor == 0)
            continue; /* RFC 9110 10.1.1: not understood in HTTP/1.0 */
        else
            at = put_field(at, f->name, f->value);
    }
    return at;
}

bool rewrite_request(struct buffer **out, const struct head *h, const struct outgoing_request *o)
{
    if (!buffer_reserve(out, most_bytes(h, encoded_length(o->path) + o->authority.n + o->via_name.n)))
        return false;
    struct buffer *b = *out;
    char *at = b->data;
    at = put(at, h->method);
    *at++ = ' ';
    at = put_target(at, h, o->path);
    at = put(at, SLICE(" HTTP/1.1\r\nHost: "));
    at = put(at, o->authority);
    at = put(at, SLICE("\r\n"));
    at = put_request_fields(at, h, o);
    at = put_via(at, version_of(h, false), o->via_name);
    if (o->framing.kind == BODY_LENGTH)
        at = put_length(at, o->framing.length);
    else if (o->framing.kind == BODY_CHUNKED)
        at = put(at, SLICE("Transfer-Encoding: chunked\r\n"));
    return ends_at(b, at);
}

static char *put_response_fields(char *at, const struct head *h, const struct outgoing_response *o)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (f->id == FIELD_CONTENT_LENGTH)
            continue;
        bool upgrade = f->id == FIELD_UPGRADE && (o->upgrade || h->status == 426);
        if (!upgrade && field_stays_on_hop(f))
            continue;
        at = o->own.urls == OWN_URLS_KEPT ? put_field(at, f->name, f->value) : own_urls_put(at, f, &o->own);
    }
    return at;
}

static char *put_response_framing(char *at, const struct head *h, const struct outgoing_response *o)
{
    bool has_length = o->framing.kind == BODY_LENGTH || (o->bodiless && head_has(h, FIELD_CONTENT_LENGTH));
    if (o->chunked)
        return put(at, SLICE("Transfer-Encoding: chunked\r\n"));
    /* RFC 9110 8.6: none in a 204. */
    if (has_length && h->status != 204)
        return put_length(at, o->framing.length);
    return at;
}

static char *put_response_connection(char *at, const struct head *h, const struct outgoing_response *o)
{
    if (o->upgrade)
        return put(at, SLICE("Connection: Upgrade\r\n"));
    bool names_upgrade = h->status == 426 && head_has(h, FIELD_UPGRADE);
    if (o->close)
        return put(at,
                   names_upgrade ? SLICE("Connection: close, Upgrade\r\n") : SLICE("Connection: close\r\n"));
    at = put(at, names_upgrade ? SLICE("Connection: keep-alive, Upgrade\r\n")
                               : SLICE("Connection: keep-alive\r\n"));
    if (o->keep_alive_seconds) {
        at = put(at, SLICE("Keep-Alive: timeout="));
        at = decimal_put(at, o->keep_alive_seconds);
        at = put(at, SLICE("\r\n"));
    }
    return at;
}

static char *put_date(char *at, const struct head *h, const struct outgoing_response *o)
{
    if (o->date.n == 0 || o->interim || o->upgrade || head_has(h, FIELD_DATE))
        return at;
    return put_field(at, SLICE("Date"), o->date);
}

bool rewrite_response(struct buffer **out, const struct head *h, const struct outgoing_response *o)
{
    size_t longer = o->own.urls == OWN_URLS_KEPT ? 0 : h->count * OWN_URLS_LONGER;
    if (!buffer_reserve(out, most_bytes(h, o->via_name.n + o->server_timing.n + longer)))
        return false;
    struct buffer *b = *out;
    char *at = b->data;
    at = put(at, SLICE("HTTP/1.1 "));
    at = decimal_put(at, h->status);
    *at++ = ' ';
    at = put(at, h->reason);
    at = put(at, SLICE("\r\n"));
    at = put_response_fields(at, h, o);
    at = put_date(at, h, o);
    at = put_via(at, version_of(h, o->from_http2), o->via_name);
    at = put(at, o->server_timing);
    if (!o->interim && !o->upgrade)
        at = put_response_framing(at, h, o);
    if (!o->interim)
        at = put_response_connection(at, h, o);
    at = put(at, SLICE("\r\n"));
    return ends_at(b, at);
}
