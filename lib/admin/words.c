#include "admin/words.h"

#include "base/decimal.h"

void words_count(struct text *t, uint64_t n)
{
    char digits[DECIMAL_MAX];
    size_t count = (size_t)(decimal_put(digits, n) - digits);

    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            text_lit(t, ",");
        text_put(t, (struct slice){digits + i, 1});
    }
}

void words_counted(struct text *t, uint64_t n, const char *one)
{
    words_count(t, n);
    text_format(t, " %s%s", one, n == 1 ? "" : "s");
}

void words_part(struct text *t, uint64_t part, uint64_t whole, const char *one)
{
    words_count(t, part);
    text_lit(t, " of ");
    words_counted(t, whole, one);
}

/* The smaller unit is left out where it is 0. */
static void put_units(struct text *t, uint64_t n, uint64_t per_large, const char *large, const char *small)
{
    text_format(t, "%llu %s", (unsigned long long)(n / per_large), large);
    if (n % per_large > 0)
        text_format(t, " %llu %s", (unsigned long long)(n % per_large), small);
}

void words_average(struct text *t, uint64_t sum, uint64_t of)
{
    if (sum < 10 * of)
        text_format(t, "%.1f", (double)sum / (double)of);
    else
        words_count(t, (sum + of / 2) / of);
}

void words_time(struct text *t, double ms)
{
    uint64_t s = (uint64_t)(ms / 1e3);

    if (ms < 0.995)
        text_format(t, "%.2f ms", ms);
    else if (ms < 9.95)
        text_format(t, "%.1f ms", ms);
    else if (ms < 999.5)
        text_format(t, "%.0f ms", ms);
    else if (ms < 9950)
        text_format(t, "%.1f s", ms / 1e3);
    else if (s < 60)
        text_format(t, "%llu s", (unsigned long long)s);
    else if (s < 3600)
        put_units(t, s, 60, "min", "s");
    else if (s < 2 * 86400)
        put_units(t, s / 60, 60, "h", "min");
    else
        text_format(t, "%llu days", (unsigned long long)(s / 86400));
}

void words_percent(struct text *t, uint64_t part, uint64_t whole)
{
    double percent = whole > 0 ? 100.0 * (double)part / (double)whole : 0;
    bool is_near_end = (percent > 0 && percent < 0.95) || (percent > 99.05 && percent < 100);

    if (percent > 0 && percent < 0.05)
        text_lit(t, "under 0.1 %");
    else
        text_format(t, is_near_end ? "%.1f %%" : "%.0f %%", percent);
}
