/* Patterns and a URL: lines of patterns, the last line is the URL. The upstream is the one that the rules of
 * carpool.yaml(5) say, however the host is spelt. */

#include <ctype.h>

#include "config/match.h"
#include "config_fuzz.h"
#include "http/head.h"
#include "http/uri.h"

#define MOST_PATTERNS 24

/* In YAML's single quotes everything but a quote is itself. False: a pattern that no line of YAML holds. */
static bool put_quoted(FILE *f, struct slice text)
{
    putc('\'', f);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c < 0x20 || c >= 0x7f || c == '\'' || c == '$')
            return false;
        putc(c, f);
    }
    putc('\'', f);
    return true;
}

/* Patterns that are refused are left out: one alone would have the file refused. */
static bool is_pattern(struct slice text)
{
    char *yaml;
    size_t size;
    FILE *f = open_memstream(&yaml, &size);

    fputs("upstreams: {u: {match: ", f);
    bool good = put_quoted(f, text);
    fputs("}}\n", f);
    fclose(f);
    struct config *c = good ? config_parse((struct slice){yaml, size}, "/match.yaml", NULL, NULL) : NULL;
    config_unref(c);
    free(yaml);
    return c != NULL;
}

/* An upstream each; two that say the same refuse the file. */
static struct config *parse(const struct slice *patterns, unsigned count)
{
    char *yaml;
    size_t size;
    FILE *f = open_memstream(&yaml, &size);

    fputs("upstreams:\n", f);
    for (unsigned i = 0; i < count; i++) {
        fprintf(f, "  u%u: {match: ", i);
        put_quoted(f, patterns[i]);
        fputs("}\n", f);
    }
    fclose(f);
    struct config *c = config_parse((struct slice){yaml, size}, "/match.yaml", NULL, NULL);
    free(yaml);
    return c;
}

static const struct upstream *find(const struct config *c, const struct uri *u)
{
    return match_find(c, (struct slice){u->host, u->host_length}, u->port);
}

/* The same host in capitals, and with the port written out. */
static void check_spellings(const struct config *c, struct slice url, const struct uri *u)
{
    struct slice loud = fuzz_copy((const uint8_t *)url.p, url.n);
    char text[URI_MAX_HOST + 32];
    struct uri again;

    for (size_t i = 0; i < loud.n; i++)
        ((char *)loud.p)[i] = (char)toupper((unsigned char)loud.p[i]);
    fuzz_assert(uri_parse_absolute(loud, &again) == URI_OK && find(c, &again) == find(c, u));
    free((char *)loud.p);
    snprintf(text, sizeof text, "%s://%s%s%s:%u", scheme_name(u->scheme), u->ipv6 ? "[" : "", u->host,
             u->ipv6 ? "]" : "", u->port);
    fuzz_assert(uri_parse_absolute(slice_of(text), &again) == URI_OK && find(c, &again) == find(c, u));
}

static void check_url(const struct config *c, struct slice url)
{
    char host[URI_MAX_HOST + 1];
    struct uri u;

    if (uri_parse_absolute(url, &u) != URI_OK)
        return;
    size_t n = u.host_length;
    memcpy(host, u.host, n + 1);
    if (n > 1 && host[n - 1] == '.')
        host[n - 1] = 0;
    fuzz_assert(find(c, &u) == fuzz_match_naively(c, host, u.port));
    fuzz_check_match(c, host, u.port);
    check_spellings(c, url, &u);
}

static void run(const uint8_t *data, size_t size)
{
    struct slice rest = fuzz_copy(data, size), patterns[MOST_PATTERNS];
    const char *start = rest.p, *end;
    unsigned count = 0;

    while ((end = memchr(rest.p, '\n', rest.n))) {
        struct slice line = {rest.p, (size_t)(end - rest.p)};

        rest = slice_from(rest, line.n + 1);
        if (count < MOST_PATTERNS && is_pattern(line))
            patterns[count++] = line;
    }
    struct config *c = count > 0 ? parse(patterns, count) : NULL;
    if (c)
        check_url(c, rest);
    config_unref(c);
    free((char *)start);
}

const struct fuzz_target fuzz_match = {"match", http_init, run};
