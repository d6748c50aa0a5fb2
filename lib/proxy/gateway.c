#include "proxy/gateway.h"

#include <stdio.h>

#include "config/hostname.h"
#include "http/web_origin.h"

static bool is_own_host(const struct upstream *u, const struct uri *authority)
{
    struct slice host = uri_host(authority);
    return hostname_is_ours(host, &u->hosts) || slice_eq_nocase(host, slice_of(u->host));
}

static bool origins_are_own(const struct head *h, const struct uri *authority)
{
    char host[URI_MAX_HOST + 16] = "";
    if (!head_has(h, FIELD_ORIGIN))
        return true;
    if (authority)
        snprintf(host, sizeof host, authority->ipv6 ? "[%s]:%u" : "%s:%u", authority->host, authority->port);
    for (uint32_t i = 0; i < h->count; i++)
        if (h->fields[i].id == FIELD_ORIGIN && !web_origin_is_own(h->fields[i].value, slice_of(host)))
            return false;
    return true;
}

/* Fetch Metadata: what a page elsewhere asks for without an Origin, an image or a script. */
static bool is_cross_site(const struct head *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (slice_eq_nocase(h->fields[i].name, SLICE("sec-fetch-site")) &&
            slice_eq_nocase(h->fields[i].value, SLICE("cross-site")))
            return true;
    return false;
}

bool gateway_admits(const struct upstream *u, const struct head *h, const struct uri *authority, char *text,
                    size_t text_size)
{
    if (authority && !is_own_host(u, authority)) {
        snprintf(
            text, text_size,
            "Host %s is not one that the listener of upstream '%s' accepts: use an IP address, localhost or %s, or add it "
            "to upstreams.%s.hosts",
            authority->host, u->name, u->host, u->name);
        return false;
    }
    if (origins_are_own(h, authority) && !is_cross_site(h))
        return true;
    snprintf(
        text, text_size,
        "a web page of another site sent this: the listener of upstream '%s' serves apps, and pages that came from it",
        u->name);
    return false;
}
