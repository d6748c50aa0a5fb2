#include "base/address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>

#include "base/decimal.h"
#include "base/fnv.h"

#define UNIX_PREFIX "unix:"
#define MAPPED_BITS 96

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t nat64_prefix[12] = {0, 0x64, 0xff, 0x9b};
static const uint8_t sixtofour_prefix[2] = {0x20, 0x02};

static void set_v4(struct address *a, const void *bytes, uint16_t port)
{
    *a = (struct address){.length = sizeof a->sa.v4};
    a->sa.v4.sin_family = AF_INET;
    a->sa.v4.sin_port = htons(port);
    memcpy(&a->sa.v4.sin_addr, bytes, 4);
}

static void set_v6(struct address *a, const void *bytes, uint16_t port)
{
    *a = (struct address){.length = sizeof a->sa.v6};
    a->sa.v6.sin6_family = AF_INET6;
    a->sa.v6.sin6_port = htons(port);
    memcpy(&a->sa.v6.sin6_addr, bytes, 16);
}

/* As inet_pton() takes it, which would not see what follows a NUL. False: it is no address. */
static bool copy_ip(struct slice ip, char out[INET6_ADDRSTRLEN])
{
    if (ip.n == 0 || ip.n >= INET6_ADDRSTRLEN || memchr(ip.p, '\0', ip.n))
        return false;
    memcpy(out, ip.p, ip.n);
    out[ip.n] = '\0';
    return true;
}

bool address_spell_ipv6(struct slice ip, char out[INET6_ADDRSTRLEN])
{
    struct in6_addr bytes;

    return copy_ip(ip, out) && inet_pton(AF_INET6, out, &bytes) == 1 &&
           inet_ntop(AF_INET6, &bytes, out, INET6_ADDRSTRLEN);
}

bool address_from_ip(struct address *a, struct slice ip, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t bytes[16];

    if (!copy_ip(ip, text))
        return false;
    if (inet_pton(AF_INET, text, bytes) == 1) {
        set_v4(a, bytes, port);
        return true;
    }
    if (inet_pton(AF_INET6, text, bytes) == 1) {
        set_v6(a, bytes, port);
        return true;
    }
    return false;
}

static bool parse_unix(struct address *a, struct slice path)
{
    if (path.n == 0 || path.p[0] != '/' || path.n >= sizeof a->sa.unix_.sun_path ||
        memchr(path.p, '\0', path.n))
        return false;
    *a = (struct address){.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1)};
    a->sa.unix_.sun_family = AF_UNIX;
    memcpy(a->sa.unix_.sun_path, path.p, path.n);
    return true;
}

static bool parse_port(struct slice text, uint16_t *port)
{
    unsigned long long value;

    if (text.n > 5 || !slice_to_u64(text, &value) || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

bool address_parse(struct address *a, struct slice text)
{
    const struct slice prefix = SLICE(UNIX_PREFIX);
    const char *colon;
    struct address parsed;
    struct slice host;
    uint16_t port;
    bool brackets;

    if (slice_begins(text, prefix))
        return parse_unix(a, slice_from(text, prefix.n));
    colon = text.n > 0 ? memrchr(text.p, ':', text.n) : NULL;
    if (!colon)
        return false;
    host = (struct slice){text.p, (size_t)(colon - text.p)};
    if (!parse_port(slice_from(text, host.n + 1), &port))
        return false;
    brackets = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (brackets)
        host = (struct slice){host.p + 1, host.n - 2};
    if (!address_from_ip(&parsed, host, port) || (parsed.sa.any.sa_family == AF_INET6) != brackets)
        return false;
    *a = parsed;
    return true;
}

void peer_address_set(struct peer_address *p, const struct address *a)
{
    *p = (struct peer_address){.sa.any.sa_family = a->sa.any.sa_family};
    if (a->sa.any.sa_family == AF_INET)
        p->sa.v4 = a->sa.v4;
    else if (a->sa.any.sa_family == AF_INET6)
        p->sa.v6 = a->sa.v6;
}

struct address peer_address_get(const struct peer_address *p)
{
    struct address a = {.sa.any.sa_family = p->sa.any.sa_family, .length = sizeof(sa_family_t)};
    if (p->sa.any.sa_family == AF_INET) {
        a.sa.v4 = p->sa.v4;
        a.length = sizeof a.sa.v4;
    } else if (p->sa.any.sa_family == AF_INET6) {
        a.sa.v6 = p->sa.v6;
        a.length = sizeof a.sa.v6;
    }
    return a;
}

uint16_t address_port(const struct address *a)
{
    if (a->sa.any.sa_family == AF_INET)
        return ntohs(a->sa.v4.sin_port);
    if (a->sa.any.sa_family == AF_INET6)
        return ntohs(a->sa.v6.sin6_port);
    return 0;
}

void address_set_port(struct address *a, uint16_t port)
{
    if (a->sa.any.sa_family == AF_INET)
        a->sa.v4.sin_port = htons(port);
    else if (a->sa.any.sa_family == AF_INET6)
        a->sa.v6.sin6_port = htons(port);
}

/* The path of a unix address; empty when it has none. The kernel may leave out the NUL. */
static struct slice unix_path(const struct address *a)
{
    size_t room = a->length > offsetof(struct sockaddr_un, sun_path)
                      ? a->length - offsetof(struct sockaddr_un, sun_path)
                      : 0;

    if (room > sizeof a->sa.unix_.sun_path)
        room = sizeof a->sa.unix_.sun_path;
    return (struct slice){a->sa.unix_.sun_path, strnlen(a->sa.unix_.sun_path, room)};
}

bool address_equal(const struct address *a, const struct address *b)
{
    if (a->sa.any.sa_family != b->sa.any.sa_family)
        return false;
    switch (a->sa.any.sa_family) {
    case AF_INET:
        return a->sa.v4.sin_port == b->sa.v4.sin_port && a->sa.v4.sin_addr.s_addr == b->sa.v4.sin_addr.s_addr;
    case AF_INET6:
        return a->sa.v6.sin6_port == b->sa.v6.sin6_port &&
               memcmp(&a->sa.v6.sin6_addr, &b->sa.v6.sin6_addr, 16) == 0;
    case AF_UNIX:
        /* Two peers without a name are not the same one. */
        return unix_path(a).n > 0 && slice_eq(unix_path(a), unix_path(b));
    default: return false;
    }
}

/* The address in the IPv6 form; false when it is no IP address. */
static bool to_bytes(const struct address *a, uint8_t bytes[16])
{
    if (a->sa.any.sa_family == AF_INET6) {
        memcpy(bytes, &a->sa.v6.sin6_addr, 16);
        return true;
    }
    if (a->sa.any.sa_family != AF_INET)
        return false;
    memcpy(bytes, mapped_prefix, sizeof mapped_prefix);
    memcpy(bytes + sizeof mapped_prefix, &a->sa.v4.sin_addr, 4);
    return true;
}

static bool is_mapped(const uint8_t bytes[16])
{
    return memcmp(bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool address_is_loopback(const struct address *a)
{
    uint8_t bytes[16];

    if (!to_bytes(a, bytes))
        return a->sa.any.sa_family == AF_UNIX;
    return is_mapped(bytes) ? bytes[12] == 127 : memcmp(bytes, &in6addr_loopback, 16) == 0;
}

bool address_is_any(const struct address *a)
{
    static const uint8_t zeros[16];
    uint8_t bytes[16];

    if (!to_bytes(a, bytes))
        return false;
    return is_mapped(bytes) ? memcmp(bytes + 12, zeros, 4) == 0 : memcmp(bytes, zeros, 16) == 0;
}

bool address_collides(const struct address *a, const struct address *b)
{
    if (address_equal(a, b))
        return true;
    return a->sa.any.sa_family == b->sa.any.sa_family && a->sa.any.sa_family != AF_UNIX &&
           address_port(a) == address_port(b) && (address_is_any(a) || address_is_any(b));
}

const char *peer_address_format(const struct peer_address *p, char out[ADDRESS_TEXT_SIZE])
{
    const struct address a = peer_address_get(p);

    return address_format(&a, out);
}

/* By hand: with an access log this runs for every request, and inet_ntop() calls sprintf() four times.
 * Returns the end. */
static char *put_ipv4(char *out, const struct in_addr *ip)
{
    const uint8_t *byte = (const uint8_t *)&ip->s_addr;

    for (int i = 0; i < 4; i++) {
        if (i > 0)
            *out++ = '.';
        out = decimal_put(out, byte[i]);
    }
    return out;
}

const char *address_format_host(const struct address *a, char out[ADDRESS_TEXT_SIZE])
{
    struct slice path;

    switch (a->sa.any.sa_family) {
    case AF_INET: *put_ipv4(out, &a->sa.v4.sin_addr) = '\0'; break;
    case AF_INET6: inet_ntop(AF_INET6, &a->sa.v6.sin6_addr, out, ADDRESS_TEXT_SIZE); break;
    case AF_UNIX:
        path = unix_path(a);
        snprintf(out, ADDRESS_TEXT_SIZE, path.n > 0 ? UNIX_PREFIX "%.*s" : "unix", (int)path.n, path.p);
        break;
    default: snprintf(out, ADDRESS_TEXT_SIZE, "unknown"); break;
    }
    return out;
}

const char *address_format(const struct address *a, char out[ADDRESS_TEXT_SIZE])
{
    char host[ADDRESS_TEXT_SIZE], *end;

    if (a->sa.any.sa_family == AF_INET) {
        end = put_ipv4(out, &a->sa.v4.sin_addr);
        *end = ':';
        *decimal_put(end + 1, address_port(a)) = '\0';
        return out;
    }
    address_format_host(a, host);
    switch (a->sa.any.sa_family) {
    case AF_INET6: snprintf(out, ADDRESS_TEXT_SIZE, "[%.64s]:%u", host, address_port(a)); break;
    default: memcpy(out, host, sizeof host); break;
    }
    return out;
}

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool host_bits_are_zero(const struct cidr *c)
{
    for (unsigned bit = c->bits; bit < 128; bit++) {
        if (c->bytes[bit / 8] & (0x80 >> bit % 8))
            return false;
    }
    return true;
}

/* Host bits may be set. */
static bool parse_network(struct cidr *c, struct slice text)
{
    const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
    struct slice ip = {text.p, slash ? (size_t)(slash - text.p) : text.n};
    struct address a;
    unsigned long long bits;
    unsigned most;

    if (!address_from_ip(&a, ip, 0))
        return false;
    c->v4 = a.sa.any.sa_family == AF_INET;
    most = c->v4 ? 32 : 128;
    bits = most;
    if (slash && (!slice_to_u64(slice_from(text, ip.n + 1), &bits) || bits > most))
        return false;
    to_bytes(&a, c->bytes);
    c->bits = (uint8_t)(bits + (c->v4 ? MAPPED_BITS : 0));
    return true;
}

bool cidr_parse(struct cidr *c, struct slice text)
{
    struct cidr parsed;

    if (!parse_network(&parsed, text) || !host_bits_are_zero(&parsed))
        return false;
    *c = parsed;
    return true;
}

bool cidr_suggest(struct slice text, char out[ADDRESS_TEXT_SIZE])
{
    struct cidr c;

    if (!parse_network(&c, text) || host_bits_are_zero(&c))
        return false;
    for (unsigned bit = c.bits; bit < 128; bit++)
        c.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    cidr_format(&c, out);
    return true;
}

bool cidr_equal(const struct cidr *a, const struct cidr *b)
{
    return a->bits == b->bits && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool cidr_contains(const struct cidr *c, const struct address *a)
{
    uint8_t bytes[16];

    if (!to_bytes(a, bytes))
        return false;
    if (a->sa.any.sa_family == AF_INET && c->bits < MAPPED_BITS)
        return false;
    return prefix_equal(c->bytes, bytes, c->bits);
}

const char *cidr_format(const struct cidr *c, char out[ADDRESS_TEXT_SIZE])
{
    unsigned bits = c->v4 ? c->bits - MAPPED_BITS : c->bits;
    char ip[INET6_ADDRSTRLEN] = "";

    inet_ntop(c->v4 ? AF_INET : AF_INET6, c->v4 ? c->bytes + 12 : c->bytes, ip, sizeof ip);
    snprintf(out, ADDRESS_TEXT_SIZE, "%s/%u", ip, bits);
    return out;
}

uint64_t address_hash(const struct address *a)
{
    uint64_t hash = fnv64(FNV64_START, &a->sa.any.sa_family, sizeof a->sa.any.sa_family);
    uint16_t port = address_port(a);

    if (a->sa.any.sa_family == AF_UNIX)
        return fnv64(hash, a->sa.unix_.sun_path, strlen(a->sa.unix_.sun_path));
    hash = fnv64(hash, &port, sizeof port);
    if (a->sa.any.sa_family == AF_INET)
        return fnv64(hash, &a->sa.v4.sin_addr, sizeof a->sa.v4.sin_addr);
    return fnv64(hash, &a->sa.v6.sin6_addr, sizeof a->sa.v6.sin6_addr);
}

bool address_unwrap(const struct address *a, struct address *inner)
{
    const uint8_t *bytes = (const uint8_t *)&a->sa.v6.sin6_addr;
    uint16_t port = address_port(a);
    uint8_t v4[4];

    if (a->sa.any.sa_family != AF_INET6)
        return false;
    if (is_mapped(bytes) || memcmp(bytes, nat64_prefix, sizeof nat64_prefix) == 0)
        memcpy(v4, bytes + 12, 4);
    else if (memcmp(bytes, sixtofour_prefix, sizeof sixtofour_prefix) == 0)
        memcpy(v4, bytes + 2, 4);
    else
        return false;
    set_v4(inner, v4, port);
    return true;
}
