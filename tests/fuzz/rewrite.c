/* Heads as they leave, in both directions. The first byte says how, the others are a head. What Carpool makes
 * of a head that it took is read again by the strict reader: the same message, less what stays on its hop,
 * more what is Carpool's to say. Which fields those are is said here anew, by RFC 9110 7.6. */

#include <strings.h>

#include "../unit/proxy_rig.h"
#include "http_fuzz.h"

#include "http/bytes.h"
#include "proxy/rewrite.h"
#include "proxy/route.h"
#include "wire/h1.h"

enum {
    RESPONSE = 1,
    FROM_GATEWAY = 2,
    CLOSE = 4,
    TO_HTTP_1_0 = 8,
    ASKED_HEAD = 16,
    SWITCHED = 32,
    NO_VIA = 64,
    OWN_URLS = 128
};

#define INSTANCE "carpool-test"

static struct proxy_rig rig;
static struct frontend *gateway;
static struct head head, again;

static void prepare(void)
{
    struct address here;

    proxy_rig_open(&rig, "match: [\"*\", a.test], host: a.test, listen: 127.0.0.1:3199", "");
    fuzz_assert(address_parse(&here, SLICE("unix:/run/u.sock"))); /* takes any Host */
    gateway = frontend_new("u", &here);
}

/* --- RFC 9110 7.6, said anew ------------------------------------------------------------------------------ */

static bool is_one_of(const char *const *names, struct slice name)
{
    for (; *names; names++)
        if (strlen(*names) == name.n && strncasecmp(*names, name.p, name.n) == 0)
            return true;
    return false;
}

/* Whether this field is passed on as it is. */
static bool is_passed_on(const struct head *h, const struct field *f, bool upgrade)
{
    static const char *const of_the_hop[] = {"connection",         "keep-alive",
                                             "proxy-connection",   "te",
                                             "transfer-encoding",  "proxy-authorization",
                                             "proxy-authenticate", "proxy-authentication-info",
                                             "http2-settings",     NULL};
    static const char *const anew[] = {"content-length", NULL};
    static const char *const protected[] = {"host", "via", "expect", "max-forwards", "date", NULL};

    if (f->name.n == 7 && strncasecmp(f->name.p, "upgrade", 7) == 0)
        return upgrade;
    if (is_one_of(of_the_hop, f->name) || is_one_of(anew, f->name))
        return false;
    return is_one_of(protected, f->name) || !fuzz_connection_names(h, f->name);
}

/* --- Either direction -------------------------------------------------------------------------------------- */

/* Field lines of `again`, one after the other. */
struct reader {
    uint32_t at;
};

static const struct field *next_field(struct reader *r)
{
    fuzz_assert(r->at < again.count);
    return &again.fields[r->at++];
}

static void expect_field(struct reader *r, const char *name, struct slice value)
{
    const struct field *f = next_field(r);

    fuzz_assert(slice_eq_nocase(f->name, slice_of(name)) && slice_eq(f->value, value));
}

static void expect_number(struct reader *r, const char *name, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    expect_field(r, name, slice_of(text));
}

static struct slice via_name(unsigned flags)
{
    return flags & NO_VIA ? SLICE("") : SLICE(INSTANCE);
}

static void expect_via(struct reader *r, struct slice name)
{
    if (name.n == 0)
        return;
    expect_field(r, "via", head.minor ? SLICE("1.1 " INSTANCE) : SLICE("1.0 " INSTANCE));
    fuzz_assert(via_names(&again, SLICE(INSTANCE)));
}

static void expect_connection(struct reader *r, bool close, bool upgrade)
{
    const struct field *f = next_field(r);

    fuzz_assert(f->id == FIELD_CONNECTION && head_count(&again, FIELD_CONNECTION) == 1);
    fuzz_assert(upgrade || connection_has(&again, SLICE("close")) == close);
    fuzz_assert(connection_has(&again, SLICE("upgrade")) == head_has(&again, FIELD_UPGRADE));
    fuzz_assert(connection_has(&again, SLICE("te")) == head_has(&again, FIELD_TE));
    fuzz_assert(head_is_persistent(&again) == !close || upgrade);
}

/* Whole, and nothing but a head. */
static struct slice read_again(struct buffer *b, struct slice tail, bool request)
{
    static const struct head_limits limits = {.max_size = UINT32_MAX, .max_count = HEAD_MAX_FIELDS};
    struct slice written = buffer_unread(b);
    size_t n = written.n + tail.n, scanned = 0, length;
    char *text = malloc(n);

    memcpy(text, written.p, written.n);
    memcpy(text + written.n, tail.p, tail.n);
    struct slice whole = {text, n};
    fuzz_assert(head_scan(whole, &scanned, &limits, &length) == HEAD_OK && length == n);
    fuzz_assert((request ? head_parse_request : head_parse_response)(whole, &limits, &again) == HEAD_OK);
    fuzz_assert(again.minor == 1);
    fuzz_check_head(&again, whole);
    return whole;
}

/* --- Requests ----------------------------------------------------------------------------------------------- */

/* All but h2c, in their order. */
static void expect_upgrade(struct slice sent, struct slice asked)
{
    struct slice a, b;

    while (slice_next_element(&asked, &a)) {
        if (!slice_eq_nocase(a, SLICE("h2c")))
            fuzz_assert(slice_next_element(&sent, &b) && slice_eq(a, b));
    }
    fuzz_assert(!slice_next_element(&sent, &b));
}

static void expect_request_field(struct reader *r, const struct field *from)
{
    bool counts = slice_eq(head.method, SLICE("TRACE")) || slice_eq(head.method, SLICE("OPTIONS"));
    const struct field *f;
    unsigned long long left;

    if (counts && from->id == FIELD_MAX_FORWARDS && slice_to_u64(from->value, &left)) {
        fuzz_assert(left > 0);
        expect_number(r, "max-forwards", left - 1);
        return;
    }
    f = next_field(r);
    fuzz_assert(slice_eq(f->name, from->name));
    if (from->id == FIELD_UPGRADE)
        expect_upgrade(f->value, from->value);
    else
        fuzz_assert(slice_eq(f->value, from->value));
}

/* Byte by byte, those beyond ASCII as three. */
static void expect_encoded(struct slice sent, struct slice path)
{
    char three[4];
    size_t at = 0;

    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];

        snprintf(three, sizeof three, c < 0x80 ? "%c" : "%%%02X", c);
        fuzz_assert(at + strlen(three) <= sent.n && memcmp(sent.p + at, three, strlen(three)) == 0);
        at += strlen(three);
    }
    fuzz_assert(at == sent.n);
}

static void check_target(const struct route *route)
{
    struct slice path = route->uri.path_query;
    struct uri uri;

    fuzz_assert(again.target.n > 0 && bytes_all(again.target, BYTE_VISIBLE));
    if (path.n > 0 && path.p[0] == '/')
        expect_encoded(again.target, path);
    else if (path.n > 0)
        expect_encoded(slice_from(again.target, 1), path);
    else
        fuzz_assert(
            slice_eq(again.target, slice_eq(head.method, SLICE("OPTIONS")) ? SLICE("*") : SLICE("/")));
    fuzz_assert(slice_eq(again.target, SLICE("*")) || uri_parse_origin_form(again.target, &uri) == URI_OK);
}

static void check_request(const struct route *route, const struct outgoing_request *o, bool close, bool te)
{
    struct framing framing;
    struct reader r = {0};

    fuzz_assert(slice_eq(again.method, head.method));
    check_target(route);
    expect_field(&r, "host", o->authority);
    for (uint32_t i = 0; i < head.count; i++) {
        const struct field *f = &head.fields[i];
        bool host = slice_eq_nocase(f->name, SLICE("host"));
        bool expect_1_0 = head.minor == 0 && slice_eq_nocase(f->name, SLICE("expect"));

        if (!host && !expect_1_0 && is_passed_on(&head, f, route->upgrade))
            expect_request_field(&r, f);
    }
    expect_via(&r, o->via_name);
    if (route->framing.kind == BODY_LENGTH)
        expect_number(&r, "content-length", route->framing.length);
    if (route->framing.kind == BODY_CHUNKED)
        expect_field(&r, "transfer-encoding", SLICE("chunked"));
    if (te && !route->upgrade)
        expect_field(&r, "te", SLICE("trailers"));
    expect_connection(&r, close, route->upgrade);
    fuzz_assert(r.at == again.count);
    fuzz_assert(head_count(&again, FIELD_HOST) == 1 && host_field_valid(o->authority));
    fuzz_assert(framing_of_request(&again, &framing) == FRAMING_OK);
    fuzz_assert(framing.kind == route->framing.kind && framing.length == route->framing.length);
}

/* What goes out is what the access rules were asked about: its Host leads where the route leads. */
static void check_authority(const struct route *route, struct slice authority)
{
    char url[URI_MAX_HOST + 64];
    struct uri u;

    snprintf(url, sizeof url, "%s://%.*s/", scheme_name(route->uri.scheme), (int)authority.n, authority.p);
    fuzz_assert(uri_parse_absolute(slice_of(url), &u) == URI_OK);
    fuzz_assert(strcmp(u.host, route->uri.host) == 0 && u.port == route->uri.port);
}

static void run_request(unsigned flags)
{
    struct route route;
    char text[512];

    if (route_find(rig.proxy, flags & FROM_GATEWAY ? gateway : rig.frontend, NULL, &head, &route, text,
                   sizeof text) != FAULT_NONE) {
        fuzz_assert(*text);
        return;
    }
    fuzz_assert(route.agent && !via_names(&head, SLICE(INSTANCE)));
    if (route.answer_here || route.kind == ORIGIN_TUNNEL)
        return;
    struct slice host = {route.uri.host, route.uri.host_length};
    struct origin *o = origin_find_or_make(route.agent, route.kind, host, route.uri.ipv6, route.uri.port);
    bool te = te_has_trailers(&head), close = flags & CLOSE;
    const struct outgoing_request out = {
        .path = route.uri.path_query,
        .authority = o->authority,
        .via_name = via_name(flags),
        .framing = route.framing,
        .upgrade = route.upgrade,
    };
    struct buffer *b = buffer_borrow(rig.proxy->heads);
    fuzz_assert(rewrite_request(&b, &head, &out));
    struct slice whole = read_again(b, connection_lines(close, route.upgrade, te), true);
    check_request(&route, &out, close, te);
    check_authority(&route, o->authority);
    free((char *)whole.p);
    buffer_give(b);
    forget_old(route.agent, 0);
}

/* --- Responses ----------------------------------------------------------------------------------------------- */

static void check_framing(const struct outgoing_response *o, enum request_kind asked)
{
    struct framing f;

    fuzz_assert(framing_of_response(&again, asked, &f) == FRAMING_OK);
    if (o->interim || o->upgrade)
        fuzz_assert(f.kind == (o->upgrade ? BODY_TUNNEL : BODY_NONE));
    else if (o->chunked)
        fuzz_assert(f.kind == BODY_CHUNKED);
    else if (o->framing.kind == BODY_CHUNKED || o->framing.kind == BODY_CLOSE)
        fuzz_assert(f.kind == BODY_CLOSE && o->close);
    else
        fuzz_assert(f.kind == o->framing.kind && (f.kind != BODY_LENGTH || f.length == o->framing.length));
}

static bool has_own_urls(const struct field *f)
{
    static const char *const names[] = {"location", "content-location", "refresh", "set-cookie", NULL};

    return is_one_of(names, f->name);
}

static bool names_a_host(struct slice url)
{
    return url.n > 1 && url.p[0] == '/' && (url.p[1] == '/' || url.p[1] == '\\');
}

/* What was a URL of the origin's own leads to no other host. */
static void check_own_urls(struct slice from, struct slice to)
{
    fuzz_assert(to.n <= from.n + OWN_URLS_LONGER);
    fuzz_assert(names_a_host(from) || !names_a_host(to));
}

static void check_response(const struct outgoing_response *o, enum request_kind asked)
{
    bool upgrade = o->upgrade || head.status == 426;
    struct reader r = {0};

    fuzz_assert(again.status == head.status && slice_eq(again.reason, head.reason));
    for (uint32_t i = 0; i < head.count; i++) {
        const struct field *f = &head.fields[i];

        if (!is_passed_on(&head, f, upgrade))
            continue;
        const struct field *to = next_field(&r);
        fuzz_assert(slice_eq(f->name, to->name));
        if (o->own.urls != OWN_URLS_KEPT && has_own_urls(f))
            check_own_urls(f->value, to->value);
        else
            fuzz_assert(slice_eq(f->value, to->value));
    }
    if (!o->interim && !o->upgrade && !head_has(&head, FIELD_DATE))
        expect_field(&r, "date", o->date);
    expect_via(&r, o->via_name);
    if (o->chunked)
        expect_field(&r, "transfer-encoding", SLICE("chunked"));
    else if (r.at < again.count && again.fields[r.at].id == FIELD_CONTENT_LENGTH)
        expect_number(&r, "content-length", o->framing.length);
    if (!o->interim)
        expect_connection(&r, o->close, o->upgrade);
    if (o->keep_alive_seconds && !o->close)
        expect_field(&r, "keep-alive", SLICE("timeout=5"));
    fuzz_assert(r.at == again.count);
    check_framing(o, asked);
}

/* As download.c decides. False: such a response goes nowhere. */
static bool decide(unsigned flags, enum request_kind asked, struct outgoing_response *o)
{
    bool to_1_0 = flags & TO_HTTP_1_0, unknown;

    *o = (struct outgoing_response){.via_name = via_name(flags),
                                    .date = SLICE("Sun, 06 Nov 1994 08:49:37 GMT")};
    if (flags & OWN_URLS)
        o->own = (struct own_origin){OWN_URLS_PATHS, SLICE("a.test"), 443};
    if (framing_of_response(&head, head.status < 200 ? REQUEST_PLAIN : asked, &o->framing) != FRAMING_OK)
        return false;
    if (head.status < 200) {
        o->upgrade = head.status == 101;
        o->interim = !o->upgrade;
        return !o->upgrade || (flags & SWITCHED && head_has(&head, FIELD_UPGRADE));
    }
    unknown = o->framing.kind == BODY_CHUNKED || o->framing.kind == BODY_CLOSE;
    o->bodiless = o->framing.kind == BODY_NONE;
    o->chunked = unknown && !to_1_0;
    o->close = flags & CLOSE || (unknown && to_1_0);
    o->keep_alive_seconds = 5;
    return true;
}

static void run_response(unsigned flags)
{
    enum request_kind asked = flags & ASKED_HEAD ? REQUEST_HEAD : REQUEST_PLAIN;
    struct outgoing_response o;

    if (!decide(flags, asked, &o))
        return;
    struct buffer *b = buffer_borrow(rig.proxy->heads);
    fuzz_assert(rewrite_response(&b, &head, &o));
    struct slice whole = read_again(b, SLICE(""), false);
    check_response(&o, asked);
    free((char *)whole.p);
    buffer_give(b);
}

static void run(const uint8_t *data, size_t size)
{
    static const struct head_limits limits = {.max_size = 16 * 1024, .max_count = 100};
    size_t scanned = 0, length;

    if (size == 0)
        return;
    struct slice bytes = fuzz_copy(data + 1, size - 1);
    bool request = !(data[0] & RESPONSE);
    if (head_scan(bytes, &scanned, &limits, &length) == HEAD_OK) {
        struct slice message = {bytes.p, length};

        if ((request ? head_parse_request : head_parse_response)(message, &limits, &head) == HEAD_OK) {
            if (request)
                run_request(data[0]);
            else
                run_response(data[0]);
        }
    }
    free((char *)bytes.p);
    fuzz_assert(rig.proxy->heads->lent == 0);
}

const struct fuzz_target fuzz_rewrite = {"rewrite", prepare, run};
