#include "proxy/inside.h"

#include <stdlib.h>

#include "base/clock.h"
#include "http/opening.h"
#include "proxy/caller.h"
#include "proxy/exchange.h"
#include "proxy/handover.h"
#include "proxy/inside_tls.h"
#include "proxy/tunnel.h"

/* How long a client may be silent before its tunnel is opened: in some protocols the server speaks first. */
#define SILENCE_MS 300
/* How long a stop waits for one that was told 200. */
#define STOP_MS 500

void inside_end(struct client *c)
{
    struct inside *i = c->inside;
    if (i && i->state == INSIDE_QUEUED)
        TAILQ_REMOVE(&c->proxy->hellos, i, queued);
    if (i && (i->state == INSIDE_HELLO || i->state == INSIDE_QUEUED || i->state == INSIDE_HANDSHAKE))
        inside_end_handshake(c, HANDSHAKE_FAILED);
    free(i);
    c->inside = NULL;
}

/* ---- time */

static bool is_silent(const struct client *c)
{
    return c->inside->state == INSIDE_LISTENING && buffer_unread(c->in).n == 0;
}

/* Whether its silence means that it waits for the server. */
static bool silence_is_consent(const struct client *c)
{
    return is_silent(c) && c->inside->may_tunnel && !c->inside->may_sign;
}

static uint64_t due(const struct client *c)
{
    uint64_t limit = c->proxy->config->server.headersTimeout;
    if (silence_is_consent(c) && (!limit || limit > SILENCE_MS))
        limit = SILENCE_MS;
    if (c->proxy->stopping_since_ms && (!limit || limit > STOP_MS))
        limit = STOP_MS;
    return limit ? c->since_ms + limit : 0;
}

void inside_arm(struct client *c)
{
    client_set_deadline(c, due(c));
}

void inside_await(struct client *c)
{
    if (client_watch(c))
        inside_arm(c);
    else
        client_close(c, CLIENT_CUT, false);
}

/* ---- a tunnel */

static void open_or_refuse(struct client *c, const struct route *route, enum fault fault, const char *text)
{
    struct exchange *e = exchange_in_connect(c);
    if (!e)
        return;
    if (fault == FAULT_NONE) {
        exchange_open_tunnel(e, route);
    } else {
        caller_count_request(c->caller, NULL);
        exchange_fail(e, fault, RETIRE_NONE, "%s", text);
        exchange_run(e, 0);
    }
}

/* What is inside is no HTTP. */
static void open_tunnel(struct client *c)
{
    struct route route;
    char text[512];
    c->inside->state = INSIDE_TUNNEL;
    deadline_clear(&c->deadline);
    c->requests++;
    client_set_state(c, CLIENT_EXCHANGE);
    enum fault fault = exchange_admit_tunnel(c, &route, text, sizeof text);
    if (fault != FAULT_NONE || !handover_begin(c, &route))
        open_or_refuse(c, &route, fault, text);
}

void inside_arrive(struct client *c)
{
    client_set_state(c, CLIENT_READING);
    open_tunnel(c);
}

/* ---- requests */

void inside_serve(struct client *c, enum scheme scheme)
{
    c->inside->state = INSIDE_SERVING;
    c->inside->authority.scheme = scheme;
    c->since_ms = clock_ms();
    client_set_state(c, CLIENT_IDLE);
    client_arm_for_head(c);
}

/* ---- the first bytes */

/* True: more must come, and nothing is there. */
static bool decide_by_first_bytes(struct client *c)
{
    switch (opening_of(buffer_unread(c->in))) {
    case OPENING_HTTP: inside_serve(c, SCHEME_HTTP); return false;
    case OPENING_TLS:
        if (!c->inside->may_sign) {
            open_tunnel(c);
            return false;
        }
        c->inside->state = INSIDE_HELLO;
        return inside_take_hello(c);
    case OPENING_OTHER: open_tunnel(c); return false;
    case OPENING_MORE: break;
    }
    return !client_read_some(c) && c->state == CLIENT_OPENING;
}

static void listen_first(struct client *c)
{
    bool waits = false;
    while (!waits && c->state == CLIENT_OPENING) {
        if (c->inside->state == INSIDE_LISTENING)
            waits = decide_by_first_bytes(c);
        else if (c->inside->state == INSIDE_HELLO)
            waits = inside_take_hello(c);
        else
            return;
    }
    if (waits)
        inside_await(c);
}

/* False: the rest of it is not out yet, or the loop is to report what comes. */
static bool answer(struct client *c)
{
    struct inside *i = c->inside;
    struct slice rest = slice_from(TUNNEL_ESTABLISHED, i->answered);
    ssize_t n = conn_write(&c->conn, &(struct iovec){.iov_base = (void *)rest.p, .iov_len = rest.n}, 1);
    if (n < 0 && n != CONN_AGAIN) {
        client_close(c, CLIENT_CLOSED, false);
        return false;
    }
    i->answered += n > 0 ? (size_t)n : 0;
    if (i->answered == TUNNEL_ESTABLISHED.n)
        i->state = INSIDE_LISTENING;
    if (i->state == INSIDE_LISTENING && (c->in || c->conn.watched))
        return true;
    /* No client is that quick: registering reports at once what is there already, and saves a read. */
    inside_await(c);
    return false;
}

void inside_ready(struct client *c)
{
    if (c->inside->state == INSIDE_ANSWERING && !answer(c))
        return;
    if (c->inside->state == INSIDE_HANDSHAKE)
        inside_shake_hands(c);
    else if (c->inside->state != INSIDE_QUEUED)
        listen_first(c);
    else if (c->conn.peer_fin || conn_has_failed(&c->conn))
        client_close(c, CLIENT_CLOSED, false); /* it did not wait for its turn */
}

void inside_begin(struct client *c, const struct route *route)
{
    struct inside *i = calloc(1, sizeof *i);
    if (!i) {
        client_close(c, CLIENT_CUT, false);
        return;
    }
    i->client = c;
    i->authority = route->uri;
    i->may_tunnel = route->may_tunnel;
    i->may_sign =
        route->agent->policy->connect == CONNECT_IS_POOL && inside_may_sign(c->proxy->config, &route->uri);
    i->began_us = clock_us();
    c->inside = i;
    c->requests--; /* what is inside counts */
    c->since_ms = clock_ms();
    client_set_state(c, CLIENT_OPENING);
    inside_ready(c);
}

/* What came while Carpool stood still is looked at before a client is called late. */
void inside_on_deadline(struct client *c)
{
    c->conn.may_read = true; /* the loop may not have reported it yet */
    inside_ready(c);
    if (c->state != CLIENT_OPENING)
        return;
    if (c->proxy->stopping_since_ms) {
        client_close(c, CLIENT_SHUTDOWN, false);
    } else if (!due(c) || clock_ms() < due(c)) {
        inside_arm(c);
    } else if (silence_is_consent(c)) {
        open_tunnel(c);
    } else if (is_silent(c) || c->inside->state != INSIDE_LISTENING) {
        client_close(c, CLIENT_HEADERS_TIMEOUT, false);
    } else {
        client_refuse_slow_head(c);
    }
}
