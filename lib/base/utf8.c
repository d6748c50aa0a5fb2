#include "base/utf8.h"

#include <string.h>

size_t utf8_length(const unsigned char *p, size_t n)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t length;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (n < length || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    }
    return length;
}

bool utf8_is_text(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t length;

    for (size_t n = strlen(text); n > 0; n -= length) {
        length = utf8_length(p, n);
        if (length == 0 || utf8_is_control(p, length))
            return false;
        p += length;
    }
    return true;
}
