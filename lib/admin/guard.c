#include "admin/guard.h"

#include "config/hostname.h"
#include "http/web_origin.h"

static bool is_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return true;
}

/* The host of "host", "host:port" or "[v6]:port"; false when it is none. A port of any digits is taken off
 * unread. */
static bool take_host_name(struct slice authority, struct slice *name)
{
    bool bracketed = authority.n > 0 && authority.p[0] == '[';
    char end = bracketed ? ']' : ':';
    const char *at = authority.n > 0 ? memchr(authority.p, end, authority.n) : NULL;
    size_t n = at ? (size_t)(at - authority.p) : authority.n;
    struct slice port;

    if (bracketed && !at)
        return false;
    *name = bracketed ? (struct slice){authority.p + 1, n - 1} : (struct slice){authority.p, n};
    port = slice_from(authority, bracketed ? n + 1 : n);
    return name->n > 0 && (port.n == 0 || (port.p[0] == ':' && is_digits(slice_from(port, 1))));
}

static bool is_own_host(const struct config *c, struct slice authority)
{
    struct slice name;

    return take_host_name(authority, &name) && hostname_is_ours(name, &c->admin.hosts);
}

static bool is_client(const struct config *c, const struct address *peer)
{
    for (uint32_t i = 0; i < c->admin.clients.count; i++) {
        if (cidr_contains(&c->admin.clients.items[i], peer))
            return true;
    }
    return false;
}

const char *guard_refusal(const struct config *c, const struct guard_request *r)
{
    if (!r->is_local && !is_client(c, &r->peer))
        return "this address is not in admin.clients";
    if (!r->is_local && r->host.p && !is_own_host(c, r->host))
        return "this Host is not served: use an IP address or localhost, or add the name to admin.hosts";
    if (r->origin.p && !(r->host.p && web_origin_is_own(r->origin, r->host)))
        return "this Origin is not the admin listener's own";
    return NULL;
}
