#include "http/framing.h"

#include "http/bytes.h"

/* As much as a file offset holds; no message is longer, and sums of two such lengths do not wrap. */
#define MAX_LENGTH ((uint64_t)INT64_MAX)

static const char *const texts[] = {
    [FRAMING_OK] = "the framing is sound",
    [FRAMING_BAD_LENGTH] = "Content-Length is not one number (RFC 9112 6.3)",
    [FRAMING_LENGTH_AND_CODING] = "both Content-Length and Transfer-Encoding (RFC 9112 6.1)",
    [FRAMING_CODING_IN_1_0] = "Transfer-Encoding in HTTP/1.0 (RFC 9112 6.1)",
    [FRAMING_UNKNOWN_CODING] = "a transfer coding other than chunked (RFC 9112 6.1)",
    [FRAMING_BAD_CODING] = "Transfer-Encoding is not chunked, once and last (RFC 9112 6.3)",
    [FRAMING_UNEXPECTED_CONTENT] = "content is announced where there may be none (RFC 9110 8.6 and 9.3)",
};

const char *framing_verdict_text(enum framing_verdict v)
{
    return texts[v];
}

/* RFC 9110 8.6: 1*DIGIT. The same number several times, in a list or in lines, may be taken for one; here its
 * digits must be the same too. */
static bool read_lengths(struct slice value, struct slice *digits)
{
    const char *p = value.p, *end = value.p + value.n;

    for (;;) {
        struct slice one = {p, (size_t)(bytes_skip(p, end, BYTE_DIGIT) - p)};

        if (one.n == 0 || (digits->n > 0 && !slice_eq(one, *digits)))
            return false;
        *digits = one;
        p += one.n;
        if (p == end)
            return true;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        if (p == end || *p++ != ',')
            return false;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
    }
}

/* Content-Length, which is there. */
static enum framing_verdict read_length(const struct head *h, uint64_t *length)
{
    struct slice digits = {NULL, 0};
    unsigned long long number;

    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];

        if (f->id == FIELD_CONTENT_LENGTH && !read_lengths(f->value, &digits))
            return FRAMING_BAD_LENGTH;
    }
    if (!slice_to_u64(digits, &number) || number > MAX_LENGTH)
        return FRAMING_BAD_LENGTH;
    *length = number;
    return FRAMING_OK;
}

/* Transfer-Encoding, which is there. RFC 9112 6.1 and 7: codings are names without regard to case; none but
 * `chunked` is known here, and that has no parameters. Empty list members, which readers treat differently,
 * are refused. */
static enum framing_verdict read_coding(const struct head *h)
{
    const struct slice chunked = SLICE("chunked");
    uint32_t found = 0;
    bool garbage = false;

    for (uint32_t i = 0; i < h->count; i++) {
        struct slice list = h->fields[i].value, coding;

        if (h->fields[i].id != FIELD_TRANSFER_ENCODING)
            continue;
        if (slice_eq_nocase(list, chunked)) {
            found++;
            continue;
        }
        garbage = true;
        while (bytes_next_element(&list, &coding)) {
            struct slice name = {coding.p,
                                 (size_t)(bytes_skip(coding.p, coding.p + coding.n, BYTE_TOKEN) - coding.p)};

            if (name.n > 0 && !slice_eq_nocase(coding, chunked))
                return FRAMING_UNKNOWN_CODING;
        }
    }
    return found == 1 && !garbage ? FRAMING_OK : FRAMING_BAD_CODING;
}

/* RFC 9112 6.3, rules 3 to 5. Sets BODY_NONE when the fields say nothing. */
static enum framing_verdict read_fields(const struct head *h, struct framing *out)
{
    bool has_length = head_has(h, FIELD_CONTENT_LENGTH), has_coding = head_has(h, FIELD_TRANSFER_ENCODING);
    enum framing_verdict v = FRAMING_OK;

    *out = (struct framing){.kind = BODY_NONE};
    if (has_length && has_coding)
        return FRAMING_LENGTH_AND_CODING;
    if (has_coding && h->minor == 0)
        return FRAMING_CODING_IN_1_0;
    if (has_coding) {
        v = read_coding(h);
        out->kind = BODY_CHUNKED;
    } else if (has_length) {
        v = read_length(h, &out->length);
        out->kind = BODY_LENGTH;
    }
    return v;
}

static bool announces_content(const struct framing *f)
{
    return f->kind == BODY_CHUNKED || (f->kind == BODY_LENGTH && f->length > 0);
}

enum framing_verdict framing_of_request(const struct head *h, struct framing *out)
{
    enum framing_verdict v = read_fields(h, out);

    if (v != FRAMING_OK)
        return v;
    /* RFC 9110 9.3.8: no content in TRACE. 9.3.6: in CONNECT it has no meaning, and some would read it as the
     * tunnel's. */
    if ((slice_eq(h->method, SLICE("TRACE")) || slice_eq(h->method, SLICE("CONNECT"))) &&
        announces_content(out))
        return FRAMING_UNEXPECTED_CONTENT;
    return FRAMING_OK;
}

enum framing_verdict framing_of_response(const struct head *h, enum request_kind asked, struct framing *out)
{
    enum framing_verdict v;

    /* RFC 9112 6.3 rule 2: what a 2xx to CONNECT says of content is ignored. */
    if (asked == REQUEST_CONNECT && h->status >= 200 && h->status < 300) {
        *out = (struct framing){.kind = BODY_TUNNEL};
        return FRAMING_OK;
    }
    v = read_fields(h, out);
    if (v != FRAMING_OK)
        return v;
    /* RFC 9112 6.1 and RFC 9110 8.6: no 1xx has content. One that says so hides where the final response
     * begins. */
    if (h->status < 200) {
        if (announces_content(out))
            return FRAMING_UNEXPECTED_CONTENT;
        out->kind = h->status == 101 ? BODY_TUNNEL : BODY_NONE;
        return FRAMING_OK;
    }
    /* RFC 9112 6.3 rule 1. */
    if (asked == REQUEST_HEAD || h->status == 204 || h->status == 304) {
        out->doubtful = h->status == 204 && announces_content(out);
        out->kind = BODY_NONE;
    } else if (out->kind == BODY_NONE) {
        out->kind = BODY_CLOSE; /* rule 8 */
    }
    return FRAMING_OK;
}
