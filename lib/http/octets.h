#ifndef CARPOOL_HTTP_OCTETS_H
#define CARPOOL_HTTP_OCTETS_H

/* Which octets may stand where (RFC 9110 5.5 and 5.6, RFC 5234 B.1). */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

enum octet_class {
    OCTET_TOKEN = 1,   /* tchar, RFC 9110 5.6.2 */
    OCTET_VALUE = 2,   /* HTAB, SP, VCHAR and obs-text, RFC 9110 5.5 */
    OCTET_VISIBLE = 4, /* VCHAR: 21-7E */
    OCTET_DIGIT = 8,
    OCTET_HEX = 16,
    OCTET_HOST = 32,    /* letters, digits, '-', '.', '_' */
    OCTET_TOKEN68 = 64, /* RFC 9110 11.2, but for the '=' at its end */
};

extern const uint8_t octet_classes[256];

static inline bool octet_is(char c, enum octet_class class)
{
    return octet_classes[(unsigned char)c] & class;
}

static inline char octet_lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c | 0x20);
    return c;
}

#define OCTETS_OF(byte) (UINT64_MAX / 255 * (byte))

/* Not 0 when one of eight octets is below `floor` (which is at most 80) or DEL. */
static inline uint64_t octets_below_or_del(uint64_t eight, uint8_t floor)
{
    uint64_t del = eight ^ OCTETS_OF(0x7f);
    uint64_t below = (eight - OCTETS_OF(floor)) & ~eight;

    return (below | ((del - OCTETS_OF(0x01)) & ~del)) & OCTETS_OF(0x80);
}

/* The first octet from p on that no field value has, or `end`. */
static inline const char *octets_skip_value(const char *p, const char *end)
{
    for (uint64_t eight; end - p >= 8; p += 8) {
        memcpy(&eight, p, sizeof eight);
        if (octets_below_or_del(eight, 0x20))
            break;
    }
    while (p < end && octet_is(*p, OCTET_VALUE))
        p++;
    return p;
}

/* The first octet from p on that is not visible ASCII, or `end`. */
static inline const char *octets_skip_visible(const char *p, const char *end)
{
    for (uint64_t eight; end - p >= 8; p += 8) {
        memcpy(&eight, p, sizeof eight);
        if (octets_below_or_del(eight, 0x21) | (eight & OCTETS_OF(0x80)))
            break;
    }
    while (p < end && octet_is(*p, OCTET_VISIBLE))
        p++;
    return p;
}

static inline const char *octets_skip(const char *p, const char *end, enum octet_class class)
{
    while (p < end && octet_is(*p, class))
        p++;
    return p;
}

/* Whether s is one or more octets of this class and nothing else. */
static inline bool octets_all(struct slice s, enum octet_class class)
{
    return s.n > 0 && octets_skip(s.p, s.p + s.n, class) == s.p + s.n;
}

/* Cuts the next element off a comma-separated list of tokens, where a quote has no meaning: trimmed, empty
 * ones skipped (RFC 9110 5.6.1). False at the end of the list. */
bool octets_next_element(struct slice *list, struct slice *element);

#endif
