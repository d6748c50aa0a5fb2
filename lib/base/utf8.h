#ifndef CARPOOL_BASE_UTF8_H
#define CARPOOL_BASE_UTF8_H

/* UTF-8 (RFC 3629): no overlong form, no surrogate, at most U+10FFFF. */

#include <stdbool.h>
#include <stddef.h>

/* The length of the character at the front of n bytes, n > 0; 0: there is none. */
size_t utf8_length(const unsigned char *p, size_t n);

/* Whether a character of this length is C0, DEL or C1, which terminals obey. */
static inline bool utf8_is_control(const unsigned char *p, size_t length)
{
    if (length == 1)
        return p[0] < ' ' || p[0] == 0x7f;
    return length == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

/* Well-formed, without control characters. */
bool utf8_is_text(const char *text);

#endif
