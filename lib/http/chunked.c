#include "http/chunked.h"

#include "http/bytes.h"

/*
 *            +-- DATA_LF <- DATA_CR <- DATA <--+
 *            v                                 | size > 0
 *      -> SIZE --(CR)-------------------> SIZE_LF --(size 0)--> TRAILERS --(CR)--> EMPTY_LF -> DONE
 *          | \--(SP, HTAB)-> BWS --(;)--+      ^                    |                            ^
 *          \-----------------(;)------> EXT ---+(CR)                v                            |
 *                                       | ^                 +--> TRAILER --(CR)--> TRAILER_LF    |
 *                                    (") v | (")            |                          |         |
 *                                   QUOTED <-> ESCAPED      +------------------- TRAILER_START   |
 *                                                                                      |(CR)     |
 *      any error -> BROKEN, any limit -> OVERFULL                                  LAST_LF ------+
 *
 * Line ends are CR LF and nothing else (RFC 9112 7.1): a decoder that takes a bare LF, or skips any two
 * bytes where they belong, reads another message than its neighbour.
 */
enum state {
    SIZE, /* the first state is that of a zeroed struct */
    BWS,
    EXT,
    QUOTED,
    ESCAPED,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILERS,      /* at the first byte of the trailer section */
    EMPTY_LF,      /* after the CR of an empty section */
    TRAILER,       /* in a line */
    TRAILER_LF,    /* after its CR */
    TRAILER_START, /* at the first byte of another line */
    LAST_LF,       /* after the CR of the empty line */
    DONE,
    BROKEN,
    OVERFULL,
};

/* chunk-size = 1*HEXDIG; 16 of them fit in 64 bits, and what does not fit in 63 is refused. */
#define MAX_DIGITS 16

static unsigned hex_value(char byte)
{
    return byte_is(byte, BYTE_DIGIT) ? (unsigned)(byte - '0') : (unsigned)(byte_lower(byte) - 'a' + 10);
}

static enum state after_size_byte(struct chunked *c, char byte)
{
    if (byte_is(byte, BYTE_HEX)) {
        if (c->digits == MAX_DIGITS)
            return BROKEN;
        c->digits++;
        c->left = c->left << 4 | hex_value(byte);
        return SIZE;
    }
    if (c->digits == 0 || c->left > INT64_MAX)
        return BROKEN;
    switch (byte) {
    case '\r': return SIZE_LF;
    case ';': return EXT;
    case ' ':
    case '\t': return BWS;
    default: return BROKEN;
    }
}

/* The state after a byte that is not data. White space may stand before a ';', not before the line's end;
 * a quoted string ends in its line (RFC 9112 7.1.1). */
static enum state after(struct chunked *c, char byte)
{
    switch ((enum state)c->state) {
    case SIZE: return after_size_byte(c, byte);
    case BWS: return byte == ';' ? EXT : byte == ' ' || byte == '\t' ? BWS : BROKEN;
    case EXT:
        if (byte == '\r')
            return SIZE_LF;
        return !byte_is(byte, BYTE_VALUE) ? BROKEN : byte == '"' ? QUOTED : EXT;
    case QUOTED:
        return !byte_is(byte, BYTE_VALUE) ? BROKEN : byte == '"' ? EXT : byte == '\\' ? ESCAPED : QUOTED;
    case ESCAPED: return byte_is(byte, BYTE_VALUE) ? QUOTED : BROKEN;
    case SIZE_LF: return byte != '\n' ? BROKEN : c->left > 0 ? DATA : TRAILERS;
    case DATA_CR: return byte == '\r' ? DATA_LF : BROKEN;
    case DATA_LF: return byte == '\n' ? SIZE : BROKEN;
    case TRAILERS: return byte == '\r' ? EMPTY_LF : TRAILER_START;
    case TRAILER_START: return byte == '\r' ? LAST_LF : byte == '\n' ? BROKEN : TRAILER;
    case TRAILER: return byte == '\r' ? TRAILER_LF : byte == '\n' ? BROKEN : TRAILER;
    case TRAILER_LF: return byte == '\n' ? TRAILER_START : BROKEN;
    case EMPTY_LF:
    case LAST_LF: return byte == '\n' ? DONE : BROKEN;
    case DATA:
    case DONE:
    case BROKEN:
    case OVERFULL: break;
    }
    return BROKEN;
}

static bool is_extension(enum state state)
{
    return state == BWS || state == EXT || state == QUOTED || state == ESCAPED;
}

static bool is_trailer(enum state state)
{
    return state == TRAILER_START || state == TRAILER || state == TRAILER_LF || state == LAST_LF;
}

static enum chunked_event take_data(struct chunked *c, struct slice rest, size_t *used, struct slice *data)
{
    *data = (struct slice){rest.p, rest.n < c->left ? rest.n : (size_t)c->left};
    if (data->n == 0)
        return CHUNKED_MORE;
    *used += data->n;
    c->left -= data->n;
    if (c->left == 0)
        c->state = DATA_CR;
    return CHUNKED_DATA;
}

/* Stops before a byte that is an error, so that what stood before it is reported however it came. */
static enum chunked_event take_trailer(struct chunked *c, struct slice rest, size_t *used, struct slice *data)
{
    size_t n = 0;

    while (n < rest.n && is_trailer(c->state)) {
        enum state next = c->trailers == CHUNKED_MAX_TRAILERS ? OVERFULL : after(c, rest.p[n]);

        if (n > 0 && (next == BROKEN || next == OVERFULL))
            break;
        c->state = (uint8_t)next;
        c->trailers++;
        n++;
    }
    if (c->state == BROKEN)
        return CHUNKED_BAD;
    if (c->state == OVERFULL)
        return CHUNKED_TOO_LARGE;
    *data = (struct slice){rest.p, n};
    *used += n;
    return n > 0 ? CHUNKED_TRAILER : CHUNKED_MORE;
}

/* One byte of a line that only the coding has. */
static void take_line_byte(struct chunked *c, char byte, size_t *used)
{
    enum state next = after(c, byte);

    if (c->state == DATA_LF)
        c->digits = 0;
    c->state = (uint8_t)next;
    if (is_extension(next) && c->extensions++ == CHUNKED_MAX_EXTENSIONS)
        c->state = OVERFULL;
    /* The first byte of a trailer section that is not empty is looked at again, as one of its own. */
    if (next != TRAILER_START)
        ++*used;
}

enum chunked_event chunked_decode(struct chunked *c, struct slice in, size_t *used, struct slice *data)
{
    *used = 0;
    for (;;) {
        struct slice rest = slice_from(in, *used);

        switch ((enum state)c->state) {
        case DATA: return take_data(c, rest, used, data);
        case TRAILER_START:
        case TRAILER:
        case TRAILER_LF:
        case LAST_LF: return take_trailer(c, rest, used, data);
        case DONE: return CHUNKED_END;
        case BROKEN: return CHUNKED_BAD;
        case OVERFULL: return CHUNKED_TOO_LARGE;
        case SIZE:
        case BWS:
        case EXT:
        case QUOTED:
        case ESCAPED:
        case SIZE_LF:
        case DATA_CR:
        case DATA_LF:
        case TRAILERS:
        case EMPTY_LF:
            if (rest.n == 0)
                return CHUNKED_MORE;
            take_line_byte(c, *rest.p, used);
        }
    }
}
