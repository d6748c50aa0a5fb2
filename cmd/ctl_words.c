#include "cmd/ctl_words.h"

#include <stdio.h>
#include <string.h>

#include "admin/words.h"
#include "cmd/ctl_output.h"

const char *ctl_short_time(double ms, char out[CTL_WORD_SIZE])
{
    if (ms <= 0)
        snprintf(out, CTL_WORD_SIZE, "-");
    else if (ms < 999.5)
        snprintf(out, CTL_WORD_SIZE, ms < 9.95 ? "%.1fms" : "%.0fms", ms);
    else if (ms < 99950)
        snprintf(out, CTL_WORD_SIZE, "%.1fs", ms / 1e3);
    else
        snprintf(out, CTL_WORD_SIZE, "%.0fm", ms / 60e3);
    return out;
}

const char *ctl_long_time(double ms, char out[CTL_WORD_SIZE])
{
    uint64_t s = ms > 0 ? (uint64_t)(ms / 1e3) : 0;

    if (s < 90)
        snprintf(out, CTL_WORD_SIZE, "%u s", (unsigned)s);
    else if (s < 90 * 60)
        snprintf(out, CTL_WORD_SIZE, "%u min", (unsigned)(s / 60));
    else if (s < 48 * 3600)
        snprintf(out, CTL_WORD_SIZE, "%u h %u min", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
    else
        snprintf(out, CTL_WORD_SIZE, "%llu days", (unsigned long long)(s / 86400));
    return out;
}

const char *ctl_span(double ms, char out[CTL_WORD_SIZE])
{
    struct text words = {0};

    if (ms > 0)
        words_time(&words, ms);
    else
        text_lit(&words, "0 ms");
    snprintf(out, CTL_WORD_SIZE, "%.*s", (int)words.n, words.p ? words.p : "");
    text_free(&words);
    return out;
}

const char *ctl_count(uint64_t n, char out[CTL_WORD_SIZE])
{
    char plain[CTL_WORD_SIZE];
    size_t digits = (size_t)snprintf(plain, sizeof plain, "%llu", (unsigned long long)n);
    char *at = out;

    for (size_t i = 0; i < digits; i++) {
        if (i > 0 && (digits - i) % 3 == 0)
            *at++ = ',';
        *at++ = plain[i];
    }
    *at = '\0';
    return out;
}

static bool is_continuation(char c)
{
    return (c & 0xc0) == 0x80;
}

void ctl_disarm(char *text)
{
    char *to = text;

    for (const char *p = text; *p;) {
        unsigned control = ctl_control_length(p);

        if (control) {
            *to++ = '?';
            p += control;
        } else {
            *to++ = *p++;
            while (is_continuation(*p))
                *to++ = *p++;
        }
    }
    *to = '\0';
}

size_t ctl_width(const char *text)
{
    size_t n = 0;

    for (const char *p = text; *p; p++)
        n += !is_continuation(*p);
    return n;
}

static size_t line_length(const char *text, size_t columns)
{
    size_t at = 0, used = 0, last_space = 0;

    while (text[at] && used < columns) {
        if (text[at] == ' ')
            last_space = at;
        at++;
        while (is_continuation(text[at]))
            at++;
        used++;
    }
    if (!text[at] || text[at] == ' ')
        return at;
    return last_space ? last_space : at;
}

size_t ctl_take_line(const char **text, size_t columns)
{
    size_t n = line_length(*text, columns);

    *text += n;
    *text += strspn(*text, " ");
    return n;
}
