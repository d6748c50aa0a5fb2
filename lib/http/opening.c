#include "http/opening.h"

#include <stdint.h>

/* More than any method, or scheme of a URL, has. */
#define WORD_MAX 32

/* ---- HTTP */

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_of_scheme(char c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
           c == '.';
}

/* Whether `bytes` go on as `text` does. */
static enum opening compare(struct slice bytes, struct slice text, enum opening whole)
{
    size_t n = bytes.n < text.n ? bytes.n : text.n;
    if (n > 0 && memcmp(bytes.p, text.p, n) != 0)
        return OPENING_OTHER;
    return n < text.n ? OPENING_MORE : whole;
}

/* scheme "://" */
static enum opening read_url(struct slice target)
{
    size_t n = 0;
    while (n < target.n && n < WORD_MAX && is_of_scheme(target.p[n]))
        n++;
    if (n == WORD_MAX || (n < target.n && n == 0))
        return OPENING_OTHER;
    return n == target.n ? OPENING_MORE : compare(slice_from(target, n), SLICE("://"), OPENING_HTTP);
}

static enum opening read_target(struct slice method, struct slice target)
{
    if (slice_eq(method, SLICE("CONNECT")))
        return OPENING_HTTP;
    if (target.n == 0)
        return OPENING_MORE;
    if (target.p[0] == '/')
        return OPENING_HTTP;
    if (target.p[0] == '*' && slice_eq(method, SLICE("OPTIONS")))
        return target.n == 1 ? OPENING_MORE : target.p[1] == ' ' ? OPENING_HTTP : OPENING_OTHER;
    return read_url(target);
}

static enum opening read_request_line(struct slice bytes)
{
    size_t n = 0;
    while (n < bytes.n && n < WORD_MAX && is_upper(bytes.p[n]))
        n++;
    if (n == WORD_MAX)
        return OPENING_OTHER;
    if (n == bytes.n)
        return OPENING_MORE;
    struct slice method = {bytes.p, n};
    /* What HTTP/2 begins with (RFC 9113 3.4) */
    if (n == 0 || bytes.p[n] != ' ' || slice_eq(method, SLICE("PRI")))
        return OPENING_OTHER;
    return read_target(method, slice_from(bytes, n + 1));
}

/* ---- TLS */

#define RECORD_HEAD    5
#define MESSAGE_HEAD   4
#define RECORD_MAX     16384
#define HANDSHAKE_TYPE 22
#define CLIENT_HELLO   1

static uint8_t byte_at(struct slice s, size_t i)
{
    return (uint8_t)s.p[i];
}

static size_t record_length(struct slice record)
{
    return (size_t)byte_at(record, 3) << 8 | byte_at(record, 4);
}

static enum opening read_record(struct slice bytes)
{
    if (bytes.n > 1 && byte_at(bytes, 1) != 3)
        return OPENING_OTHER;
    if (bytes.n > 2 && byte_at(bytes, 2) > 4)
        return OPENING_OTHER;
    if (bytes.n >= RECORD_HEAD && (record_length(bytes) == 0 || record_length(bytes) > RECORD_MAX))
        return OPENING_OTHER;
    if (bytes.n <= RECORD_HEAD)
        return OPENING_MORE;
    return byte_at(bytes, RECORD_HEAD) == CLIENT_HELLO ? OPENING_TLS : OPENING_OTHER;
}

/* Where the message is: its four bytes of head may stand in several records. */
struct message {
    size_t seen, length; /* without its head; SIZE_MAX: not known yet */
    size_t head_seen, head;
};

static void take(struct message *m, uint8_t byte)
{
    if (m->head_seen == MESSAGE_HEAD) {
        m->seen++;
        return;
    }
    m->head = m->head << 8 | byte;
    if (++m->head_seen == MESSAGE_HEAD)
        m->length = m->head & 0xffffff;
}

enum hello hello_of(struct slice bytes)
{
    struct message m = {.length = SIZE_MAX};
    struct slice rest = bytes;
    while (rest.n >= RECORD_HEAD) {
        size_t length = record_length(rest);
        if (byte_at(rest, 0) != HANDSHAKE_TYPE || length == 0 || length > RECORD_MAX)
            return HELLO_WHOLE;
        for (size_t i = RECORD_HEAD; i < rest.n && i < RECORD_HEAD + length && m.seen < m.length; i++)
            take(&m, byte_at(rest, i));
        if (m.length != SIZE_MAX && m.length > HELLO_MAX)
            return HELLO_TOO_LARGE;
        if (m.seen == m.length)
            return HELLO_WHOLE;
        rest = slice_from(rest, RECORD_HEAD + length);
    }
    return bytes.n >= HELLO_MAX ? HELLO_TOO_LARGE : HELLO_MORE;
}

enum opening opening_of(struct slice bytes)
{
    if (bytes.n == 0)
        return OPENING_MORE;
    return byte_at(bytes, 0) == HANDSHAKE_TYPE ? read_record(bytes) : read_request_line(bytes);
}
