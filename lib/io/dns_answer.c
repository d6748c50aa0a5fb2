#include "io/dns_answer.h"

#include <string.h>

#include "io/address_policy.h"

#define TTL_MAX_S (24 * 3600)

bool dns_is_localhost(const char *name)
{
    size_t n = strlen(name);

    if (n > 0 && name[n - 1] == '.')
        n--;
    return (n == 9 && memcmp(name, "localhost", 9) == 0) ||
           (n > 10 && memcmp(name + n - 10, ".localhost", 10) == 0);
}

void dns_answer_loopback(struct resolver_answer *a, int family)
{
    *a = (struct resolver_answer){.status = RESOLVER_OK, .text = "", .count = 1};
    address_from_ip(&a->addresses[0], family == AF_INET ? SLICE("127.0.0.1") : SLICE("::1"), 0);
}

static enum resolver_status status_of(int status)
{
    switch (status) {
    case ARES_SUCCESS: return RESOLVER_OK;
    case ARES_ENODATA: return RESOLVER_NO_ADDRESS;
    case ARES_ENOTFOUND:
    case ARES_EBADNAME: return RESOLVER_NOT_FOUND;
    case ARES_ETIMEOUT: return RESOLVER_TIMEOUT;
    }
    return RESOLVER_FAILED;
}

static const char *text_of(int status)
{
    switch (status) {
    case ARES_SUCCESS: return "";
    case ARES_ENOTFOUND: return "no such name (Carpool asks DNS and /etc/hosts only)";
    case ARES_ENODATA: return "the name has no such address";
    case ARES_ETIMEOUT: return "the DNS servers of /etc/resolv.conf do not answer";
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_ECONNREFUSED: return "the DNS servers of /etc/resolv.conf refuse or fail";
    case ARES_ECANCELLED: return "memory is too short to wait for the DNS servers";
    }
    return ares_strerror(status);
}

bool dns_is_own_trouble(int status)
{
    return status == ARES_EDESTRUCTION || status == ARES_ECANCELLED || status == ARES_ENOMEM;
}

static bool has_address(const struct resolver_answer *a, const struct address *b)
{
    for (int i = 0; i < a->count; i++)
        if (address_equal(&a->addresses[i], b))
            return true;
    return false;
}

static uint64_t fill(struct resolver_answer *a, int family, const struct ares_addrinfo *info)
{
    int ttl = TTL_MAX_S;

    for (const struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
        ttl = c->ttl < ttl ? c->ttl : ttl;
    for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
        struct address *to = &a->addresses[a->count];

        ttl = n->ai_ttl < ttl ? n->ai_ttl : ttl;
        if (n->ai_family != family || a->count == RESOLVER_MAX_ADDRESSES || n->ai_addrlen > sizeof to->sa)
            continue;
        memcpy(&to->sa, n->ai_addr, n->ai_addrlen);
        to->length = n->ai_addrlen;
        address_set_port(to, 0);
        if (!has_address(a, to))
            a->count++;
    }
    return ttl > 0 ? (uint64_t)ttl : 0;
}

uint64_t dns_answer_set(struct resolver_answer *a, int family, int status, const struct ares_addrinfo *info)
{
    uint64_t ttl = 0;

    a->count = 0;
    a->yields = false;
    if (status == ARES_SUCCESS) {
        ttl = fill(a, family, info);
        status = a->count > 0 ? ARES_SUCCESS : ARES_ENODATA;
    }
    a->status = status_of(status);
    a->text = text_of(status);
    if (a->count > 0 && family == AF_INET6)
        a->yields = address_yields_to_ipv4(&a->addresses[0]);
    return ttl;
}
