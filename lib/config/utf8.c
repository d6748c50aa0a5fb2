#include "config/utf8.h"

#include <stdint.h>

/* The length of the well-formed sequence at p, 0 for none (RFC 3629 section 4). The end's 0 stops it. */
static int sequence(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    int n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    for (int i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] > 0x9f;
    bool beyond = p[0] == 0xf4 && p[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : n;
}

bool utf8_is_text(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int n = sequence(p);
        bool c1 = n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
        if (!n || *p < 0x20 || *p == 0x7f || c1)
            return false;
        p += n;
    }
    return true;
}
