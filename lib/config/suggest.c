#include "config/suggest.h"

#include <ctype.h>
#include <string.h>

#include "base/minmax.h"

#define LONGEST 48

static int lower(const char *text, size_t at)
{
    return tolower((unsigned char)text[at]);
}

/* Optimal string alignment: three rows of the usual table. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
    unsigned rows[3][LONGEST + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned change = lower(a, i - 1) != lower(b, j - 1);
            now[j] = min32(min32(last[j], now[j - 1]) + 1, last[j - 1] + change);
            if (i > 1 && j > 1 && lower(a, i - 1) == lower(b, j - 2) && lower(a, i - 2) == lower(b, j - 1))
                now[j] = min32(now[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}

const char *suggest(const char *typed, const char *const *names, size_t count)
{
    const char *best = NULL;
    unsigned best_distance = 0;
    size_t n = strlen(typed);
    if (n > LONGEST)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t m = strlen(names[i]);
        if (m > LONGEST)
            continue;
        unsigned d = distance(typed, n, names[i], m);
        /* a third of the letters may be wrong, but never all of a short word */
        if (d <= (n > m ? n : m) / 3 && (!best || d < best_distance)) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
