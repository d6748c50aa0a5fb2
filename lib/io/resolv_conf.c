#include "io/resolv_conf.h"

#include <stdio.h>
#include <stdlib.h>

/* The caps are glibc's (resolv.h, RES_MAXRETRANS and RES_MAXRETRY). */
#define TIMEOUT_MAX_S 30
#define ATTEMPTS_MAX  5

static struct slice next_word(struct slice *rest)
{
    size_t start = 0, end;

    while (start < rest->n && strchr(" \t\r\n", rest->p[start]))
        start++;
    for (end = start; end < rest->n && !strchr(" \t\r\n", rest->p[end]);)
        end++;
    struct slice word = {rest->p + start, end - start};
    *rest = slice_from(*rest, end);
    return word;
}

/* "name:N" with 1 <= N; larger ones are cut to the cap. */
static void take_option(struct slice word, struct slice name, int cap, int unit, int *to)
{
    unsigned long long value;

    if (word.n <= name.n || !slice_eq((struct slice){word.p, name.n}, name))
        return;
    if (slice_to_u64(slice_from(word, name.n), &value) && value > 0)
        *to = (value < (unsigned)cap ? (int)value : cap) * unit;
}

void resolv_conf_read_line(struct slice line, struct resolv_conf *c)
{
    struct slice word = next_word(&line);

    if (!slice_eq(word, SLICE("options")))
        return;
    for (word = next_word(&line); word.n > 0; word = next_word(&line)) {
        take_option(word, SLICE("timeout:"), TIMEOUT_MAX_S, 1000, &c->timeout_ms);
        take_option(word, SLICE("attempts:"), ATTEMPTS_MAX, 1, &c->attempts);
    }
}

void resolv_conf_read(const char *path, struct resolv_conf *c)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    ssize_t n;

    *c = (struct resolv_conf){.timeout_ms = 5000, .attempts = 2};
    if (!f)
        return;
    while ((n = getline(&line, &size, f)) > 0)
        resolv_conf_read_line((struct slice){line, (size_t)n}, c);
    free(line);
    fclose(f);
}
