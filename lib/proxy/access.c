#include "proxy/access.h"

#include <stdio.h>
#include <sys/socket.h>

#include "io/this_host.h"

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
    return address_is_any(listener) && this_host_has(target);
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

static bool has_port(const struct listen_list *l, uint16_t port)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (l->items[i].address.sa.any.sa_family != AF_UNIX && address_port(&l->items[i].address) == port)
            return true;
    return false;
}

bool access_own_listener(const struct config *c, uint16_t port, char *whose, size_t size)
{
    for (uint32_t i = 0; i < c->upstream_count; i++)
        if (has_port(&c->upstreams[i].listen, port)) {
            snprintf(whose, size, "listener for %s", c->upstreams[i].name);
            return true;
        }
    snprintf(whose, size, "admin listener");
    return has_port(&c->admin.listen, port);
}
