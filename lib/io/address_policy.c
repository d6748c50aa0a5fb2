#include "io/address_policy.h"

#include <stdint.h>
#include <string.h>

#include "io/this_host.h"

#define PRECEDENCE_OF_IPV4 35

/* A row of the default policy table (RFC 6724 2.1). */
struct policy {
    uint8_t prefix[16];
    uint8_t bits, precedence, label;
};

/* The first that matches. The row of mapped IPv4 addresses is PRECEDENCE_OF_IPV4. */
static const struct policy table[] = {
    {{[15] = 1}, 128, 50, 0},  /* ::1 */
    {{0}, 96, 1, 3},           /* IPv4-compatible */
    {{0x20, 0x01}, 32, 5, 5},  /* Teredo */
    {{0x20, 0x02}, 16, 30, 2}, /* 6to4 */
    {{0x3f, 0xfe}, 16, 1, 12}, /* 6bone */
    {{0xfe, 0xc0}, 10, 1, 11}, /* site-local */
    {{0xfc}, 7, 3, 13},        /* unique local */
    {{0}, 0, 40, 1},
};

static bool has_prefix(const uint8_t *bytes, const struct policy *p)
{
    unsigned whole = p->bits / 8, rest = p->bits % 8;

    return memcmp(bytes, p->prefix, whole) == 0 &&
           (rest == 0 || (bytes[whole] ^ p->prefix[whole]) >> (8 - rest) == 0);
}

static const struct policy *policy_of(const struct address *a)
{
    const uint8_t *bytes = a->sa.v6.sin6_addr.s6_addr;
    const struct policy *p = table;

    while (!has_prefix(bytes, p))
        p++;
    return p;
}

/* Link-local (::1 counts as such, RFC 4291 2.5.3), site-local or global. */
static int scope_of(const struct address *a)
{
    const struct in6_addr *in = &a->sa.v6.sin6_addr;

    if (IN6_IS_ADDR_LINKLOCAL(in) || IN6_IS_ADDR_LOOPBACK(in))
        return 2;
    return IN6_IS_ADDR_SITELOCAL(in) ? 5 : 14;
}

bool address_pair_yields_to_ipv4(const struct address *a, const struct address *source)
{
    const struct policy *to = policy_of(a);

    return scope_of(a) != scope_of(source) || to->label != policy_of(source)->label ||
           to->precedence < PRECEDENCE_OF_IPV4;
}

bool address_yields_to_ipv4(const struct address *a)
{
    struct address with_port = *a, source;

    address_set_port(&with_port, 9); /* of UDP, nothing is sent */
    return !this_host_source(&with_port, &source) || address_pair_yields_to_ipv4(a, &source);
}
