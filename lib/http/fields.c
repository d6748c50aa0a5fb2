#include "http/fields.h"

#include "http/bytes.h"
#include "http/head.h"

static const struct slice names[FIELD_ID_COUNT] = {
#define X(id, name, hop) [id] = SLICE(name),
    FIELD_LIST(X)
#undef X
};

static const bool hop_by_hop[FIELD_ID_COUNT] = {
#define X(id, name, hop) [id] = hop,
    FIELD_LIST(X)
#undef X
};

_Static_assert(FIELD_ID_COUNT <= 64, "head.present has a bit for each");

static enum field_id candidate_of_16(char first)
{
    switch (first) {
    case 'c': return FIELD_CONTENT_ENCODING;
    case 'p': return FIELD_PROXY_CONNECTION;
    default: return FIELD_WWW_AUTHENTICATE;
    }
}

static enum field_id candidate_of_12(char first)
{
    switch (first) {
    case 'c': return FIELD_CONTENT_TYPE;
    case 'm': return FIELD_MAX_FORWARDS;
    default: return FIELD_PROXY_STATUS;
    }
}

/* Length and first letter leave one name at most. */
static enum field_id candidate(size_t length, char first)
{
    switch (length) {
    case 2: return FIELD_TE;
    case 3: return FIELD_VIA;
    case 4: return first == 'h' ? FIELD_HOST : FIELD_DATE;
    case 6: return first == 'e' ? FIELD_EXPECT : FIELD_ORIGIN;
    case 7: return first == 'u' ? FIELD_UPGRADE : FIELD_TRAILER;
    case 10: return first == 'c' ? FIELD_CONNECTION : FIELD_KEEP_ALIVE;
    case 12: return candidate_of_12(first);
    case 13: return FIELD_AUTHORIZATION;
    case 14: return first == 'c' ? FIELD_CONTENT_LENGTH : FIELD_HTTP2_SETTINGS;
    case 15: return first == 'a' ? FIELD_ACCEPT_ENCODING : FIELD_IDEMPOTENCY_KEY;
    case 16: return candidate_of_16(first);
    case 17: return first == 't' ? FIELD_TRANSFER_ENCODING : FIELD_X_IDEMPOTENCY_KEY;
    case 18: return FIELD_PROXY_AUTHENTICATE;
    case 19: return FIELD_PROXY_AUTHORIZATION;
    case 25: return FIELD_PROXY_AUTHENTICATION_INFO;
    default: return FIELD_OTHER;
    }
}

enum field_id field_lookup(struct slice name)
{
    char first = '\0';
    if (name.n > 0)
        first = byte_lower(name.p[0]);
    enum field_id id = candidate(name.n, first);

    if (id == FIELD_OTHER || names[id].p[0] != first || !slice_eq_nocase(name, names[id]))
        return FIELD_OTHER;
    return id;
}

bool field_is_hop_by_hop(enum field_id id)
{
    return hop_by_hop[id];
}

/* Framing, routing and what the next hop must know: a Connection that names one of these is mistaken or
 * malicious (RFC 9110 7.6.1: never an end-to-end field), and without the field it would be another message. */
static bool is_protected(enum field_id id)
{
    switch (id) {
    case FIELD_CONTENT_LENGTH:
    case FIELD_HOST:
    case FIELD_VIA:
    case FIELD_EXPECT:
    case FIELD_MAX_FORWARDS:
    case FIELD_DATE: return true;
    case FIELD_OTHER:
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TE:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
    case FIELD_PROXY_AUTHORIZATION:
    case FIELD_PROXY_AUTHENTICATE:
    case FIELD_PROXY_AUTHENTICATION_INFO:
    case FIELD_HTTP2_SETTINGS:
    case FIELD_TRAILER:
    case FIELD_AUTHORIZATION:
    case FIELD_WWW_AUTHENTICATE:
    case FIELD_PROXY_STATUS:
    case FIELD_ORIGIN:
    case FIELD_IDEMPOTENCY_KEY:
    case FIELD_X_IDEMPOTENCY_KEY:
    case FIELD_ACCEPT_ENCODING:
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_TYPE:
    case FIELD_ID_COUNT: break;
    }
    return false;
}

bool field_stays_on_hop(const struct field *f)
{
    return hop_by_hop[f->id] || (f->nominated && !is_protected(f->id));
}

static void nominate(struct head *h, struct slice option)
{
    for (uint32_t i = 0; i < h->count; i++) {
        struct field *f = &h->fields[i];

        if (slice_eq_nocase(f->name, option))
            f->nominated = true;
    }
}

/* Each option is looked for among all fields: a list without a limit would cost far more than its bytes. */
static bool few_members(struct slice list, uint32_t *left)
{
    const char *end = list.p + list.n;

    for (const char *p = list.p; p && p < end; p++) {
        if (*left == 0)
            return false;
        --*left;
        p = memchr(p, ',', (size_t)(end - p));
        if (!p)
            break;
    }
    return true;
}

bool fields_nominate(struct head *h, uint32_t max)
{
    if (!head_has(h, FIELD_CONNECTION))
        return true;
    for (uint32_t i = 0; i < h->count; i++) {
        struct slice list = h->fields[i].value, option;

        if (h->fields[i].id != FIELD_CONNECTION)
            continue;
        /* What nearly every message has names a field that stays anyway. */
        if (slice_eq_nocase(list, SLICE("keep-alive")))
            continue;
        if (!few_members(list, &max))
            return false;
        while (bytes_next_element(&list, &option))
            nominate(h, option);
    }
    return true;
}

/* Whether a line of this field has `member` in its list of tokens. */
static bool list_has(const struct head *h, enum field_id id, struct slice member)
{
    if (!head_has(h, id))
        return false;
    for (uint32_t i = 0; i < h->count; i++) {
        struct slice list = h->fields[i].value, element;

        if (h->fields[i].id != id)
            continue;
        while (bytes_next_element(&list, &element)) {
            if (slice_eq_nocase(element, member))
                return true;
        }
    }
    return false;
}

bool connection_has(const struct head *h, struct slice option)
{
    return list_has(h, FIELD_CONNECTION, option);
}

bool head_is_persistent(const struct head *h)
{
    if (connection_has(h, SLICE("close")))
        return false;
    return h->minor > 0 || connection_has(h, SLICE("keep-alive"));
}

bool te_has_trailers(const struct head *h)
{
    return list_has(h, FIELD_TE, SLICE("trailers"));
}

/* RFC 9110 10.1.1: in HTTP/1.0 it is ignored. */
bool expects_continue(const struct head *h)
{
    return h->minor > 0 && list_has(h, FIELD_EXPECT, SLICE("100-continue"));
}

/* Fields that say how to read, route, cache, guard or answer a message come too late in a trailer, and a
 * recipient that merges them into the head is misled (RFC 9110 6.5.1). Those of FIELD_LIST are all of that
 * kind. */
static const struct slice not_in_trailers[] = {
    SLICE("age"),
    SLICE("alt-svc"),
    SLICE("cache-control"),
    SLICE("clear-site-data"),
    SLICE("content-disposition"),
    SLICE("content-language"),
    SLICE("content-location"),
    SLICE("content-range"),
    SLICE("content-security-policy"),
    SLICE("cookie"),
    SLICE("early-data"),
    SLICE("expires"),
    SLICE("forwarded"),
    SLICE("from"),
    SLICE("host"),
    SLICE("location"),
    SLICE("pragma"),
    SLICE("range"),
    SLICE("referer"),
    SLICE("refresh"),
    SLICE("retry-after"),
    SLICE("set-cookie"),
    SLICE("strict-transport-security"),
    SLICE("user-agent"),
    SLICE("vary"),
    SLICE("warning"),
    SLICE("x-http-method-override"),
    SLICE("x-method-override"),
    SLICE("x-real-ip"),
};

static const struct slice not_in_trailers_prefixes[] = {
    SLICE("accept"), SLICE("access-control-"), SLICE("if-"),         SLICE("proxy-"),
    SLICE("sec-"),   SLICE("x-forwarded-"),    SLICE("x-original-"), SLICE("x-rewrite-"),
};

bool field_allowed_in_trailer(const struct field *f)
{
    if (f->id != FIELD_OTHER)
        return false;
    for (size_t i = 0; i < sizeof not_in_trailers / sizeof *not_in_trailers; i++) {
        if (slice_eq_nocase(f->name, not_in_trailers[i]))
            return false;
    }
    for (size_t i = 0; i < sizeof not_in_trailers_prefixes / sizeof *not_in_trailers_prefixes; i++) {
        if (slice_begins_nocase(f->name, not_in_trailers_prefixes[i]))
            return false;
    }
    return true;
}
