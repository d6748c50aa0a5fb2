/* Patterns and a URL: lines of patterns, the last line is the URL. The upstream is the one that the rules of
 * carpool.yaml(5) say, however the host is spelt. */

#include <ctype.h>

#include "config/hostname.h"
#include "config/match.h"
#include "config_fuzz.h"
#include "http/head.h"
#include "http/uri.h"

#define MOST_PATTERNS 24

struct pattern {
    struct slice text;
    bool suffix;
    char host[HOSTNAME_SIZE]; /* "": all */
    uint16_t port;
};

/* Lines that are no patterns are left out: one alone would have the file refused. */
static bool read_pattern(struct slice text, struct pattern *out)
{
    *out = (struct pattern){.text = text};
    if (slice_eq(text, SLICE("*")))
        return true;
    out->suffix = text.n > 2 && memcmp(text.p, "*.", 2) == 0;
    return hostname_parse_port(slice_from(text, out->suffix ? 2 : 0), out->host, &out->port) &&
           !(out->suffix && (strchr(out->host, ':') || uri_ends_in_number(slice_of(out->host))));
}

static bool has_doubles(const struct pattern *patterns, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < i; k++)
            if (patterns[i].suffix == patterns[k].suffix && patterns[i].port == patterns[k].port &&
                strcmp(patterns[i].host, patterns[k].host) == 0)
                return true;
    return false;
}

/* An upstream each; two that say the same refuse the file. */
static struct config *parse(const struct pattern *patterns, unsigned count)
{
    char *yaml;
    size_t size;
    FILE *f = open_memstream(&yaml, &size);

    fputs("upstreams:\n", f);
    for (unsigned i = 0; i < count; i++)
        fprintf(f, "  u%u: {match: '%.*s'}\n", i, (int)patterns[i].text.n, patterns[i].text.p);
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
    static struct pattern patterns[MOST_PATTERNS];
    struct slice rest = fuzz_copy(data, size);
    const char *start = rest.p, *end;
    unsigned count = 0;

    while ((end = memchr(rest.p, '\n', rest.n))) {
        struct slice line = {rest.p, (size_t)(end - rest.p)};

        rest = slice_from(rest, line.n + 1);
        if (count < MOST_PATTERNS)
            count += read_pattern(line, &patterns[count]);
    }
    struct config *c = parse(patterns, count);
    fuzz_assert(has_doubles(patterns, count) == !c);
    if (c)
        check_url(c, rest);
    config_unref(c);
    free((char *)start);
}

const struct fuzz_target fuzz_match = {"match", http_init, run};
