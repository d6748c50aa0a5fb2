#include "http/explain.h"

#include <stdio.h>

#include "base/log.h"
#include "http/bytes.h"

/* Of an excerpt; escaped it is at most four times as long. */
#define QUOTED_BYTES 80

const char *explain_quote(struct slice s, char out[EXPLAIN_QUOTED])
{
    bool cut = s.n > QUOTED_BYTES;
    size_t n;

    if (cut)
        s.n = QUOTED_BYTES;
    n = log_escape_text(out, EXPLAIN_QUOTED - 4, s);
    snprintf(out + n, EXPLAIN_QUOTED - n, "%s", cut ? "..." : "");
    return out;
}

const char *explain_byte(char c, char out[32])
{
    if (c == ' ')
        return "a space";
    if (c == '\t')
        return "a tab";
    if ((unsigned char)c >= 0x80)
        snprintf(out, 32, "byte 0x%02x, not ASCII,", (unsigned char)c);
    else
        snprintf(out, 32, byte_is(c, BYTE_VISIBLE) ? "'%c'" : "byte 0x%02x", c);
    return out;
}

/* --- The first line ------------------------------------------------------------------------------------- */

/* Up to its end, or to the end of what has come. */
static struct slice line_at(struct slice data, size_t at)
{
    struct slice line = slice_from(data, at);
    const char *lf = memchr(line.p, '\n', line.n);

    if (lf)
        line.n = (size_t)(lf - line.p);
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

/* A record of TLS: alert or handshake, and the first byte of its version. */
static bool is_tls(struct slice data)
{
    return data.n > 0 && (data.p[0] == 0x15 || data.p[0] == 0x16) && (data.n < 2 || data.p[1] == 0x03);
}

/* "HTTP/1.1" and nothing after it, with any digits. */
static bool is_version(struct slice s)
{
    return s.n == 8 && slice_begins(s, SLICE("HTTP/")) && byte_is(s.p[5], BYTE_DIGIT) && s.p[6] == '.' &&
           byte_is(s.p[7], BYTE_DIGIT);
}

static bool ends_with_version(struct slice s)
{
    return s.n > 9 && s.p[s.n - 9] == ' ' && is_version(slice_from(s, s.n - 8));
}

/* After "method SP target SP", or what should have been that. */
static void explain_version(struct slice rest, size_t at, char out[EXPLAIN_SIZE])
{
    char quoted[EXPLAIN_QUOTED];

    if (ends_with_version(rest))
        snprintf(out, EXPLAIN_SIZE, "a space in the target (byte %zu of the request line): write it as %%20",
                 at);
    else if (rest.n == 0)
        snprintf(out, EXPLAIN_SIZE, "no HTTP version after the target");
    else
        snprintf(out, EXPLAIN_SIZE, "%s where HTTP/1.1 is expected, after the target",
                 explain_quote(rest, quoted));
}

/* After "method SP". */
static void explain_target_in(struct slice line, size_t at, char out[EXPLAIN_SIZE])
{
    const char *end = line.p + line.n, *p = bytes_skip_target(line.p + at, end);
    size_t stop = (size_t)(p - line.p);
    char byte[32];

    if (at == line.n)
        snprintf(out, EXPLAIN_SIZE, "the request line has no target");
    else if (stop == at && *p == ' ')
        snprintf(out, EXPLAIN_SIZE, "two spaces after the method");
    else if (p == end)
        snprintf(out, EXPLAIN_SIZE, "no HTTP version after the target");
    else if (*p != ' ')
        snprintf(out, EXPLAIN_SIZE, "%s in the target (byte %zu of the request line)", explain_byte(*p, byte),
                 stop + 1);
    else
        explain_version(slice_from(line, stop + 1), stop + 1, out);
}

static void explain_request_line(struct slice line, char out[EXPLAIN_SIZE])
{
    size_t n = (size_t)(bytes_skip(line.p, line.p + line.n, BYTE_TOKEN) - line.p);
    char byte[32];

    if (is_tls(line))
        snprintf(
            out, EXPLAIN_SIZE,
            "the client spoke TLS to the proxy: write http:// in the proxy's URL, for https:// targets, too");
    else if (line.n > 0 && (line.p[0] == 4 || line.p[0] == 5))
        snprintf(out, EXPLAIN_SIZE, "the client spoke SOCKS to the proxy: write http:// in the proxy's URL");
    else if (n == line.n)
        snprintf(out, EXPLAIN_SIZE, "the request line has no target");
    else if (n == 0 && line.p[0] == ' ')
        snprintf(out, EXPLAIN_SIZE, "a space before the method");
    else if (line.p[n] != ' ')
        snprintf(out, EXPLAIN_SIZE, "%s in the method (byte %zu of the request line)",
                 explain_byte(line.p[n], byte), n + 1);
    else
        explain_target_in(line, n + 1, out);
}

/* The first frame of an HTTP/2 server is SETTINGS (RFC 9113 3.4). */
static bool is_http2(struct slice data)
{
    return data.n >= 9 && data.p[0] == 0 && data.p[3] == 4 &&
           slice_eq((struct slice){data.p + 5, 4}, (struct slice){"\0\0\0\0", 4});
}

static void explain_status_line(struct slice data, char out[EXPLAIN_SIZE])
{
    char quoted[EXPLAIN_QUOTED];
    const char *line = explain_quote(line_at(data, 0), quoted);

    if (is_tls(data))
        snprintf(out, EXPLAIN_SIZE, "the origin speaks TLS: set tls: true for its upstream, or ask https://");
    else if (is_http2(data))
        snprintf(out, EXPLAIN_SIZE, "the origin speaks HTTP/2 where HTTP/1.1 is expected");
    else if (!slice_begins(data, SLICE("HTTP/")))
        snprintf(out, EXPLAIN_SIZE, "it does not begin with HTTP/1: %s", line);
    else
        snprintf(out, EXPLAIN_SIZE, "the status line is not HTTP/1.x and a status of three digits: %s", line);
}

/* --- Fields ---------------------------------------------------------------------------------------------- */

/* The field line that has the fault. */
struct culprit {
    struct slice line;
    struct slice name; /* up to the colon, or to what cannot be in a name */
    bool is_first;     /* the request or status line */
};

static bool has_fault(struct slice line, enum head_verdict v)
{
    const char *end = line.p + line.n, *p = bytes_skip(line.p, end, BYTE_TOKEN);

    switch (v) {
    case HEAD_BARE_LF: return false; /* see find_bare_lf() */
    case HEAD_BARE_CR: return memchr(line.p, '\r', line.n) != NULL;
    case HEAD_OBS_FOLD: return line.n > 0 && (*line.p == ' ' || *line.p == '\t');
    case HEAD_BAD_FIELD_NAME: return p == line.p || p == end || *p != ':';
    case HEAD_BAD_FIELD_VALUE: return p < end && *p == ':' && bytes_skip_value(p, end) != end;
    default: return false; /* not in a field line */
    }
}

static bool ends_bare(struct slice data, const struct slice *line)
{
    const char *end = line->p + line->n;

    return end < data.p + data.n && *end == '\n';
}

static void set_culprit(struct culprit *c, struct slice line, bool is_first)
{
    c->line = c->name = line;
    c->name.n = (size_t)(bytes_skip(line.p, line.p + line.n, BYTE_TOKEN) - line.p);
    c->is_first = is_first;
}

static struct culprit find_culprit(struct slice data, enum head_verdict v)
{
    struct culprit c = {{"", 0}, {"", 0}, false};
    struct slice before = {"", 0};

    for (size_t at = 0; at < data.n;) {
        struct slice line = line_at(data, at);
        bool bare = v == HEAD_BARE_LF && ends_bare(data, &line), first = at == 0;
        const char *lf = memchr(line.p, '\n', data.n - at);

        if (bare || ((!first || v == HEAD_BARE_CR) && has_fault(line, v))) {
            set_culprit(&c, line, first);
            if (v == HEAD_OBS_FOLD) /* the field that it continues */
                set_culprit(&c, before, before.p == data.p);
            break;
        }
        before = line;
        at = lf ? (size_t)(lf + 1 - data.p) : data.n;
    }
    return c;
}

/* "the field X-A", or what it is called without a name. */
static const char *place(const struct culprit *c, char out[EXPLAIN_QUOTED])
{
    char quoted[EXPLAIN_QUOTED];

    if (c->is_first)
        return "the first line";
    if (c->name.n == 0)
        return "a line between the fields";
    snprintf(out, EXPLAIN_QUOTED, "the field %.200s", explain_quote(c->name, quoted));
    return out;
}

static void explain_name(const struct culprit *c, char out[EXPLAIN_SIZE])
{
    const char *end = c->line.p + c->line.n, *p = c->name.p + c->name.n;
    const char *colon = memchr(c->line.p, ':', c->line.n);
    char quoted[EXPLAIN_QUOTED], byte[32];
    struct slice whole = {c->line.p, colon ? (size_t)(colon - c->line.p) : 0};

    if (!colon)
        snprintf(out, EXPLAIN_SIZE, "a line without a colon between the fields%s%s",
                 c->name.n ? ", beginning with " : "", c->name.n ? explain_quote(c->name, quoted) : "");
    else if (colon == c->line.p)
        snprintf(out, EXPLAIN_SIZE, "a field without a name");
    else if ((*p == ' ' || *p == '\t') && slice_trim((struct slice){p, (size_t)(colon - p)}).n == 0)
        snprintf(out, EXPLAIN_SIZE, "%s between the field name %s and its colon", explain_byte(*p, byte),
                 explain_quote(c->name, quoted));
    else if (p < end)
        snprintf(out, EXPLAIN_SIZE, "%s in the field name %s", explain_byte(*p, byte),
                 explain_quote(whole, quoted));
}

static void explain_value(const struct culprit *c, char out[EXPLAIN_SIZE])
{
    const char *bad = bytes_skip_value(c->line.p, c->line.p + c->line.n);
    char quoted[EXPLAIN_QUOTED], byte[32];

    snprintf(out, EXPLAIN_SIZE, "%s in the value of the field %s", explain_byte(*bad, byte),
             explain_quote(c->name, quoted));
}

static void explain_fields(struct slice data, enum head_verdict v, char out[EXPLAIN_SIZE])
{
    struct culprit c = find_culprit(data, v);
    char room[EXPLAIN_QUOTED];

    if (v == HEAD_BARE_LF)
        snprintf(out, EXPLAIN_SIZE, "%s ends with LF alone, where CR LF is expected", place(&c, room));
    else if (v == HEAD_BARE_CR)
        snprintf(out, EXPLAIN_SIZE, "a CR without LF (\\r) in %s", place(&c, room));
    else if (v == HEAD_OBS_FOLD && c.is_first)
        snprintf(out, EXPLAIN_SIZE, "white space before the first field");
    else if (v == HEAD_OBS_FOLD)
        snprintf(out, EXPLAIN_SIZE, "%s goes on in the next line (obsolete folding)", place(&c, room));
    else if (v == HEAD_BAD_FIELD_NAME && c.line.n > 0)
        explain_name(&c, out);
    else if (v == HEAD_BAD_FIELD_VALUE && c.line.n > 0)
        explain_value(&c, out);
    else
        snprintf(out, EXPLAIN_SIZE, "%s", head_verdict_text(v));
}

/* --- Sizes ----------------------------------------------------------------------------------------------- */

static void explain_size(struct slice data, enum head_verdict v, const struct head_limits *limits,
                         char out[EXPLAIN_SIZE])
{
    unsigned lines = 0;

    for (const char *p = data.p; p && v == HEAD_TOO_MANY_FIELDS; lines++) {
        p = memchr(p, '\n', data.n - (size_t)(p - data.p));
        if (p && (++p == data.p + data.n || *p == '\r'))
            break; /* the empty line after the fields */
    }
    if (v == HEAD_TOO_MANY_FIELDS && lines > limits->max_count)
        snprintf(out, EXPLAIN_SIZE, "it has %u fields, and server.maxHeadersCount is %u", lines,
                 limits->max_count);
    else if (v == HEAD_TOO_MANY_FIELDS)
        snprintf(out, EXPLAIN_SIZE, "its Connection fields have more options than server.maxHeadersCount, %u",
                 limits->max_count);
    else
        snprintf(out, EXPLAIN_SIZE, "the %s longer than %u bytes (server.maxHeaderSize)",
                 v == HEAD_LINE_TOO_LONG ? "first line is" : "head is", limits->max_size);
}

/* --- Heads ----------------------------------------------------------------------------------------------- */

/* What requests and responses have in common. */
static void explain_rest(struct slice data, enum head_verdict v, const struct head_limits *limits,
                         char out[EXPLAIN_SIZE])
{
    if (v == HEAD_LINE_TOO_LONG || v == HEAD_TOO_LARGE || v == HEAD_TOO_MANY_FIELDS)
        explain_size(data, v, limits, out);
    else
        explain_fields(data, v, out);
}

void explain_request_head(struct slice data, enum head_verdict v, const struct head_limits *limits,
                          char out[EXPLAIN_SIZE])
{
    struct slice line = line_at(data, 0);

    if (v == HEAD_BAD_START_LINE)
        explain_request_line(line, out);
    else if (v == HEAD_BAD_VERSION)
        snprintf(out, EXPLAIN_SIZE, "%.8s: Carpool speaks HTTP/1.1 with its clients",
                 line.n >= 8 ? line.p + line.n - 8 : "");
    else
        explain_rest(data, v, limits, out);
}

void explain_response_head(struct slice data, enum head_verdict v, const struct head_limits *limits,
                           char out[EXPLAIN_SIZE])
{
    if (v == HEAD_BAD_START_LINE || v == HEAD_BAD_VERSION)
        explain_status_line(data, out);
    else
        explain_rest(data, v, limits, out);
}

/* --- Framing --------------------------------------------------------------------------------------------- */

/* The values of all fields of this name, one after the other. */
static const char *values(const struct head *h, enum field_id id, char out[EXPLAIN_QUOTED])
{
    char quoted[EXPLAIN_QUOTED];
    size_t n = 0;

    *out = '\0';
    for (uint32_t i = 0; i < h->count && n < EXPLAIN_QUOTED - 1; i++) {
        if (h->fields[i].id == id)
            n += (size_t)snprintf(out + n, EXPLAIN_QUOTED - n, "%s%s", n ? " and " : "",
                                  explain_quote(h->fields[i].value, quoted));
    }
    return out;
}

void explain_framing(const struct head *h, enum framing_verdict v, char out[EXPLAIN_SIZE])
{
    char room[EXPLAIN_QUOTED];

    switch (v) {
    case FRAMING_BAD_LENGTH:
        snprintf(out, EXPLAIN_SIZE, "Content-Length is not one number: %s",
                 values(h, FIELD_CONTENT_LENGTH, room));
        return;
    case FRAMING_UNKNOWN_CODING:
        snprintf(out, EXPLAIN_SIZE, "a transfer coding other than chunked: %s",
                 values(h, FIELD_TRANSFER_ENCODING, room));
        return;
    case FRAMING_BAD_CODING:
        snprintf(out, EXPLAIN_SIZE, "Transfer-Encoding is not chunked, once and last: %s",
                 values(h, FIELD_TRANSFER_ENCODING, room));
        return;
    case FRAMING_OK:
    case FRAMING_LENGTH_AND_CODING:
    case FRAMING_CODING_IN_1_0:
    case FRAMING_UNEXPECTED_CONTENT: break;
    }
    snprintf(out, EXPLAIN_SIZE, "%s", framing_verdict_text(v));
}
