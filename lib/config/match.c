#include "config/match.h"

#include <stdlib.h>

#include "base/address.h"
#include "base/fnv.h"
#include "config/config.h"

#define HOST_MAX 255

struct slot {
    const struct match_pattern *pattern; /* NULL: empty */
    const struct upstream *upstream;
};

/* Open addressing, at most half full. */
struct match_index {
    const struct upstream *all; /* of "*" */
    bool has_suffixes;
    uint32_t mask;
    struct slot slots[];
};

/* From the end to the front, so that one pass over a host yields the hashes of all its suffixes. */
static uint32_t hash_host(struct slice host)
{
    uint32_t hash = FNV32_START;
    for (size_t i = host.n; i > 0; i--)
        hash = fnv32(hash, host.p[i - 1]);
    return hash;
}

static uint32_t with_port(uint32_t hash, uint16_t port)
{
    hash = (hash ^ port) * 0x9e3779b1u;
    return hash ^ hash >> 15;
}

static const struct upstream *look_up(const struct match_index *index, int kind, struct slice host,
                                      uint32_t hash, uint16_t port)
{
    for (uint32_t i = with_port(hash, port);; i++) {
        const struct slot *slot = &index->slots[i & index->mask];
        if (!slot->pattern)
            return NULL;
        if ((int)slot->pattern->kind == kind && slot->pattern->port == port &&
            slice_eq(slice_of(slot->pattern->host), host))
            return slot->upstream;
    }
}

static const struct upstream *with_port_before_without(const struct match_index *index, int kind,
                                                       struct slice host, uint32_t hash, uint16_t port)
{
    const struct upstream *u = look_up(index, kind, host, hash, port);
    return u ? u : look_up(index, kind, host, hash, 0);
}

/* Suffixes begin with a dot; the longest comes first. */
static const struct upstream *find_suffix(const struct match_index *index, struct slice host, uint16_t port)
{
    uint32_t hashes[HOST_MAX];
    uint32_t hash = FNV32_START;
    for (size_t i = host.n; i > 0; i--) {
        hash = fnv32(hash, host.p[i - 1]);
        hashes[i - 1] = hash;
    }
    for (size_t i = 1; i < host.n; i++) {
        if (host.p[i] != '.')
            continue;
        const struct upstream *u =
            with_port_before_without(index, MATCH_SUFFIX, slice_from(host, i), hashes[i], port);
        if (u)
            return u;
    }
    return NULL;
}

/* The spelling that patterns have: no dot at the end; an IPv6 address in its shortest form, in `room`. */
static struct slice canonical(struct slice host, char room[INET6_ADDRSTRLEN])
{
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    if (memchr(host.p, ':', host.n) && address_spell_ipv6(host, room))
        return slice_of(room);
    return host;
}

const struct upstream *match_find(const struct config *c, struct slice host, uint16_t port)
{
    const struct match_index *index = c->match_index;
    const struct upstream *u = NULL;
    char room[INET6_ADDRSTRLEN];
    host = canonical(host, room);
    if (host.n == 0 || host.n > HOST_MAX)
        return index->all;
    u = with_port_before_without(index, MATCH_EXACT, host, hash_host(host), port);
    if (!u && index->has_suffixes)
        u = find_suffix(index, host, port);
    return u ? u : index->all;
}

/* `written` is the pattern's port, 0 for none. `tls: true` makes 443 of 80. */
static bool port_is_named(const struct upstream *u, uint16_t written, uint16_t port, bool is_default_port)
{
    if (written == 0)
        return is_default_port;
    return port == written || (u->tls.enabled && written == 80 && port == 443);
}

bool match_names_exactly(const struct upstream *u, struct slice host, uint16_t port, bool is_default_port)
{
    for (uint32_t i = 0; i < u->match_count; i++) {
        const struct match_pattern *m = &u->match[i];
        if (m->kind == MATCH_EXACT && slice_eq(slice_of(m->host), host) &&
            port_is_named(u, m->port, port, is_default_port))
            return true;
    }
    return *u->host && slice_eq(slice_of(u->host), host) &&
           port_is_named(u, u->host_port, port, is_default_port);
}

const struct match_pattern *match_only_exact(const struct upstream *u)
{
    const struct match_pattern *found = NULL;
    for (uint32_t i = 0; i < u->match_count; i++) {
        if (u->match[i].kind != MATCH_EXACT)
            continue;
        if (found)
            return NULL;
        found = &u->match[i];
    }
    return found;
}

static void insert(struct match_index *index, const struct upstream *u, const struct match_pattern *p)
{
    if (p->kind == MATCH_ALL) {
        index->all = u;
        return;
    }
    index->has_suffixes |= p->kind == MATCH_SUFFIX;
    uint32_t i = with_port(hash_host(slice_of(p->host)), p->port);
    while (index->slots[i & index->mask].pattern)
        i++;
    index->slots[i & index->mask] = (struct slot){p, u};
}

struct match_index *match_index_new(const struct config *c)
{
    size_t patterns = 0, size = 4;
    for (uint32_t i = 0; i < c->upstream_count; i++)
        patterns += c->upstreams[i].match_count;
    while (size < 2 * patterns + 1)
        size *= 2;
    struct match_index *index = calloc(1, sizeof *index + size * sizeof(struct slot));
    if (!index)
        return NULL;
    index->mask = (uint32_t)(size - 1);
    for (uint32_t i = 0; i < c->upstream_count; i++) {
        for (uint32_t k = 0; k < c->upstreams[i].match_count; k++)
            insert(index, &c->upstreams[i], &c->upstreams[i].match[k]);
    }
    return index;
}

void match_index_free(struct match_index *index)
{
    free(index);
}
