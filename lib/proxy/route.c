#include "proxy/route.h"

#include <stdarg.h>
#include <stdio.h>

#include "config/match.h"
#include "http/explain.h"
#include "http/fields.h"
#include "proxy/access.h"
#include "proxy/bad_request.h"
#include "proxy/gateway.h"

/* The question under way. */
struct query {
    struct proxy *p;
    const struct frontend *frontend;
    const struct uri *inside;
    const struct head *h;
    struct route *out;
    char *text;
    size_t text_size;
};

static enum fault refuse(struct query *q, enum fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum fault refuse(struct query *q, enum fault fault, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(q->text, q->text_size, format, list);
    va_end(list);
    return fault;
}

static bool method_is(const struct head *h, struct slice name)
{
    return slice_eq(h->method, name); /* RFC 9110 9.1: case-sensitive */
}

/* A path, or OPTIONS's asterisk: the host stands elsewhere (RFC 9112 3.2). */
static bool is_origin_form(const struct query *q)
{
    return q->h->target.p[0] == '/' || slice_eq(q->h->target, SLICE("*"));
}

static enum origin_kind kind_of(const struct uri *uri)
{
    return uri->scheme == SCHEME_HTTPS ? ORIGIN_HTTPS : ORIGIN_HTTP;
}

static enum fault check_framing(struct query *q)
{
    enum framing_verdict v = framing_of_request(q->h, &q->out->framing);
    char why[EXPLAIN_SIZE];
    if (v == FRAMING_OK)
        return FAULT_NONE;
    explain_framing(q->h, v, why);
    return refuse(q, v == FRAMING_UNKNOWN_CODING ? FAULT_UNKNOWN_CODING : FAULT_BAD_REQUEST, "%s", why);
}

/* RFC 9112 3.2: exactly one valid Host in HTTP/1.1, at most one in HTTP/1.0. */
static enum fault check_host(struct query *q)
{
    const struct field *host = head_find(q->h, FIELD_HOST);
    uint32_t count = head_count(q->h, FIELD_HOST);
    char why[EXPLAIN_SIZE];
    if (count == 0 && q->h->minor >= 1)
        return refuse(q, FAULT_BAD_REQUEST, "an HTTP/1.1 request needs a Host field (RFC 9112 3.2)");
    if (count > 1)
        return refuse(q, FAULT_BAD_REQUEST, "there is more than one Host field (RFC 9112 3.2)");
    if (count == 0 || host_field_valid(host->value))
        return FAULT_NONE;
    explain_host(host->value, why);
    return refuse(q, FAULT_BAD_REQUEST, "%s", why);
}

/* RFC 9110 5.3: not a list; two readers could take two numbers. */
static enum fault check_max_forwards(struct query *q)
{
    if (head_count(q->h, FIELD_MAX_FORWARDS) > 1)
        return refuse(q, FAULT_BAD_REQUEST, "there is more than one Max-Forwards field (RFC 9110 7.6.2)");
    return FAULT_NONE;
}

/* RFC 9110 7.6.3: before the target's form is looked at, since a loop may have changed it. */
static enum fault check_loop(struct query *q)
{
    if (via_names(q->h, q->p->instance))
        return refuse(
            q, FAULT_LOOP,
            "the request came through this proxy before: its Via names %.*s; a proxy on its way leads back here",
            (int)q->p->instance.n, q->p->instance.p);
    return FAULT_NONE;
}

static enum fault bad_target(struct query *q, enum uri_verdict v)
{
    return bad_request_of_target(q->p->config, q->h->target, v, q->text, q->text_size);
}

static const struct upstream *upstream_named(const struct config *c, const char *name)
{
    for (uint32_t i = 0; i < c->upstream_count; i++)
        if (slice_eq(slice_of(c->upstreams[i].name), slice_of(name)))
            return &c->upstreams[i];
    return NULL;
}

/* Absolute-form at a gateway, which serves one host. */
static enum fault gateway_absolute(struct query *q, const struct upstream *u)
{
    struct uri *uri = &q->out->uri;
    enum uri_verdict v = uri_parse_absolute(q->h->target, uri);
    if (v != URI_OK)
        return bad_target(q, v);
    uint16_t port = u->host_port ? u->host_port : scheme_default_port(uri->scheme);
    if (uri->port != port || !slice_eq_nocase(uri_host(uri), slice_of(u->host)))
        return refuse(q, FAULT_DENIED, "this listener is the gateway of upstream '%s' and serves %s:%u alone",
                      u->name, u->host, port);
    return FAULT_NONE;
}

/* Of a target in origin-form, or of OPTIONS *. */
static enum fault read_path(struct query *q)
{
    bool asterisk = slice_eq(q->h->target, SLICE("*"));
    if (asterisk && !method_is(q->h, SLICE("OPTIONS")))
        return bad_target(q, URI_BAD_PATH);
    enum uri_verdict v = asterisk ? URI_OK : uri_parse_origin_form(q->h->target, &q->out->uri);
    if (v != URI_OK)
        return bad_target(q, v);
    if (asterisk)
        q->out->uri.path_query = (struct slice){"", 0};
    return FAULT_NONE;
}

static enum fault gateway_origin_form(struct query *q, const struct upstream *u)
{
    struct uri *uri = &q->out->uri;
    uri->host_length = (uint16_t)snprintf(uri->host, sizeof uri->host, "%s", u->host);
    uri->ipv6 = strchr(u->host, ':') != NULL;
    uri->port = u->host_port ? u->host_port : 80;
    uri->scheme = SCHEME_HTTP;
    return read_path(q);
}

/* Unix listeners are out of a page's reach. */
static enum fault check_asker(struct query *q, const struct upstream *u, bool absolute)
{
    const struct field *host = head_find(q->h, FIELD_HOST);
    const struct uri *authority = &q->out->uri;
    struct uri written = {.host_length = 0};
    if (q->frontend->address.sa.any.sa_family == AF_UNIX)
        return FAULT_NONE;
    if (!absolute) {
        authority = host ? &written : NULL;
        if (host && !uri_parse_host_field(host->value, &written))
            return refuse(q, FAULT_DENIED, "the Host field is empty");
    }
    return gateway_admits(u, q->h, authority, q->text, q->text_size) ? FAULT_NONE : FAULT_DENIED;
}

static enum fault route_gateway(struct query *q)
{
    const struct upstream *u = upstream_named(q->p->config, q->frontend->upstream);
    if (!u)
        return refuse(q, FAULT_NO_RESOURCES,
                      "this listener is the gateway of upstream '%s', which the configuration does not have",
                      q->frontend->upstream);
    if (!*u->host)
        return refuse(
            q, FAULT_NO_RESOURCES,
            "this listener is the gateway of upstream '%s', whose match names no single host: set its host",
            u->name);
    if (method_is(q->h, SLICE("CONNECT")))
        return refuse(
            q, FAULT_DENIED,
            "this listener is not a proxy but the gateway of upstream '%s': it is a base URL for apps and opens no tunnels; a proxy "
            "setting must name the proxy's own listener",
            u->name);
    bool absolute = !is_origin_form(q);
    enum fault fault = absolute ? gateway_absolute(q, u) : gateway_origin_form(q, u);
    if (fault == FAULT_NONE)
        fault = check_asker(q, u, absolute);
    if (fault != FAULT_NONE)
        return fault;
    q->out->kind = kind_of(&q->out->uri);
    q->out->agent = pool_agent(q->p->pool, u);
    return FAULT_NONE;
}

struct agent *route_agent_in(struct pool *pool, const struct config *config, const struct uri *uri)
{
    return pool_agent(pool, match_find(config, uri_host(uri), uri->port));
}

struct agent *route_agent(struct proxy *p, const struct uri *uri)
{
    return route_agent_in(p->pool, p->config, uri);
}

static enum fault choose_agent(struct query *q)
{
    const struct uri *uri = &q->out->uri;
    const struct upstream *u = match_find(q->p->config, uri_host(uri), uri->port);
    if (!u && q->p->config->access.unmatched == UNMATCHED_DENY)
        return refuse(q, FAULT_DENIED,
                      "no upstream matches %s:%u and access.unmatched is deny; add it to an upstream's match",
                      uri->host, uri->port);
    q->out->agent = pool_agent(q->p->pool, u);
    return FAULT_NONE;
}

/* What is known to be refused before a name is resolved: an address that is denied, and an own listener. */
static enum fault check_destination(struct query *q)
{
    const struct uri *uri = &q->out->uri;
    const struct upstream *u = q->out->agent->upstream;
    struct slice host = uri_host(uri);
    struct address a;
    if ((u && u->address.count) || *q->out->agent->policy->parent.host)
        return FAULT_NONE;
    if (!address_from_ip(&a, slice_eq(host, SLICE("localhost")) ? SLICE("127.0.0.1") : host, uri->port))
        return FAULT_NONE;
    switch (proxy_permit(q->p, &a, false)) {
    case CONNECT_LOOP:
        return refuse(q, FAULT_LOOP, "%s:%u is a listener of this Carpool itself", uri->host, uri->port);
    case CONNECT_PROHIBITED:
        return refuse(q, FAULT_PROHIBITED, "the address %s is denied by access.denyAddresses", uri->host);
    default: return FAULT_NONE;
    }
}

/* CONNECT to q->out->uri. */
static enum fault decide_connect(struct query *q)
{
    q->out->kind = ORIGIN_TUNNEL;
    q->out->may_tunnel = access_connect_port_allowed(q->p->config, q->out->uri.port);
    enum fault fault = choose_agent(q);
    if (fault != FAULT_NONE)
        return fault;
    switch (q->out->agent->policy->connect) {
    case CONNECT_IS_TUNNEL: q->out->first_bytes_decide = q->out->uri.port == 80; break;
    case CONNECT_IS_POOL: q->out->first_bytes_decide = true; break;
    case CONNECT_IS_DENIED:
        return refuse(q, FAULT_DENIED, "CONNECT to %s is not allowed: connect is deny for agent %s",
                      q->out->uri.host, q->out->agent->name);
    }
    if (q->out->first_bytes_decide)
        return check_destination(q);
    return q->out->may_tunnel
               ? FAULT_NONE
               : refuse(
                     q, FAULT_DENIED,
                     "CONNECT to %s:%u (agent %s) is not allowed: add the port to access.connectPorts, or set connect: pool "
                     "for that agent if the tunnel carries HTTP or HTTPS",
                     q->out->uri.host, q->out->uri.port, q->out->agent->name);
}

static enum fault route_connect(struct query *q)
{
    enum uri_verdict v = uri_parse_authority(q->h->target, &q->out->uri);
    return v == URI_OK ? decide_connect(q) : bad_target(q, v);
}

/* ---- inside a CONNECT */

static bool is_authority(const struct uri *u, const struct uri *wanted, uint16_t port)
{
    return port == wanted->port && u->ipv6 == wanted->ipv6 && slice_eq(uri_host(u), uri_host(wanted));
}

/* Whether target and Host name what CONNECT did. */
static bool names_the_same(const struct query *q, bool absolute)
{
    const struct uri *uri = &q->out->uri;
    const struct field *host = head_find(q->h, FIELD_HOST);
    struct uri written;
    if (absolute && (uri->scheme != q->inside->scheme || !is_authority(uri, q->inside, uri->port)))
        return false;
    if (!host)
        return true;
    return uri_parse_host_field(host->value, &written) &&
           is_authority(&written, q->inside,
                        written.has_port ? written.port : scheme_default_port(q->inside->scheme));
}

static enum fault route_inside(struct query *q)
{
    bool absolute = !is_origin_form(q);
    if (method_is(q->h, SLICE("CONNECT")))
        return refuse(q, FAULT_BAD_TARGET, "a CONNECT inside a CONNECT: let the app ask its proxy directly");
    q->out->uri = *q->inside;
    enum uri_verdict v = absolute ? uri_parse_absolute(q->h->target, &q->out->uri) : URI_OK;
    enum fault fault = v != URI_OK ? bad_target(q, v) : absolute ? FAULT_NONE : read_path(q);
    if (fault != FAULT_NONE)
        return fault;
    if (!names_the_same(q, absolute))
        return refuse(q, q->inside->scheme == SCHEME_HTTPS ? FAULT_MISDIRECTED : FAULT_BAD_TARGET,
                      "this CONNECT is for %s:%u alone, and the request names another host or port",
                      q->inside->host, q->inside->port);
    q->out->kind = kind_of(q->inside);
    return choose_agent(q);
}

/* Whether this listener takes origin-form and goes by Host. */
static bool is_by_host(const struct query *q)
{
    const struct listen_list *l = &q->p->config->listen;
    for (uint32_t i = 0; i < l->count; i++)
        if (l->items[i].by_host && address_equal(&l->items[i].address, &q->frontend->address))
            return true;
    return false;
}

/* What a client that asked in origin-form could do instead. */
static enum fault refuse_origin_form(struct query *q)
{
    if (q->frontend->address.sa.any.sa_family == AF_UNIX)
        return refuse(
            q, FAULT_BAD_TARGET,
            "this is an HTTP proxy, but the request has no absolute URL: add ?form=host to this listener (%s), so that its "
            "requests go by their Host; or make the client ask for http://host/path (curl: -x http://localhost beside --unix-socket; "
            "Node: the URL as path)",
            q->frontend->text);
    char any[64];
    bool is_any = address_is_any(&q->frontend->address);
    snprintf(any, sizeof any, "localhost:%u", address_port(&q->frontend->address));
    return refuse(
        q, FAULT_BAD_TARGET,
        "this is an HTTP proxy, but the request has no absolute URL: point the app here with http_proxy=http://%s/%s or its proxy "
        "setting; for an app that has only a base URL, give the upstream a listen of its own",
        is_any ? any : q->frontend->text, is_any ? " (from another host, with this one's name)" : "");
}

static enum fault route_by_host(struct query *q)
{
    const struct field *host = head_find(q->h, FIELD_HOST);
    if (!host || !uri_parse_host_field(host->value, &q->out->uri))
        return refuse(q, FAULT_BAD_TARGET,
                      "requests to this listener go by their Host field, and this one has none");
    enum fault fault = read_path(q);
    q->out->kind = ORIGIN_HTTP;
    return fault == FAULT_NONE ? choose_agent(q) : fault;
}

static enum fault route_forward(struct query *q)
{
    if (is_origin_form(q))
        return is_by_host(q) ? route_by_host(q) : refuse_origin_form(q);
    enum uri_verdict v = uri_parse_absolute(q->h->target, &q->out->uri);
    if (v != URI_OK)
        return bad_target(q, v);
    q->out->kind = kind_of(&q->out->uri);
    return choose_agent(q);
}

/* Whether Upgrade is passed on (RFC 9110 7.8): with what it names beside h2c. */
static bool upgrade_wanted(const struct head *h)
{
    if (h->minor == 0 || !connection_has(h, SLICE("upgrade")))
        return false;
    for (uint32_t i = 0; i < h->count; i++) {
        struct slice protocols = h->fields[i].value, element;
        if (h->fields[i].id == FIELD_UPGRADE && upgrade_next(&protocols, &element))
            return true;
    }
    return false;
}

static bool is_last_hop(const struct head *h)
{
    const struct field *f = head_find(h, FIELD_MAX_FORWARDS);
    unsigned long long left;
    return f && (method_is(h, SLICE("TRACE")) || method_is(h, SLICE("OPTIONS"))) &&
           slice_to_u64(f->value, &left) && left == 0;
}

static void route_init(struct route *out)
{
    out->agent = NULL;
    out->framing = (struct framing){.kind = BODY_CLOSE}; /* unknown: it has no end */
    out->upgrade = false;
    out->answer_here = false;
    out->first_bytes_decide = out->may_tunnel = false;
}

enum fault route_tunnel(struct proxy *p, const struct uri *to, struct route *out, char *text,
                        size_t text_size)
{
    struct query q = {.p = p, .out = out, .text = text, .text_size = text_size};
    route_init(out);
    out->uri = *to;
    enum fault fault = decide_connect(&q);
    if (fault != FAULT_NONE || out->may_tunnel)
        return fault;
    return refuse(
        &q, FAULT_DENIED,
        "what came inside CONNECT to %s:%u is not HTTP, and a tunnel to that port is not allowed: add it to "
        "access.connectPorts if it should be",
        to->host, to->port);
}

enum fault route_find(struct proxy *p, const struct frontend *frontend, const struct uri *inside,
                      const struct head *h, struct route *out, char *text, size_t text_size)
{
    struct query q = {p, frontend, inside, h, out, text, text_size};
    route_init(out);
    enum fault fault = check_framing(&q);
    if (fault == FAULT_NONE)
        fault = check_host(&q);
    if (fault == FAULT_NONE)
        fault = check_max_forwards(&q);
    if (fault == FAULT_NONE)
        fault = check_loop(&q);
    if (fault != FAULT_NONE)
        return fault;
    if (inside)
        fault = route_inside(&q);
    else if (frontend->upstream)
        fault = route_gateway(&q);
    else if (method_is(h, SLICE("CONNECT")))
        fault = route_connect(&q);
    else
        fault = route_forward(&q);
    if (fault != FAULT_NONE)
        return fault;
    out->upgrade = out->kind != ORIGIN_TUNNEL && upgrade_wanted(h);
    out->answer_here = is_last_hop(h);
    return FAULT_NONE;
}
