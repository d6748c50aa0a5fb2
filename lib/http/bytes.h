#ifndef CARPOOL_HTTP_BYTES_H
#define CARPOOL_HTTP_BYTES_H

/* Which bytes may stand where (RFC 9110 5.5 and 5.6, RFC 5234 B.1). */

#include <endian.h>
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

/* Eight bytes at p, the first with the least weight. */
static inline uint64_t bytes_load(const char *p)
{
    uint64_t eight;

    memcpy(&eight, p, sizeof eight);
    return le64toh(eight);
}

/* Marks, with their highest bit, all bytes that are below `floor` (which is at most 80) or DEL, and maybe
 * others after the first of them. */
static inline uint64_t bytes_below_or_del(uint64_t eight, uint8_t floor)
{
    uint64_t del = eight ^ BYTES_OF(0x7f);
    uint64_t below = (eight - BYTES_OF(floor)) & ~eight;

    return (below | ((del - BYTES_OF(0x01)) & ~del)) & BYTES_OF(0x80);
}

/* Marks all bytes but ASCII letters and hyphens. */
static inline uint64_t bytes_not_of_names(uint64_t eight)
{
    uint64_t seven = eight & BYTES_OF(0x7f), lower = seven | BYTES_OF(0x20);
    uint64_t letter = (lower + BYTES_OF(0x80 - 'a')) & ~(lower + BYTES_OF(0x7f - 'z'));
    uint64_t hyphen = ~((seven ^ BYTES_OF('-')) + BYTES_OF(0x7f));

    return (~(letter | hyphen) | eight) & BYTES_OF(0x80);
}

/* The first byte from p on that is not of `class`, or `end`. `marks` says of a word which bytes may not
 * be. */
#define BYTES_SKIP(p, end, class, marks)                 \
    for (uint64_t eight, marked; (end) - (p) >= 8;) {    \
        eight = bytes_load(p);                           \
        marked = (marks);                                \
        (p) += marked ? __builtin_ctzll(marked) / 8 : 8; \
        if (marked && !byte_is(*(p)++, class))           \
            return (p)-1;                                \
    }                                                    \
    while ((p) < (end) && byte_is(*(p), class))          \
        (p)++;                                           \
    return (p)

/* The first byte from p on that no field value has, or `end`. */
static inline const char *bytes_skip_value(const char *p, const char *end)
{
    BYTES_SKIP(p, end, BYTE_VALUE, bytes_below_or_del(eight, 0x20));
}

/* The first byte from p on that is not visible ASCII, or `end`. */
static inline const char *bytes_skip_visible(const char *p, const char *end)
{
    BYTES_SKIP(p, end, BYTE_VISIBLE, bytes_below_or_del(eight, 0x21) | (eight & BYTES_OF(0x80)));
}

/* The first byte from p on that is no BYTE_TARGET, or `end`. */
static inline const char *bytes_skip_target(const char *p, const char *end)
{
    BYTES_SKIP(p, end, BYTE_TARGET, bytes_below_or_del(eight, 0x21));
}

/* The first byte from p on that is no BYTE_TOKEN, or `end`. Field names are letters and hyphens nearly
 * always. */
static inline const char *bytes_skip_token(const char *p, const char *end)
{
    BYTES_SKIP(p, end, BYTE_TOKEN, bytes_not_of_names(eight));
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
