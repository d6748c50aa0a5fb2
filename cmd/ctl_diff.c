#include "cmd/ctl_diff.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_command.h"

#define CONTEXT   3
#define LINES_MAX 4000 /* of what lies between the first difference and the last one */

struct lines {
    const char **at; /* each up to and including its line feed; one more, the end */
    size_t count;
};

static struct lines split(const char *text)
{
    struct lines l = {ctl_need(calloc(strlen(text) + 2, sizeof *l.at)), 0};

    for (const char *p = text; *p;) {
        const char *end = strchr(p, '\n');

        l.at[l.count++] = p;
        p = end ? end + 1 : p + strlen(p);
    }
    l.at[l.count] = text + strlen(text);
    return l;
}

static size_t length(const struct lines *l, size_t i)
{
    return (size_t)(l->at[i + 1] - l->at[i]);
}

static bool same(const struct lines *a, size_t i, const struct lines *b, size_t j)
{
    return length(a, i) == length(b, j) && memcmp(a->at[i], b->at[j], length(a, i)) == 0;
}

/* One step of the way from one text to the other. */
enum step { STEP_KEEP = ' ', STEP_TAKE = '-', STEP_ADD = '+' };

struct steps {
    enum step *at;
    size_t count;
};

/* The longest common subsequence of what lies between `begin` and the ends, by its lengths from each place
 * on. */
static void find_steps(const struct lines *a, const struct lines *b, size_t begin, size_t end_a, size_t end_b,
                       struct steps *out)
{
    size_t n = end_a - begin, m = end_b - begin, width = m + 1;
    uint16_t *longest = ctl_need(calloc((n + 1) * width, sizeof *longest));
    size_t i = 0, j = 0;

    for (size_t x = n; x-- > 0;)
        for (size_t y = m; y-- > 0;) {
            uint16_t down = longest[(x + 1) * width + y], right = longest[x * width + y + 1];

            longest[x * width + y] = same(a, begin + x, b, begin + y)
                                         ? (uint16_t)(longest[(x + 1) * width + y + 1] + 1)
                                     : down > right ? down
                                                    : right;
        }
    while (i < n || j < m) {
        if (i < n && j < m && same(a, begin + i, b, begin + j)) {
            out->at[out->count++] = STEP_KEEP;
            i++, j++;
        } else if (i < n && (j == m || longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
            out->at[out->count++] = STEP_TAKE;
            i++;
        } else {
            out->at[out->count++] = STEP_ADD;
            j++;
        }
    }
    free(longest);
}

/* False: they differ in too many lines. */
static bool compare(const struct lines *a, const struct lines *b, struct steps *out)
{
    size_t begin = 0, end_a = a->count, end_b = b->count;

    while (begin < end_a && begin < end_b && same(a, begin, b, begin))
        begin++;
    while (end_a > begin && end_b > begin && same(a, end_a - 1, b, end_b - 1))
        end_a--, end_b--;
    if (end_a - begin > LINES_MAX || end_b - begin > LINES_MAX)
        return false;
    for (size_t i = 0; i < begin; i++)
        out->at[out->count++] = STEP_KEEP;
    find_steps(a, b, begin, end_a, end_b, out);
    for (size_t i = end_a; i < a->count; i++)
        out->at[out->count++] = STEP_KEEP;
    return true;
}

static void put_line(const struct lines *l, size_t i, enum step step, FILE *out)
{
    size_t n = length(l, i);
    bool ended = n > 0 && l->at[i][n - 1] == '\n';

    fprintf(out, "%c%.*s%s", step, (int)n, l->at[i], ended ? "" : "\n\\ No newline at end of file\n");
}

/* Where the steps from `from` on stop being near a change. */
static size_t hunk_end(const struct steps *s, size_t from)
{
    size_t quiet = 0, end = from;

    for (size_t i = from; i < s->count && quiet <= 2 * CONTEXT; i++) {
        quiet = s->at[i] == STEP_KEEP ? quiet + 1 : 0;
        if (quiet == 0)
            end = i + 1;
    }
    return end + CONTEXT < s->count ? end + CONTEXT : s->count;
}

static void count_lines(const struct steps *s, size_t from, size_t to, size_t *before, size_t *after)
{
    *before = *after = 0;
    for (size_t i = from; i < to; i++) {
        *before += s->at[i] != STEP_ADD;
        *after += s->at[i] != STEP_TAKE;
    }
}

static void put_hunk(const struct lines *a, const struct lines *b, const struct steps *s, size_t from,
                     size_t to, FILE *out)
{
    size_t i, j, n, m;

    count_lines(s, 0, from, &i, &j);
    count_lines(s, from, to, &n, &m);
    fprintf(out, "@@ -%zu,%zu +%zu,%zu @@\n", n ? i + 1 : i, n, m ? j + 1 : j, m);
    for (size_t at = from; at < to; at++) {
        if (s->at[at] == STEP_ADD)
            put_line(b, j, STEP_ADD, out);
        else
            put_line(a, i, s->at[at], out);
        i += s->at[at] != STEP_ADD;
        j += s->at[at] != STEP_TAKE;
    }
}

static void put_hunks(const char *file, const struct lines *a, const struct lines *b, const struct steps *s,
                      FILE *out)
{
    size_t done = 0;
    bool any = false;

    for (size_t i = 0; i < s->count; i++) {
        size_t from;

        if (i < done || s->at[i] == STEP_KEEP)
            continue;
        if (!any)
            fprintf(out, "--- %s\n+++ %s\n", file, file);
        any = true;
        from = i > done + CONTEXT ? i - CONTEXT : done;
        done = hunk_end(s, i);
        put_hunk(a, b, s, from, done, out);
    }
}

bool diff_print(const char *file, const char *before, const char *after, FILE *out)
{
    struct lines a = split(before), b = split(after);
    struct steps steps = {ctl_need(calloc(a.count + b.count + 1, sizeof *steps.at)), 0};
    bool good = compare(&a, &b, &steps);

    if (good)
        put_hunks(file, &a, &b, &steps, out);
    else
        ctl_fail("%s has too many lines", file);
    free(steps.at);
    free(a.at);
    free(b.at);
    return good;
}
