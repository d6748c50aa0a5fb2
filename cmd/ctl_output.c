#include "cmd/ctl_output.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

#define UTF8_MAX 4

/* A stream whose bytes go to `to`; the beginning of a character may wait for its rest. */
struct filter {
    FILE *to;
    unsigned char begun[UTF8_MAX];
    unsigned begun_count;
};

static struct filter out_filter, err_filter;

/* Bytes of the character that begins with this one; 1 where no longer one begins so (RFC 3629). */
static unsigned length_of(unsigned char first)
{
    if (first < 0xc2 || first > 0xf4)
        return 1;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Whether these bytes are one character and no control character. */
static bool is_harmless(const unsigned char *p, unsigned n)
{
    return utf8_length(p, n) == n && !utf8_is_control(p, n);
}

static bool is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

unsigned ctl_control_length(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned n = length_of(*p), have = 1;

    while (have < n && is_continuation(p[have]))
        have++;
    return is_harmless(p, have) ? 0 : have;
}

/* C1 has a number of its own; what is no UTF-8 is shown byte by byte. */
static void put_escaped(FILE *to, const unsigned char *p, unsigned n)
{
    if (n == 2 && *p == 0xc2) {
        fprintf(to, "\\u00%02x", p[1]);
        return;
    }
    for (unsigned i = 0; i < n; i++)
        fprintf(to, "\\u00%02x", p[i]);
}

/* What has begun is a whole character, or will never be one. */
static void put_begun(struct filter *f)
{
    unsigned n = f->begun_count;

    if (is_harmless(f->begun, n) || (n == 1 && f->begun[0] == '\n'))
        fwrite(f->begun, 1, n, f->to);
    else
        put_escaped(f->to, f->begun, n);
    f->begun_count = 0;
}

static ssize_t take(void *cookie, const char *bytes, size_t n)
{
    struct filter *f = cookie;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (f->begun_count > 0 && !is_continuation(c))
            put_begun(f);
        f->begun[f->begun_count++] = c;
        if (f->begun_count == length_of(f->begun[0]))
            put_begun(f);
    }
    if (f->to == err_filter.to)
        fflush(f->to);
    return ferror(f->to) ? 0 : (ssize_t)n;
}

static FILE *filtered(struct filter *f, FILE *to)
{
    FILE *stream;

    f->to = to;
    stream = fopencookie(f, "w", (cookie_io_functions_t){.write = take});
    if (!stream) {
        fputs("carpoolctl: out of memory\n", to);
        _exit(1);
    }
    setvbuf(stream, NULL, _IOLBF, BUFSIZ);
    return stream;
}

void ctl_output_begin(void)
{
    stdout = filtered(&out_filter, stdout);
    stderr = filtered(&err_filter, stderr);
}

void ctl_put_sequence(FILE *out, const char *sequence)
{
    fflush(out);
    fputs(sequence, out == stderr ? err_filter.to : out_filter.to);
}

FILE *ctl_terminal(void)
{
    return out_filter.to;
}

int ctl_output_end(int status)
{
    int number;

    errno = 0;
    fflush(stdout);
    if (out_filter.begun_count > 0)
        put_begun(&out_filter);
    if (fflush(out_filter.to) == 0 && !ferror(out_filter.to))
        return status;
    number = errno;
    fprintf(stderr, "carpoolctl: cannot write to stdout%s%s\n", number ? ": " : "",
            number ? strerror(number) : "");
    return 1;
}
