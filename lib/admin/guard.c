#include "admin/guard.h"

static bool is_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return true;
}

bool guard_host_name(struct slice authority, struct slice *name)
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
    struct address ip;
    struct slice name;

    if (!guard_host_name(authority, &name))
        return false;
    if (address_from_ip(&ip, name, 0) || slice_eq_nocase(name, SLICE("localhost")))
        return true;
    for (uint32_t i = 0; i < c->admin.hosts.count; i++) {
        if (slice_eq_nocase(name, slice_of(c->admin.hosts.items[i])))
            return true;
    }
    return false;
}

static bool is_client(const struct config *c, const struct address *peer)
{
    for (uint32_t i = 0; i < c->admin.clients.count; i++) {
        if (cidr_contains(&c->admin.clients.items[i], peer))
            return true;
    }
    return false;
}

static struct slice without_suffix(struct slice s, struct slice suffix)
{
    bool has = s.n >= suffix.n && slice_eq((struct slice){s.p + (s.n - suffix.n), suffix.n}, suffix);

    return has ? (struct slice){s.p, s.n - suffix.n} : s;
}

/* The page that asks was served by the very host and port that it asks. */
static bool is_same_origin(struct slice origin, struct slice host)
{
    struct slice http = SLICE("http://"), https = SLICE("https://");
    struct slice head = {origin.p, origin.n < http.n ? origin.n : http.n};

    if (slice_eq_nocase(head, http))
        return slice_eq_nocase(without_suffix(slice_from(origin, http.n), SLICE(":80")),
                               without_suffix(host, SLICE(":80")));
    head.n = origin.n < https.n ? origin.n : https.n;
    if (slice_eq_nocase(head, https)) /* a TLS proxy of the operator's stands in front */
        return slice_eq_nocase(without_suffix(slice_from(origin, https.n), SLICE(":443")),
                               without_suffix(host, SLICE(":443")));
    return false;
}

const char *guard_refusal(const struct config *c, const struct guard_request *r)
{
    if (!r->is_local && !is_client(c, &r->peer))
        return "this address is not in admin.clients";
    if (!r->is_local && r->host.p && !is_own_host(c, r->host))
        return "this Host is not served: use an IP address or localhost, or add the name to admin.hosts";
    if (r->origin.p && !(r->host.p && is_same_origin(r->origin, r->host)))
        return "this Origin is not the admin listener's own";
    return NULL;
}
