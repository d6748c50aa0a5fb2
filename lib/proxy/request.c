/* How an exchange begins: what is remembered of a request whose head was read. */

#include "proxy/exchange.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/coding.h"
#include "http/fields.h"
#include "proxy/access.h"
#include "proxy/handover.h"
#include "proxy/inside.h"
#include "proxy/rewrite.h"
#include "proxy/route.h"

static bool is_idempotent(const struct head *h)
{
    static const struct slice methods[] = {SLICE("GET"),   SLICE("HEAD"), SLICE("OPTIONS"),
                                           SLICE("TRACE"), SLICE("PUT"),  SLICE("DELETE")};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (slice_eq(h->method, methods[i]))
            return true;
    return (slice_eq(h->method, SLICE("POST")) || slice_eq(h->method, SLICE("PATCH"))) &&
           has_idempotency_key(h);
}

/* A body of a request in which HTTP/1.0 defined none may be the next request to another implementation (RFC
 * 9112 3.3). */
static bool has_odd_body(const struct head *h, const struct framing *f)
{
    return h->minor == 0 && f->kind != BODY_NONE &&
           (slice_eq(h->method, SLICE("GET")) || slice_eq(h->method, SLICE("HEAD")) ||
            slice_eq(h->method, SLICE("DELETE")));
}

static void learn(struct exchange *e, const struct head *h, const struct framing *f)
{
    e->framing = *f;
    e->asked = (struct asked){
        .idempotent = is_idempotent(h),
        .head_only = slice_eq(h->method, SLICE("HEAD")),
        .connect = slice_eq(h->method, SLICE("CONNECT")),
        .from_http_1_0 = h->minor == 0,
        .persists = head_is_persistent(h) && !has_odd_body(h, f),
        .te_trailers = head_has(h, FIELD_TE) && te_has_trailers(h),
        .accepts_gzip = head_has(h, FIELD_ACCEPT_ENCODING) && coding_accepts_gzip(h),
        .private_socket = head_has(h, FIELD_AUTHORIZATION) && credentials_are_connection_bound(h),
    };
}

/* After the line for the access log: see keep_request(). */
static struct slice kept_request(const struct exchange *e)
{
    struct slice rest = buffer_unread(e->head);
    for (unsigned words = 0; words < 2; words++) {
        const char *space = memchr(rest.p, ' ', rest.n);
        rest = slice_from(rest, (size_t)(space + 1 - rest.p));
    }
    return rest;
}

/* Max-Forwards: 0 makes Carpool the final recipient (RFC 9110 7.6.2): OPTIONS is answered empty, TRACE
 * with its request's head. */
static void answer_here(struct exchange *e, bool is_trace)
{
    e->outcome.fate = exchange_fate(e, FAULT_NONE, true);
    const struct reply r = {
        .status = 200,
        .instance = e->client->proxy->instance,
        .text = is_trace ? kept_request(e) : SLICE(""),
        .type = is_trace ? SLICE("message/http") : SLICE(""),
        .details = SLICE("Max-Forwards is 0 (RFC 9110 7.6.2)"),
        .date = slice_of(clock_http_date()),
        .close = e->outcome.fate != CLIENT_KEPT,
        .keep_alive_seconds = exchange_keep_alive_seconds(e),
    };
    exchange_reply(e, &r);
}

static bool write_head(struct exchange *e, const struct head *h, const struct route *route)
{
    const struct outgoing_request o = {
        .path = route->uri.path_query,
        .authority = e->waiter.origin->authority,
        .via_name = exchange_via(e),
        .framing = route->framing,
        .upgrade = route->upgrade,
    };
    e->head = buffer_borrow(e->client->proxy->heads);
    return e->head && rewrite_request(&e->head, h, &o);
}

/* What the answer to a TRACE leaves out (RFC 9110 9.3.8). */
static bool is_secret(const struct field *f)
{
    return f->id == FIELD_AUTHORIZATION || f->id == FIELD_PROXY_AUTHORIZATION ||
           slice_eq_nocase(f->name, SLICE("cookie"));
}

/* The line for the access log, a space, and what a TRACE is answered with. */
static bool keep_request(struct exchange *e, const struct head *h, size_t length)
{
    exchange_keep_line(e, h);
    if (!e->head || !buffer_reserve(&e->head, length + h->count + 2))
        return false;
    struct buffer *b = e->head;
    bool fits = buffer_append(b, SLICE(" ")) && buffer_append(b, h->method) && buffer_append(b, SLICE(" ")) &&
                buffer_append(b, h->target) &&
                buffer_append(b, h->minor ? SLICE(" HTTP/1.1\r\n") : SLICE(" HTTP/1.0\r\n"));
    for (uint32_t i = 0; i < h->count && fits; i++)
        if (!is_secret(&h->fields[i]))
            fits = buffer_append(b, h->fields[i].name) && buffer_append(b, SLICE(": ")) &&
                   buffer_append(b, h->fields[i].value) && buffer_append(b, SLICE("\r\n"));
    return fits && buffer_append(b, SLICE("\r\n"));
}

/* Which URLs of the origin the app is given. */
static enum own_urls own_urls_for(const struct exchange *e, const struct uri *uri)
{
    if (e->waiter.origin->kind != ORIGIN_HTTPS || uri->scheme == SCHEME_HTTPS ||
        !exchange_policy(e)->rewriteScheme)
        return OWN_URLS_KEPT;
    if (e->client->frontend->upstream)
        return OWN_URLS_PATHS;
    return uri->port == 443 ? OWN_URLS_HTTP_443 : OWN_URLS_HTTP;
}

static bool choose_origin(struct exchange *e, const struct route *route)
{
    e->waiter.origin = origin_find_or_make(route->agent, route->kind, uri_host(&route->uri), route->uri.ipv6,
                                           route->uri.port);
    if (!e->waiter.origin)
        return false;
    origin_hold(e->waiter.origin);
    e->asked.own_urls = own_urls_for(e, &route->uri);
    return true;
}

/* Everything that reads the head, whose buffer is given back after this. */
static bool take_request(struct exchange *e, const struct head *h, const struct route *route, size_t length)
{
    if (route->answer_here)
        return keep_request(e, h, length);
    e->asked.upgrade = route->upgrade;
    return choose_origin(e, route) && write_head(e, h, route);
}

/* The agent's `allow`. */
static bool allows_caller(const struct agent *a, const struct client *c, char *text, size_t size)
{
    char peer[ADDRESS_TEXT_SIZE];
    if (!a || caller_is_allowed(&a->policy->allow, c->caller))
        return true;
    caller_count_not_allowed(c->caller, a->name);
    const char *name = c->caller ? c->caller->name : "-";
    snprintf(text, size,
             "agent %s: the caller '%s'%s may not use it; if it should, add '%s' to this agent's allow",
             a->name, name, strcmp(name, "-") == 0 ? " (unknown)" : "", name);
    log_event(LOG_INFO, "caller refused: it is not in the agent's allow", LOG_S("caller", name),
              LOG_S("agent", a->name), LOG_S("client", peer_address_format(&c->peer, peer)));
    return false;
}

/* Why this client is refused, whatever its request is worth, as it stands now. */
static enum fault refusal(const struct client *c, const struct route *route, enum fault fault, char *text,
                          size_t size)
{
    if (fault == FAULT_NONE && c->proxy->stopping_since_ms && c->requests > 1 && !c->admitted) {
        snprintf(text, size, "%s", REFUSED_STOPPING);
        return FAULT_TOO_MANY_CLIENTS;
    }
    /* A client that may not use Carpool does not learn what it would have refused besides. */
    if (!access_client_allowed(c->proxy->config, &c->peer)) {
        snprintf(text, size, "this client's address is not in access.clients");
        return FAULT_DENIED;
    }
    return fault == FAULT_NONE && !allows_caller(route->agent, c, text, size) ? FAULT_DENIED : fault;
}

void exchange_begin(struct client *c, size_t length)
{
    struct proxy *p = c->proxy;
    const struct head *h = &p->request_head;
    struct route route;
    char text[512];
    caller_identify(c);
    enum fault fault = route_find(p, c->frontend, inside_authority(c), h, &route, text, sizeof text);
    fault = refusal(c, &route, fault, text, sizeof text);
    if (fault == FAULT_NONE && route.first_bytes_decide) {
        client_consume(c, length);
        inside_begin(c, &route);
        return;
    }
    if (fault == FAULT_NONE && !route.answer_here && handover_begin(c, &route))
        return;
    c->admitted = false;
    struct exchange *e = exchange_new(c);
    if (!e)
        return;
    learn(e, h, &route.framing);
    if (fault == FAULT_NONE && !take_request(e, h, &route, length)) {
        fault = FAULT_INTERNAL;
        snprintf(text, sizeof text, "out of memory");
    }
    caller_count_request(c->caller, e->waiter.origin ? e->waiter.origin->agent->name : NULL);
    if (!e->head)
        exchange_keep_line(e, h);
    bool is_trace = slice_eq(h->method, SLICE("TRACE"));
    client_consume(c, length);
    if (fault != FAULT_NONE)
        exchange_fail(e, fault, RETIRE_NONE, "%s", text);
    else if (route.answer_here)
        answer_here(e, is_trace);
    exchange_run(e, EXCHANGE_UPLOAD);
}

enum fault exchange_admit_tunnel(struct client *c, struct route *route, char *text, size_t text_size)
{
    caller_identify(c);
    enum fault fault = route_tunnel(c->proxy, &c->inside->authority, route, text, text_size);
    return refusal(c, route, fault, text, text_size);
}

struct exchange *exchange_in_connect(struct client *c)
{
    struct exchange *e = exchange_new(c);
    if (!e)
        return NULL;
    e->asked.connect = e->asked.established = true;
    e->outcome.status = 200;
    e->began_us = c->inside->began_us;
    e->framing.kind = BODY_NONE;
    exchange_keep_connect(e, &c->inside->authority);
    return e;
}

void exchange_open_tunnel(struct exchange *e, const struct route *route)
{
    bool is_chosen = choose_origin(e, route);
    caller_count_request(e->client->caller, is_chosen ? e->waiter.origin->agent->name : NULL);
    if (!is_chosen)
        exchange_fail(e, FAULT_INTERNAL, RETIRE_NONE, "out of memory");
    exchange_run(e, EXCHANGE_UPLOAD);
}

void exchange_refuse(struct client *c, enum fault fault, const char *text)
{
    struct exchange *e = exchange_new(c);
    if (!e)
        return;
    caller_count_request(c->caller, NULL);
    exchange_fail(e, fault, RETIRE_NONE, "%s", text);
    exchange_run(e, 0);
}
