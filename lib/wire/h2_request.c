/* From the head of a request as HTTP/1.1 has it to what HTTP/2 has instead (RFC 9113 8.2 and 8.3). */

#include <string.h>

#include "http/fields.h"
#include "wire/h2_internal.h"

/* Four that begin with a colon, and te. */
#define ADDED_FIELDS 5

/* A connection whose numbers of streams run out is replaced before (RFC 9113 5.1.1). */
#define LAST_STREAM_ID (INT32_MAX - 4096)

struct outgoing {
    nghttp2_nv fields[HEAD_MAX_FIELDS + 16 + ADDED_FIELDS];
    size_t count;
    struct buffer *cookies; /* several in one; NULL: at most one was there */
};

static void put(struct outgoing *o, struct slice name, struct slice value, uint8_t flags)
{
    if (o->count == sizeof o->fields / sizeof *o->fields)
        return;
    o->fields[o->count++] = (nghttp2_nv){(uint8_t *)name.p, (uint8_t *)value.p, name.n, value.n, flags};
}

/* No field has a CR but the one that ends it (RFC 9110 5.5). */
static struct slice next_line(struct slice *rest)
{
    const char *end = memchr(rest->p, '\r', rest->n);
    struct slice line = {rest->p, end ? (size_t)(end - rest->p) : rest->n};
    *rest = slice_from(*rest, line.n + 2);
    return line;
}

static bool split(struct slice line, struct slice *name, struct slice *value)
{
    const char *colon = memchr(line.p, ':', line.n);
    if (!colon)
        return false;
    *name = (struct slice){line.p, (size_t)(colon - line.p)};
    *value = slice_trim(slice_from(line, name->n + 1));
    return true;
}

static size_t put_request_line(struct outgoing *o, const struct h2_stream *s, struct slice line)
{
    const char *first = memchr(line.p, ' ', line.n), *last = memrchr(line.p, ' ', line.n);
    struct slice scheme = s->h2->wire->conn.tls ? SLICE("https") : SLICE("http");
    put(o, SLICE(":method"), (struct slice){line.p, (size_t)(first - line.p)}, 0);
    put(o, SLICE(":scheme"), scheme, 0);
    put(o, SLICE(":authority"), s->asked.authority, 0);
    put(o, SLICE(":path"), (struct slice){first + 1, (size_t)(last - first - 1)}, 0);
    return o->count;
}

/* Clients of several apps share one table of fields: what is a secret never stands in it (RFC 7541 7.1). */
static uint8_t flags_of(struct slice name, enum field_id id)
{
    bool secret = id == FIELD_AUTHORIZATION || slice_eq_nocase(name, SLICE("cookie"));
    return secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
}

/* Several Cookie lines are one field (RFC 9113 8.2.3: some receivers do not join them). */
static bool join_cookies(struct outgoing *o, struct slice head, struct buffer_pool *pool)
{
    struct slice rest = head, name, value;
    o->cookies = buffer_borrow(pool);
    if (!o->cookies || !buffer_reserve(&o->cookies, head.n + 2))
        return false;
    while (rest.n > 0) {
        if (!split(next_line(&rest), &name, &value) || !slice_eq_nocase(name, SLICE("cookie")))
            continue;
        if (o->cookies->end > 0)
            buffer_append(o->cookies, SLICE("; "));
        buffer_append(o->cookies, value);
    }
    put(o, SLICE("cookie"), buffer_unread(o->cookies), NGHTTP2_NV_FLAG_NO_INDEX);
    return true;
}

/* All but what is HTTP/1.1's own, and Host, which is :authority. Returns how many cookies were left out. */
static unsigned put_fields(struct outgoing *o, struct slice lines, bool several_cookies)
{
    struct slice name, value;
    unsigned cookies = 0;
    while (lines.n > 0) {
        if (!split(next_line(&lines), &name, &value))
            continue;
        enum field_id id = field_lookup(name);
        if (id == FIELD_HOST || field_is_hop_by_hop(id))
            continue;
        bool cookie = slice_eq_nocase(name, SLICE("cookie"));
        cookies += cookie;
        if (!cookie || !several_cookies)
            put(o, name, value, flags_of(name, id));
    }
    return cookies;
}

/* The fields of a head, its first line taken off. */
static bool translate(struct outgoing *o, struct h2_stream *s)
{
    struct slice lines = s->asked.head;
    size_t begin = put_request_line(o, s, next_line(&lines));
    if (put_fields(o, lines, false) > 1) {
        o->count = begin;
        put_fields(o, lines, true);
        if (!join_cookies(o, lines, &s->h2->wire->loop->heads))
            return false;
    }
    if (s->asked.te_trailers)
        put(o, SLICE("te"), SLICE("trailers"), 0);
    return true;
}

/* The stream ends with its head: nothing follows, or nothing of content of unknown length. */
static bool is_bodiless(const struct h2_stream *s)
{
    switch (s->asked.framing.kind) {
    case BODY_NONE: return true;
    case BODY_LENGTH: return s->asked.framing.length == 0;
    case BODY_CHUNKED:
    case BODY_CLOSE:
    case BODY_TUNNEL: break;
    }
    return s->last && s->run == s->run_count && s->trailing.n == 0;
}

bool h2_submit(struct h2_stream *s)
{
    struct outgoing o;
    const nghttp2_data_provider provider = {.source.ptr = s, .read_callback = h2_read_content};
    bool bodiless = is_bodiless(s);
    o.count = 0;
    o.cookies = NULL;
    int32_t id = NGHTTP2_ERR_NOMEM;
    if (translate(&o, s))
        id = nghttp2_submit_request(s->h2->session, NULL, o.fields, o.count, bodiless ? NULL : &provider, s);
    buffer_give(o.cookies);
    if (id < 0)
        return false;
    s->id = id;
    if (id >= LAST_STREAM_ID)
        h2_drain(s->h2, RETIRE_MAX_REQUESTS);
    s->request = bodiless ? H2_REQUEST_SENT : H2_REQUEST_SENDING;
    if (bodiless) {
        s->run = s->run_count = 0;
        s->trailing = (struct slice){"", 0};
    }
    return true;
}

bool h2_submit_trailers(struct h2_stream *s)
{
    struct outgoing o;
    o.count = 0;
    put_fields(&o, s->trailing, false);
    return nghttp2_submit_trailer(s->h2->session, s->id, o.fields, o.count) == 0;
}
