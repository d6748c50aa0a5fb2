#include "io/resolv_conf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The caps are glibc's (resolv.h, RES_MAXRETRANS and RES_MAXRETRY). */
#define TIMEOUT_MAX_S 30
#define ATTEMPTS_MAX  5
#define NDOTS_MAX     15

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

    if (slice_begins(word, name) && slice_to_u64(slice_from(word, name.n), &value) && value > 0)
        *to = (value < (unsigned)cap ? (int)value : cap) * unit;
}

static void read_options(struct slice rest, struct resolv_conf *c)
{
    struct slice word;

    for (word = next_word(&rest); word.n > 0; word = next_word(&rest)) {
        take_option(word, SLICE("timeout:"), TIMEOUT_MAX_S, 1000, &c->timeout_ms);
        take_option(word, SLICE("attempts:"), ATTEMPTS_MAX, 1, &c->attempts);
        take_option(word, SLICE("ndots:"), NDOTS_MAX, 1, &c->ndots);
        if (slice_eq(word, SLICE("ndots:0")))
            c->ndots = 0;
    }
}

/* The last list holds (resolv.conf(5)). The root, ".", adds nothing to a name. */
static void read_search(struct slice rest, unsigned most, struct resolv_conf *c)
{
    size_t at = 0;
    struct slice word;

    c->search[0] = '\0';
    for (word = next_word(&rest); word.n > 0 && most > 0; word = next_word(&rest), most--) {
        while (word.n > 0 && word.p[word.n - 1] == '.')
            word.n--;
        if (at + word.n + 2 > sizeof c->search)
            return;
        if (word.n > 0)
            at += (size_t)snprintf(c->search + at, sizeof c->search - at, " %.*s", (int)word.n, word.p);
    }
}

void resolv_conf_read_line(struct slice line, struct resolv_conf *c)
{
    struct slice word = next_word(&line);

    if (slice_eq(word, SLICE("options")))
        read_options(line, c);
    else if (slice_eq(word, SLICE("search")))
        read_search(line, UINT_MAX, c);
    else if (slice_eq(word, SLICE("domain")))
        read_search(line, 1, c);
}

static void read_own_domain(struct resolv_conf *c)
{
    char name[256] = "";
    const char *dot;

    gethostname(name, sizeof name - 1);
    dot = strchr(name, '.');
    if (dot)
        read_search(slice_of(dot + 1), 1, c);
}

static void read_environment(struct resolv_conf *c)
{
    const char *domains = getenv("LOCALDOMAIN"), *options = getenv("RES_OPTIONS");

    if (domains)
        read_search(slice_of(domains), UINT_MAX, c);
    if (options)
        read_options(slice_of(options), c);
}

bool resolv_conf_read(const char *path, struct resolv_conf *c)
{
    FILE *f = fopen(path, "re");
    bool is_short = !f && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
    char *line = NULL;
    size_t size = 0;
    ssize_t n;

    *c = (struct resolv_conf){.timeout_ms = 5000, .attempts = 2, .ndots = 1};
    read_own_domain(c);
    while (f && (n = getline(&line, &size, f)) > 0)
        resolv_conf_read_line((struct slice){line, (size_t)n}, c);
    free(line);
    if (f)
        fclose(f);
    read_environment(c);
    return !is_short;
}

static int count(const char *text, char wanted)
{
    int n = 0;

    for (; *text; text++)
        n += *text == wanted;
    return n;
}

static struct slice nth_domain(const struct resolv_conf *c, unsigned nth)
{
    struct slice rest = slice_of(c->search), word = next_word(&rest);

    while (nth-- > 0)
        word = next_word(&rest);
    return word;
}

bool resolv_conf_candidate(const struct resolv_conf *c, const char *name, unsigned nth,
                           char out[RESOLV_NAME_SIZE])
{
    size_t n = strlen(name);
    bool is_whole = n > 0 && name[n - 1] == '.';
    unsigned domains = is_whole ? 0 : (unsigned)count(c->search, ' ');
    bool as_is_first = is_whole || count(name, '.') >= c->ndots;
    struct slice domain;

    if (nth > domains)
        return false;
    if (nth == (as_is_first ? 0 : domains)) {
        snprintf(out, RESOLV_NAME_SIZE, "%s%s", name, is_whole ? "" : ".");
        return true;
    }
    domain = nth_domain(c, as_is_first ? nth - 1 : nth);
    snprintf(out, RESOLV_NAME_SIZE, "%s.%.*s.", name, (int)domain.n, domain.p);
    return true;
}
