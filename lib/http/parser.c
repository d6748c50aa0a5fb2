/* The grammar of a head, byte by byte. */

#include <assert.h>
#include <string.h>

#include "base/minmax.h"
#include "http/agreement.h"
#include "http/bytes.h"
#include "http/head.h"

/* What is left to read. The last byte of a head is an LF, so a loop over anything that holds no LF ends in
 * time. */
struct cursor {
    const char *p, *end;
};

static void head_reset(struct head *h)
{
    h->method = h->target = h->reason = (struct slice){NULL, 0};
    h->status = 0;
    h->minor = 1;
    h->count = 0;
    h->present = 0;
}

static struct cursor cursor_at(struct slice data)
{
    assert(data.n > 0 && data.p[data.n - 1] == '\n');
    return (struct cursor){data.p, data.p + data.n};
}

static struct slice take_until(struct cursor *c, const char *stop)
{
    struct slice taken = {c->p, (size_t)(stop - c->p)};

    c->p = stop;
    return taken;
}

static bool take(struct cursor *c, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n) != 0)
        return false;
    c->p += n;
    return true;
}

/* HTTP-version = "HTTP" "/" DIGIT "." DIGIT, RFC 9112 2.3 */
static bool take_version(struct cursor *c, char *major, char *minor)
{
    if (!take(c, "HTTP/") || c->end - c->p < 4)
        return false;
    if (!byte_is(c->p[0], BYTE_DIGIT) || c->p[1] != '.' || !byte_is(c->p[2], BYTE_DIGIT))
        return false;
    *major = c->p[0];
    *minor = c->p[2];
    c->p += 3;
    return true;
}

/* request-line = method SP request-target SP HTTP-version CRLF, RFC 9112 3: single spaces, nothing else. */
static enum head_verdict take_request_line(struct cursor *c, struct head *out)
{
    char major, minor;

    out->method = take_until(c, bytes_skip_token(c->p, c->end));
    if (out->method.n == 0 || !take(c, " "))
        return HEAD_BAD_START_LINE;
    /* RFC 9112 3.2: no white space and no controls. The form is uri.c's to judge, and what is beyond
     * ASCII. */
    out->target = take_until(c, bytes_skip_target(c->p, c->end));
    if (out->target.n == 0 || !take(c, " "))
        return HEAD_BAD_START_LINE;
    if (!take_version(c, &major, &minor) || !take(c, "\r\n"))
        return HEAD_BAD_START_LINE;
    out->minor = minor > '0';
    return major == '1' ? HEAD_OK : HEAD_BAD_VERSION;
}

/* status-line = HTTP-version SP status-code SP [ reason-phrase ] CRLF, RFC 9112 4. Some servers leave out the
 * SP where there is no reason. */
static enum head_verdict take_status_line(struct cursor *c, struct head *out)
{
    char major, minor;

    if (!take_version(c, &major, &minor) || !take(c, " "))
        return HEAD_BAD_START_LINE;
    for (int i = 0; i < 3; i++) {
        if (!byte_is(*c->p, BYTE_DIGIT))
            return HEAD_BAD_START_LINE;
        out->status = (uint16_t)(out->status * 10 + (*c->p++ - '0'));
    }
    if (take(c, " "))
        out->reason = take_until(c, bytes_skip_value(c->p, c->end));
    if (!take(c, "\r\n"))
        return HEAD_BAD_START_LINE;
    /* RFC 9110 15: above 599 is invalid, but sent by large sites, and read as 5xx. */
    if (out->status < 100)
        return HEAD_BAD_START_LINE;
    out->minor = minor > '0';
    return major == '1' ? HEAD_OK : HEAD_BAD_VERSION;
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

/* field-line = field-name ":" OWS field-value OWS, RFC 9112 5 */
static enum head_verdict take_field(struct cursor *c, struct field *out)
{
    /* RFC 9112 5.2 and 2.2: obsolete folding, or white space before the first field. */
    if (is_ows(*c->p))
        return HEAD_OBS_FOLD;

    /* RFC 9112 5.1: nothing stands between the name and the colon. */
    out->name = take_until(c, bytes_skip_token(c->p, c->end));
    if (out->name.n == 0 || *c->p != ':')
        return HEAD_BAD_FIELD_NAME;
    c->p++;
    while (is_ows(*c->p))
        c->p++;

    /* RFC 9110 5.5: CR, LF, NUL and other controls; obs-text is opaque. */
    out->value = take_until(c, bytes_skip_value(c->p, c->end));
    while (out->value.n > 0 && is_ows(out->value.p[out->value.n - 1]))
        out->value.n--;
    if (*c->p == '\n')
        return HEAD_BARE_LF;
    if (*c->p != '\r')
        return HEAD_BAD_FIELD_VALUE;
    if (!take(c, "\r\n"))
        return HEAD_BARE_CR;
    out->id = field_lookup(out->name);
    out->nominated = false;
    return HEAD_OK;
}

static enum head_verdict take_fields(struct cursor *c, const struct head_limits *limits, struct head *out)
{
    uint32_t max = min32(limits->max_count, HEAD_MAX_FIELDS);

    while (!take(c, "\r\n")) {
        struct field *f = &out->fields[out->count];
        enum head_verdict v;

        if (c->p == c->end)
            return HEAD_INCOMPLETE;
        if (out->count == max)
            return HEAD_TOO_MANY_FIELDS;
        v = take_field(c, f);
        if (v != HEAD_OK)
            return v;
        out->present |= UINT64_C(1) << f->id;
        out->count++;
    }
    if (c->p != c->end)
        return HEAD_BAD_FIELD_NAME; /* an empty line before the last one */
    return fields_nominate(out, max) ? HEAD_OK : HEAD_TOO_MANY_FIELDS;
}

enum head_verdict head_parse_request(struct slice data, const struct head_limits *limits, struct head *out)
{
    struct cursor c = cursor_at(data);
    struct slice lines;
    enum head_verdict v;

    head_reset(out);
    v = take_request_line(&c, out);
    if (v != HEAD_OK)
        return v;
    lines = (struct slice){c.p, (size_t)(c.end - c.p)};
    v = take_fields(&c, limits, out);
    if (v != HEAD_OK)
        return v;
    return agreement_on_fields(lines, out) ? HEAD_OK : HEAD_PARSERS_DISAGREE;
}

enum head_verdict head_parse_response(struct slice data, const struct head_limits *limits, struct head *out)
{
    struct cursor c = cursor_at(data);
    enum head_verdict v;

    head_reset(out);
    v = take_status_line(&c, out);
    if (v == HEAD_OK)
        v = take_fields(&c, limits, out);
    if (v != HEAD_OK)
        return v;
    return agreement_on_response(data, out) ? HEAD_OK : HEAD_PARSERS_DISAGREE;
}

enum head_verdict head_parse_trailers(struct slice data, const struct head_limits *limits, struct head *out)
{
    struct cursor c = cursor_at(data);
    enum head_verdict v;

    head_reset(out);
    v = take_fields(&c, limits, out);
    if (v != HEAD_OK)
        return v;
    return agreement_on_fields(data, out) ? HEAD_OK : HEAD_PARSERS_DISAGREE;
}
