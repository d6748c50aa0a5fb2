#ifndef CARPOOL_HTTP_BYTES_H
#define CARPOOL_HTTP_BYTES_H

/* Which bytes may stand where (RFC 9110 5.5 and 5.6, RFC 5234 B.1). */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

enum byte_class {
    BYTE_TOKEN = 1,   /* tchar, RFC 9110 5.6.2 */
    BYTE_VALUE = 2,   /* HTAB, SP, VCHAR and obs-text, RFC 9110 5.5 */
    BYTE_VISIBLE = 4, /* VCHAR: 21-7E */
    BYTE_DIGIT = 8,
    BYTE_HEX = 16,
    BYTE_HOST = 32,    /* letters, digits, '-', '.', '_' */
    BYTE_TOKEN68 = 64, /* RFC 9110 11.2, but for the '=' at its end */
    BYTE_TARGET = 128, /* what may stand in a request line's target: all but controls and space */
};

extern const uint8_t byte_classes[256];

static inline bool byte_is(char c, enum byte_class class)
{
    return byte_classes[(unsigned char)c] & class;
}

static inline char byte_lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c | 0x20);
    return c;
}

#define BYTES_OF(byte) (UINT64_MAX / 255 * (byte))

/* Not 0 when one of eight bytes is below `floor` (which is at most 80) or DEL. */
static inline uint64_t bytes_below_or_del(uint64_t eight, uint8_t floor)
{
    uint64_t del = eight ^ BYTES_OF(0x7f);
    uint64_t below = (eight - BYTES_OF(floor)) & ~eight;

    return (below | ((del - BYTES_OF(0x01)) & ~del)) & BYTES_OF(0x80);
}

/* The first byte from p on that no field value has, or `end`. */
static inline const char *bytes_skip_value(const char *p, const char *end)
{
    for (uint64_t eight; end - p >= 8; p += 8) {
        memcpy(&eight, p, sizeof eight);
        if (bytes_below_or_del(eight, 0x20))
            break;
    }
    while (p < end && byte_is(*p, BYTE_VALUE))
        p++;
    return p;
}

/* The first byte from p on that is not visible ASCII, or `end`. */
static inline const char *bytes_skip_visible(const char *p, const char *end)
{
    for (uint64_t eight; end - p >= 8; p += 8) {
        memcpy(&eight, p, sizeof eight);
        if (bytes_below_or_del(eight, 0x21) | (eight & BYTES_OF(0x80)))
            break;
    }
    while (p < end && byte_is(*p, BYTE_VISIBLE))
        p++;
    return p;
}

/* The first byte from p on that is no BYTE_TARGET, or `end`. */
static inline const char *bytes_skip_target(const char *p, const char *end)
{
    for (uint64_t eight; end - p >= 8; p += 8) {
        memcpy(&eight, p, sizeof eight);
        if (bytes_below_or_del(eight, 0x21))
            break;
    }
    while (p < end && byte_is(*p, BYTE_TARGET))
        p++;
    return p;
}

static inline const char *bytes_skip(const char *p, const char *end, enum byte_class class)
{
    while (p < end && byte_is(*p, class))
        p++;
    return p;
}

/* Whether s is one or more bytes of this class and nothing else. */
static inline bool bytes_all(struct slice s, enum byte_class class)
{
    return s.n > 0 && bytes_skip(s.p, s.p + s.n, class) == s.p + s.n;
}

/* Cuts the next element off a comma-separated list of tokens, where a quote has no meaning: trimmed, empty
 * ones skipped (RFC 9110 5.6.1). False at the end of the list. */
bool bytes_next_element(struct slice *list, struct slice *element);

#endif
