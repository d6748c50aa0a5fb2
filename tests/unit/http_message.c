#include "http_message.h"

#include <string.h>

static const struct head_limits limits = {.max_size = 16 * 1024, .max_count = 100};

/* A connection's bytes and how far they have arrived and been read. */
struct feed {
    struct slice bytes;
    size_t arrived, read, step;
    enum message_side side;
    enum request_kind asked;
    struct head head;
    struct message_log *log;
};

static struct slice unread(const struct feed *f)
{
    return (struct slice){f->bytes.p + f->read, f->arrived - f->read};
}

/* More bytes; false when there are none. */
static bool arrive(struct feed *f)
{
    if (f->arrived == f->bytes.n)
        return false;
    if (f->step > 0) {
        f->arrived += f->bytes.n - f->arrived < f->step ? f->bytes.n - f->arrived : f->step;
        return true;
    }
    do {
        f->arrived++;
    } while (f->arrived < f->bytes.n && f->bytes.p[f->arrived - 1] != '\n' &&
             f->bytes.p[f->arrived - 1] != '\r');
    return true;
}

static enum message_end refuse(struct feed *f, const char *why)
{
    f->log->why = why;
    return MESSAGE_REFUSED;
}

static enum message_end read_head(struct feed *f)
{
    size_t scanned = 0, length = 0;
    enum head_verdict v;

    while ((v = head_scan(unread(f), &scanned, &limits, &length)) == HEAD_INCOMPLETE) {
        if (!arrive(f))
            return MESSAGE_MORE;
    }
    if (v == HEAD_OK) {
        struct slice whole = {f->bytes.p + f->read, length};

        v = f->side == REQUESTS ? head_parse_request(whole, &limits, &f->head)
                                : head_parse_response(whole, &limits, &f->head);
    }
    if (v != HEAD_OK)
        return refuse(f, head_verdict_text(v));
    f->read += length;
    return MESSAGE_WHOLE;
}

static enum message_end check_target(struct feed *f)
{
    const struct field *host;
    struct uri uri;
    enum uri_verdict v;

    if (f->side == RESPONSES)
        return MESSAGE_WHOLE;
    host = head_find(&f->head, FIELD_HOST);
    if (host ? head_count(&f->head, FIELD_HOST) > 1 || !host_field_valid(host->value) : f->head.minor > 0)
        return refuse(f, "the Host field is missing, doubled or malformed (RFC 9112 3.2)");
    v = slice_eq(f->head.method, SLICE("CONNECT")) ? uri_parse_authority(f->head.target, &uri)
                                                   : uri_parse_absolute(f->head.target, &uri);
    return v == URI_OK ? MESSAGE_WHOLE : refuse(f, uri_verdict_text(v));
}

static void note_content(struct feed *f, struct slice data)
{
    for (size_t i = 0; i < data.n; i++)
        f->log->digest = (f->log->digest ^ (unsigned char)data.p[i]) * UINT64_C(1099511628211);
    f->log->content += data.n;
}

static enum message_end read_chunked(struct feed *f)
{
    char trailers[CHUNKED_MAX_TRAILERS];
    const struct head_limits trailer_limits = {.max_size = sizeof trailers, .max_count = 100};
    struct chunked decoder = {0};
    size_t n = 0, used;
    struct slice data;

    for (;;) {
        enum chunked_event event = chunked_decode(&decoder, unread(f), &used, &data);

        f->read += used;
        switch (event) {
        case CHUNKED_MORE:
            if (!arrive(f))
                return MESSAGE_MORE;
            break;
        case CHUNKED_DATA: note_content(f, data); break;
        case CHUNKED_TRAILER:
            note_content(f, data);
            memcpy(trailers + n, data.p, data.n);
            n += data.n;
            break;
        case CHUNKED_END:
            if (n > 0) {
                enum head_verdict v =
                    head_parse_trailers((struct slice){trailers, n}, &trailer_limits, &f->head);

                if (v != HEAD_OK)
                    return refuse(f, head_verdict_text(v));
            }
            return MESSAGE_WHOLE;
        case CHUNKED_BAD: return refuse(f, "the chunked coding is malformed");
        case CHUNKED_TOO_LARGE: return refuse(f, "chunk extensions or trailers are too long");
        }
    }
}

static enum message_end read_length(struct feed *f, uint64_t left)
{
    while (left > 0) {
        struct slice data = unread(f);

        if (data.n > left)
            data.n = (size_t)left;
        note_content(f, data);
        f->read += data.n;
        left -= data.n;
        if (left > 0 && !arrive(f))
            return MESSAGE_MORE;
    }
    return MESSAGE_WHOLE;
}

static enum message_end read_content(struct feed *f)
{
    struct framing framing;
    enum framing_verdict v = f->side == REQUESTS ? framing_of_request(&f->head, &framing)
                                                 : framing_of_response(&f->head, f->asked, &framing);

    if (v != FRAMING_OK)
        return refuse(f, framing_verdict_text(v));
    switch (framing.kind) {
    case BODY_NONE: return slice_eq(f->head.method, SLICE("CONNECT")) ? MESSAGE_TUNNEL : MESSAGE_WHOLE;
    case BODY_LENGTH: return read_length(f, framing.length);
    case BODY_CHUNKED: return read_chunked(f);
    case BODY_CLOSE: return read_length(f, UINT64_MAX);
    case BODY_TUNNEL: return MESSAGE_TUNNEL;
    }
    return MESSAGE_MORE;
}

static void skip_empty_lines(struct feed *f)
{
    while (f->side == REQUESTS && f->bytes.n - f->read >= 2 && memcmp(f->bytes.p + f->read, "\r\n", 2) == 0) {
        while (f->arrived < f->read + 2)
            arrive(f);
        f->read += 2;
    }
}

void message_read(struct slice bytes, size_t step, enum message_side side, enum request_kind asked,
                  struct message_log *log)
{
    static struct feed f;

    f = (struct feed){.bytes = bytes, .step = step, .side = side, .asked = asked, .log = log};
    memset(log, 0, sizeof *log);
    do {
        skip_empty_lines(&f);
        log->end = read_head(&f);
        if (log->end == MESSAGE_WHOLE)
            log->end = check_target(&f);
        if (log->end == MESSAGE_WHOLE)
            log->end = read_content(&f);
        log->messages += log->end == MESSAGE_WHOLE;
        log->used = f.read;
    } while (log->end == MESSAGE_WHOLE && f.read < bytes.n);
}
