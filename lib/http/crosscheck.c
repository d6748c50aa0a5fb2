#include "http/crosscheck.h"

#include <http_parser.h>

#include "http/head.h"

/* http-parser reads each head with a parser of its own, so that nothing of the last message is left in it,
 * and runs as if there were no body. What it says of framing, persistence and upgrades is not asked for:
 * Debian's build is not strict there. It also refuses legal messages over Content-Length (a tab after the
 * number, the same number twice, Transfer-Encoding-X beside it), so that name gets a letter in front. */

struct reading {
    const struct head *head;
    uint32_t names, values; /* how many agreed */
    bool complete;
};

static const char disguise[] = "X";

/* More than a head may have (1 MiB), so that the limit is ours. */
#define MAX_HEADER_SIZE (4u * 1024 * 1024)

void http_init(void)
{
    http_parser_set_max_header_size(MAX_HEADER_SIZE);
}

static int on_field(http_parser *parser, const char *at, size_t length)
{
    struct reading *r = parser->data;
    const struct field *f = &r->head->fields[r->names];

    if (at == disguise)
        return 0;
    if (r->names != r->values || r->names == r->head->count || at != f->name.p || length != f->name.n)
        return 1;
    r->names++;
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t length)
{
    struct reading *r = parser->data;
    const struct field *f = &r->head->fields[r->values];

    if (r->names != r->values + 1)
        return 1;
    /* It keeps the white space after a value, and an empty value has no place for it. */
    if (f->value.n > 0 ? at != f->value.p : length > 0)
        return 1;
    if (length != f->value.n && slice_trim((struct slice){at, length}).n != f->value.n)
        return 1;
    r->values++;
    return 0;
}

static int on_complete(http_parser *parser)
{
    struct reading *r = parser->data;

    r->complete = true;
    return 1; /* no body */
}

static const http_parser_settings settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_complete,
};

static bool feed(http_parser *parser, const char *p, size_t n)
{
    return n == 0 || (http_parser_execute(parser, &settings, p, n) == n && parser->http_errno == HPE_OK);
}

/* Feeds `data`, in which the fields of r->head stand. */
static bool feed_fields(http_parser *parser, struct slice data, const struct reading *r)
{
    const char *p = data.p, *end = data.p + data.n;

    for (uint32_t i = 0; i < r->head->count; i++) {
        struct slice name = r->head->fields[i].name;

        if (r->head->fields[i].id != FIELD_CONTENT_LENGTH)
            continue;
        if (!feed(parser, p, (size_t)(name.p - p)) || !feed(parser, disguise, sizeof disguise - 1))
            return false;
        p = name.p;
    }
    return feed(parser, p, (size_t)(end - p)) && r->complete && r->values == r->head->count;
}

bool crosscheck_fields(struct slice lines, const struct head *h)
{
    /* It knows only some methods and forms of targets, and the grammar of this line leaves no room for a
     * second reading. */
    static const struct slice request_line = SLICE("GET / HTTP/1.1\r\n");
    struct reading r = {.head = h};
    http_parser parser;

    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &r;
    return feed(&parser, request_line.p, request_line.n) && feed_fields(&parser, lines, &r);
}

bool crosscheck_response(struct slice data, const struct head *h)
{
    struct reading r = {.head = h};
    http_parser parser;

    http_parser_init(&parser, HTTP_RESPONSE);
    parser.data = &r;
    return feed_fields(&parser, data, &r) && parser.status_code == h->status && parser.http_major == 1 &&
           (parser.http_minor > 0) == (h->minor > 0);
}
