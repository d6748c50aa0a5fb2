#include "http/body_reader.h"

const struct head_limits body_trailer_limits = {.max_size = CHUNKED_MAX_TRAILERS,
                                                .max_count = HEAD_MAX_FIELDS};

void body_reader_begin(struct body_reader *b, struct framing framing)
{
    *b = (struct body_reader){
        .framing = framing,
        .left = framing.kind == BODY_LENGTH ? framing.length : 0,
        .ended = framing_is_empty(&framing),
    };
}

static enum body_event read_length(struct body_reader *b, struct slice in, size_t *used, struct slice *run)
{
    if (b->left == 0)
        return BODY_END;
    if (in.n == 0)
        return BODY_MORE;
    run->p = in.p;
    *used = run->n = in.n < b->left ? in.n : (size_t)b->left;
    b->left -= run->n;
    b->ended = b->left == 0;
    return BODY_RUN;
}

static bool gather_trailer(struct body_reader *b, struct buffer_pool *buffers, struct slice run)
{
    if (!b->trailers)
        b->trailers = buffer_borrow(buffers);
    return b->trailers && buffer_append(b->trailers, run);
}

static enum body_event read_chunked(struct body_reader *b, struct buffer_pool *buffers, struct slice in,
                                    size_t *used, struct slice *run)
{
    for (;;) {
        size_t taken;
        enum chunked_event e = chunked_decode(&b->chunked, slice_from(in, *used), &taken, run);
        *used += taken;
        switch (e) {
        case CHUNKED_MORE: return BODY_MORE;
        case CHUNKED_DATA:
            if (run->n > 0)
                return BODY_RUN;
            break;
        case CHUNKED_TRAILER:
            if (!gather_trailer(b, buffers, *run))
                return BODY_NO_MEMORY;
            break;
        case CHUNKED_END: b->ended = true; return BODY_END;
        case CHUNKED_BAD:
        case CHUNKED_TOO_LARGE: return BODY_MALFORMED;
        }
    }
}

enum body_event body_read(struct body_reader *b, struct buffer_pool *buffers, struct slice in, size_t *used,
                          struct slice *run)
{
    *used = 0;
    if (b->ended)
        return BODY_END;
    switch (b->framing.kind) {
    case BODY_LENGTH: return read_length(b, in, used, run);
    case BODY_CHUNKED: return read_chunked(b, buffers, in, used, run);
    case BODY_CLOSE:
        *run = in;
        *used = in.n;
        return in.n > 0 ? BODY_RUN : BODY_MORE;
    case BODY_NONE:
    case BODY_TUNNEL: break;
    }
    return BODY_END;
}

void body_reader_skip(struct body_reader *b, size_t n)
{
    b->left -= n;
    b->ended = b->left == 0;
}

bool body_reader_trailers(const struct body_reader *b, struct head *out)
{
    if (b->trailers)
        return head_parse_trailers(buffer_unread(b->trailers), &body_trailer_limits, out) == HEAD_OK;
    out->count = 0;
    out->present = 0;
    return true;
}

const char *body_reader_fault(const struct body_reader *b)
{
    if (b->ended)
        return "trailers are malformed (RFC 9112 7.1.2)";
    if (b->chunked.trailers >= CHUNKED_MAX_TRAILERS)
        return "trailers are longer than 8 KiB";
    if (b->chunked.extensions > CHUNKED_MAX_EXTENSIONS)
        return "chunk extensions are longer than 16 KiB in all";
    return "chunked content is malformed (RFC 9112 7.1)";
}

void body_reader_end(struct body_reader *b)
{
    buffer_give(b->trailers);
    b->trailers = NULL;
}

bool trailers_append(struct buffer *to, const struct head *trailers)
{
    for (uint32_t i = 0; i < trailers->count; i++) {
        const struct field *f = &trailers->fields[i];
        if (!field_allowed_in_trailer(f))
            continue;
        if (!buffer_append(to, f->name) || !buffer_append(to, SLICE(": ")) || !buffer_append(to, f->value) ||
            !buffer_append(to, SLICE("\r\n")))
            return false;
    }
    return true;
}
