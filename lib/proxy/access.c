#include "proxy/access.h"

#include <ifaddrs.h>
#include <string.h>

static bool contains(const struct cidr_list *list, const struct address *a)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (cidr_contains(&list->items[i], a))
            return true;
    return false;
}

bool access_client_allowed(const struct config *c, const struct peer_address *peer)
{
    const struct address a = peer_address_get(peer);
    return a.sa.any.sa_family == AF_UNIX || contains(&c->access.clients, &a);
}

bool access_connect_port_allowed(const struct config *c, uint16_t port)
{
    for (uint32_t i = 0; i < c->access.connectPorts.count; i++)
        if (c->access.connectPorts.items[i] == port)
            return true;
    return false;
}

/* Whether an address is one of this host's. */
static bool is_local(const struct address *a)
{
    if (address_is_loopback(a) || address_is_any(a))
        return true;
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0)
        return false;
    bool found = false;
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        struct address mine = {.length = sizeof mine.sa.v6};
        if (!i->ifa_addr || i->ifa_addr->sa_family != a->sa.any.sa_family)
            continue;
        size_t size = i->ifa_addr->sa_family == AF_INET ? sizeof mine.sa.v4 : sizeof mine.sa.v6;
        if (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6)
            continue;
        memcpy(&mine.sa, i->ifa_addr, size);
        mine.length = (socklen_t)size;
        address_set_port(&mine, address_port(a));
        found = address_equal(&mine, a);
    }
    freeifaddrs(all);
    return found;
}

/* A connect to 0.0.0.0 or :: reaches the loopback address. */
static bool reaches(const struct address *listener, const struct address *target)
{
    if (address_equal(listener, target))
        return true;
    if (target->sa.any.sa_family == AF_UNIX || listener->sa.any.sa_family == AF_UNIX)
        return false;
    if (address_port(listener) != address_port(target))
        return false;
    if (address_is_any(target))
        return address_is_loopback(listener) || address_is_any(listener);
    return address_is_any(listener) && is_local(target);
}

static enum connect_error judge(const struct config *c, const struct address *own, unsigned own_count,
                                const struct address *a, bool named)
{
    for (unsigned i = 0; i < own_count; i++)
        if (reaches(&own[i], a))
            return CONNECT_LOOP;
    return !named && contains(&c->access.denyAddresses, a) ? CONNECT_PROHIBITED : CONNECT_OK;
}

enum connect_error access_permit(const struct config *c, const struct address *own, unsigned own_count,
                                 const struct address *a, bool named)
{
    enum connect_error verdict = judge(c, own, own_count, a, named);
    struct address inner;
    if (verdict == CONNECT_OK && address_unwrap(a, &inner))
        verdict = judge(c, own, own_count, &inner, named);
    return verdict;
}
