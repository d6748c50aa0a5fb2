#include "config/problems.h"

#include <stdlib.h>
#include <string.h>

struct problem {
    struct problem *next;
    struct mark at;
    uint32_t order;
    bool is_error;
    char *text;
};

static void add(struct problems *p, struct mark at, bool is_error, const char *format, va_list args)
{
    struct problem *one = arena_alloc(p->arena, sizeof *one);
    one->at = at;
    one->is_error = is_error;
    one->text = arena_vformat(p->arena, format, args);
    one->order = p->count++;
    one->next = p->first;
    p->first = one;
    p->errors += is_error;
}

void problem_error(struct problems *p, struct mark at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(p, at, true, format, args);
    va_end(args);
}

void problem_warning(struct problems *p, struct mark at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(p, at, false, format, args);
    va_end(args);
}

static int by_position(const void *left, const void *right)
{
    const struct problem *a = *(struct problem *const *)left, *b = *(struct problem *const *)right;
    if (a->at.line != b->at.line)
        return a->at.line < b->at.line ? -1 : 1;
    if (a->at.column != b->at.column)
        return a->at.column < b->at.column ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

/* A value of the file is quoted in the message: it must not move the cursor or begin a line of its own. */
static const char *printable(struct arena *a, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    char *copy = arena_array(a, strlen(text) + 1, 4), *out = copy;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != 0x7f) {
            *out++ = (char)c;
            continue;
        }
        *out++ = '\\';
        *out++ = 'x';
        *out++ = hex[c >> 4];
        *out++ = hex[c & 15];
    }
    return copy;
}

/* One call a line: stderr has no buffer. */
static void print_one(const struct problems *p, const struct problem *one, FILE *out)
{
    const char *kind = one->is_error ? "error" : "warning", *text = printable(p->arena, one->text);
    if (one->at.line)
        fprintf(out, "%s:%u:%u: %s: %s\n", p->file, one->at.line, one->at.column, kind, text);
    else
        fprintf(out, "%s: %s: %s\n", one->at.column ? "command line" : p->file, kind, text);
}

void problems_print(struct problems *p, FILE *out)
{
    struct problem **sorted = arena_array(p->arena, p->count, sizeof(struct problem *));
    uint32_t n = 0;
    for (struct problem *one = p->first; one; one = one->next)
        sorted[n++] = one;
    if (n)
        qsort(sorted, n, sizeof(struct problem *), by_position);
    for (uint32_t i = 0; i < n; i++)
        print_one(p, sorted[i], out);
}
