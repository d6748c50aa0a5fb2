#include "config_fuzz.h"

#include "config/match.h"

/* How well a pattern fits: exact hosts before suffixes, the longer suffix first, a port before none. 0:
 * not. */
static size_t rank(const struct match_pattern *p, const char *host, uint16_t port)
{
    size_t n = strlen(host), m = strlen(p->host);

    if (p->kind == MATCH_ALL)
        return 1;
    if (p->port != 0 && p->port != port)
        return 0;
    if (p->kind == MATCH_EXACT)
        return strcmp(p->host, host) == 0 ? 10000 + (p->port != 0) : 0;
    return n > m && strcmp(host + n - m, p->host) == 0 ? 2 * m + 10 + (p->port != 0) : 0;
}

const struct upstream *fuzz_match_naively(const struct config *c, const char *host, uint16_t port)
{
    const struct upstream *best = NULL;
    size_t best_rank = 0;

    for (uint32_t i = 0; i < c->upstream_count; i++) {
        for (uint32_t k = 0; k < c->upstreams[i].match_count; k++) {
            size_t r = rank(&c->upstreams[i].match[k], host, port);

            /* Two that fit as well are refused when the file is read. */
            fuzz_assert(r == 0 || r != best_rank);
            if (r > best_rank) {
                best = &c->upstreams[i];
                best_rank = r;
            }
        }
    }
    return best;
}

/* Of a plain http:// origin. */
static bool names_exactly(const struct upstream *u, const char *host, uint16_t port)
{
    bool named = *u->host && strcmp(u->host, host) == 0 && port == (u->host_port ? u->host_port : 80);

    for (uint32_t k = 0; k < u->match_count; k++) {
        const struct match_pattern *m = &u->match[k];

        named |= m->kind == MATCH_EXACT && strcmp(m->host, host) == 0 && port == (m->port ? m->port : 80);
    }
    return named;
}

void fuzz_check_match(const struct config *c, const char *host, uint16_t port)
{
    struct slice plain = fuzz_copy((const uint8_t *)host, strlen(host)), dotted;
    const struct upstream *found = match_find(c, plain, port);
    char text[512];

    fuzz_assert(found == fuzz_match_naively(c, host, port));
    for (uint32_t i = 0; i < c->upstream_count; i++)
        fuzz_assert(c->upstreams[i].tls.enabled ||
                    match_names_exactly(&c->upstreams[i], plain, port, port == 80) ==
                        names_exactly(&c->upstreams[i], host, port));
    if (plain.n > 0 && plain.n < 254 && host[plain.n - 1] != '.' && !strchr(host, ':')) {
        snprintf(text, sizeof text, "%s.", host);
        dotted = fuzz_copy((const uint8_t *)text, plain.n + 1);
        fuzz_assert(match_find(c, dotted, port) == found);
        free((char *)dotted.p);
    }
    free((char *)plain.p);
}
