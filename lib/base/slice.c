#include "base/slice.h"

#include <stdint.h>

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

/* Eight bytes with their ASCII letters in lower case. */
static uint64_t lower8(const char *p)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t eight, seven, letter;

    memcpy(&eight, p, sizeof eight);
    seven = eight & ones * 0x7f;
    letter = (seven + ones * (0x80 - 'A')) & ~(seven + ones * (0x7f - 'Z')) & ~eight & ones * 0x80;
    return eight | letter >> 2;
}

static unsigned char lower(char c)
{
    unsigned char byte = (unsigned char)c;

    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

/* strncasecmp() would stop at a NUL. */
bool slice_bytes_eq_nocase(const char *a, const char *b, size_t n)
{
    size_t i = 0;

    for (; n - i >= 8; i += 8) {
        if (lower8(a + i) != lower8(b + i))
            return false;
    }
    if (n >= 8)
        return lower8(a + n - 8) == lower8(b + n - 8);
    for (; i < n; i++) {
        if (a[i] != b[i] && lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && is_ows(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_ows(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* How far the first element reaches: to the first comma that stands outside of a quoted string. */
static size_t element_length(struct slice s)
{
    bool quoted = false;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            quoted = !quoted;
        else if (s.p[i] == '\\' && quoted)
            i++;
        else if (s.p[i] == ',' && !quoted)
            return i;
    }
    return s.n;
}

bool slice_next_element(struct slice *list, struct slice *element)
{
    while (list->n > 0) {
        size_t length = element_length(*list);

        *element = slice_trim((struct slice){list->p, length});
        *list = slice_from(*list, length + 1);
        if (element->n > 0)
            return true;
    }
    return false;
}

bool slice_to_u64(struct slice s, unsigned long long *value)
{
    unsigned long long sum = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, s.p[i] - '0', &sum))
            return false;
    }
    *value = sum;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool slice_percent_decode(struct slice s, char *out, size_t room, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (*n == room)
            return false;
        if (c == '%') {
            int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
            int low = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        out[(*n)++] = c;
    }
    return true;
}
