#include "admin/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/decimal.h"
#include "base/log.h"

#define FIRST_ROOM 4096

bool text_reserve(struct text *t, size_t n)
{
    size_t needed = t->n + n < FIRST_ROOM ? FIRST_ROOM : t->n + n;
    char *p = t->failed ? NULL : array_reserve(t->p, &t->room, needed, 1);

    t->failed = !p;
    t->p = p ? p : t->p;
    return p != NULL;
}

void text_free(struct text *t)
{
    free(t->p);
    *t = (struct text){0};
}

void text_fit(struct text *t)
{
    char *p = t->room > t->n && t->n > 0 ? realloc(t->p, t->n) : NULL;

    if (!p)
        return;
    t->p = p;
    t->room = t->n;
}

void text_number(struct text *t, uint64_t value)
{
    if (text_reserve(t, DECIMAL_MAX))
        t->n = (size_t)(decimal_put(t->p + t->n, value) - t->p);
}

/* Of so many parts to the unit, a power of ten; no zeros at the end. */
static void put_fraction(struct text *t, uint64_t n, uint64_t parts)
{
    char decimals[DECIMAL_MAX], *end = decimals;

    text_number(t, n / parts);
    if (n % parts == 0)
        return;
    while ((n %= parts) > 0) {
        parts /= 10;
        *end++ = (char)('0' + n / parts);
    }
    text_lit(t, ".");
    text_put(t, (struct slice){decimals, (size_t)(end - decimals)});
}

void text_seconds(struct text *t, uint64_t us)
{
    put_fraction(t, us, 1000000);
}

void text_ms(struct text *t, uint64_t us)
{
    put_fraction(t, us, 1000);
}

void text_json(struct text *t, struct slice value)
{
    size_t room = value.n * 6 + 2; /* \u00XX a byte, at worst */

    if (text_reserve(t, room))
        t->n += log_escape_json(t->p + t->n, room, value);
}

void text_format(struct text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !text_reserve(t, (size_t)n + 1))
        return;
    va_start(args, format);
    vsnprintf(t->p + t->n, (size_t)n + 1, format, args);
    va_end(args);
    t->n += (size_t)n;
}
