#include "proxy/inside.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "ca/signer.h"
#include "http/opening.h"
#include "io/tls.h"
#include "proxy/exchange.h"
#include "proxy/handover.h"

/* How long a client may be silent before its tunnel is opened: in some protocols the server speaks first. */
#define SILENCE_MS 300

static const struct slice established = SLICE("HTTP/1.1 200 Connection established\r\n\r\n");

static void count_handshake(struct client *c, enum client_handshake result)
{
    c->proxy->stats.handshakes[result]++;
    c->inside->state = result == HANDSHAKE_OK ? INSIDE_SERVING : INSIDE_OVER;
}

void inside_end(struct client *c)
{
    if (c->inside && (c->inside->state == INSIDE_HELLO || c->inside->state == INSIDE_HANDSHAKE))
        count_handshake(c, HANDSHAKE_FAILED);
    free(c->inside);
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
    return limit ? c->since_ms + limit : 0;
}

void inside_arm(struct client *c)
{
    timer_set_at(&c->timer, due(c));
}

/* ---- a tunnel */

static void refuse_anything_else(struct client *c)
{
    struct exchange *e = exchange_in_connect(c);
    if (e)
        exchange_fail(
            e, FAULT_DENIED, RETIRE_NONE,
            "what came inside CONNECT to %s:%u is no HTTP, and a tunnel to that port is not allowed: add it to "
            "access.connectPorts if it should be",
            c->inside->authority.host, c->inside->authority.port);
}

static void open_here(struct client *c, const struct route *route)
{
    struct exchange *e = exchange_in_connect(c);
    if (e)
        exchange_open_tunnel(e, route);
}

/* The upstream of now: a reload may have come in between. */
static void open_tunnel(struct client *c)
{
    const struct uri *to = &c->inside->authority;
    struct route route = {.agent = route_agent(c->proxy, to), .kind = ORIGIN_TUNNEL, .uri = *to};
    c->inside->state = INSIDE_TUNNEL;
    timer_clear(&c->timer);
    c->requests++;
    client_set_state(c, CLIENT_EXCHANGE);
    if (!handover_begin(c, &route))
        open_here(c, &route);
}

void inside_arrive(struct client *c)
{
    client_set_state(c, CLIENT_READING);
    open_tunnel(c);
}

static void take_for_other(struct client *c)
{
    if (c->inside->may_tunnel) {
        open_tunnel(c);
        return;
    }
    timer_clear(&c->timer);
    client_set_state(c, CLIENT_EXCHANGE);
    refuse_anything_else(c);
}

/* ---- requests */

static void serve(struct client *c, enum scheme scheme)
{
    c->inside->state = INSIDE_SERVING;
    c->inside->authority.scheme = scheme;
    c->since_ms = clock_ms();
    client_set_state(c, CLIENT_IDLE);
    client_process(c);
    if (c->state == CLIENT_IDLE)
        client_arm_for_head(c);
}

/* ---- TLS */

#define LOG_DISTRUST_EVERY_MS 60000

/* Once a minute an agent, whichever loops its clients are on. */
static bool may_log_distrust(struct client *c)
{
    struct proxy *p = c->proxy;
    struct pool *first = p->shared->count > 1 ? p->shared->members[0]->pool : p->pool;
    uint64_t now = clock_ms(),
             *last = &route_agent_in(first, p->config, &c->inside->authority)->distrust_logged_ms;
    uint64_t before = __atomic_load_n(last, __ATOMIC_RELAXED);
    return (before == 0 || now >= before + LOG_DISTRUST_EVERY_MS) &&
           __atomic_compare_exchange_n(last, &before, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void note_distrust(struct client *c, const char *why)
{
    struct agent *a = route_agent(c->proxy, &c->inside->authority);
    char peer[ADDRESS_TEXT_SIZE];
    recent_add(&a->distrusts, clock_ms());
    if (may_log_distrust(c))
        log_event(
            LOG_WARN,
            "a client does not trust Carpool's CA: let it trust /ca.pem of the admin listener (carpoolctl run does; see "
            "clients.md), or set connect: tunnel if the app pins certificates",
            LOG_S("client", peer_address_format(&c->peer, peer)), LOG_S("agent", a->name),
            LOG_S("host", c->inside->authority.host), LOG_S("detail", why));
}

static void end_without_handshake(struct client *c, enum client_handshake result)
{
    count_handshake(c, result);
    client_linger(c, CLIENT_BAD_REQUEST);
}

static void fail_handshake(struct client *c)
{
    bool distrusted = tls_is_distrusted(&c->conn);
    char why[320];
    tls_failure(&c->conn, why, sizeof why);
    if (distrusted)
        note_distrust(c, why);
    else if (log_enabled(LOG_DEBUG))
        log_event(LOG_DEBUG, "a client's TLS handshake failed", LOG_S("host", c->inside->authority.host),
                  LOG_S("detail", why));
    tls_let_go(&c->conn);
    end_without_handshake(c, distrusted ? HANDSHAKE_UNTRUSTED : HANDSHAKE_FAILED);
}

static void shake_hands(struct client *c)
{
    int done = tls_handshake(&c->conn);
    if (done < 0) {
        fail_handshake(c);
    } else if (done > 0) {
        count_handshake(c, HANDSHAKE_OK);
        serve(c, SCHEME_HTTPS);
    } else {
        client_watch(c);
        if (c->state == CLIENT_OPENING)
            inside_arm(c);
    }
}

/* A reload may have taken the CA away. */
static void begin_tls(struct client *c)
{
    struct signer *signer = c->proxy->config->connectTls.signer;
    const struct uri *to = &c->inside->authority;
    SSL *ssl = signer ? signer_accept(signer, (struct slice){to->host, to->host_length}, time(NULL)) : NULL;
    if (!ssl || !tls_accept(&c->conn, ssl, buffer_unread(c->in))) {
        client_close(c, CLIENT_CUT, false);
        return;
    }
    buffer_give(c->in);
    c->in = NULL;
    c->inside->state = INSIDE_HANDSHAKE;
    shake_hands(c);
}

static void refuse_hello(struct client *c)
{
    static const char decode_error[] = {21, 3, 3, 0, 2, 2, 50}; /* RFC 8446 6 */
    conn_write(&c->conn, &(struct iovec){(void *)decode_error, sizeof decode_error}, 1);
    end_without_handshake(c, HANDSHAKE_FAILED);
}

/* True: more of it must come, and nothing is there. */
static bool take_hello(struct client *c)
{
    switch (hello_of(buffer_unread(c->in))) {
    case HELLO_WHOLE: begin_tls(c); return false;
    case HELLO_TOO_LARGE: refuse_hello(c); return false;
    case HELLO_MORE: break;
    }
    return !client_read_some(c) && c->state == CLIENT_OPENING;
}

static bool signs_for(const struct config *config, const struct uri *to)
{
    const struct signer *signer = config->connectTls.signer;
    return signer && ca_permits(signer_ca(signer), (struct slice){to->host, to->host_length});
}

/* ---- the first bytes */

/* True: more must come, and nothing is there. */
static bool listen_once(struct client *c)
{
    switch (opening_of(buffer_unread(c->in))) {
    case OPENING_HTTP: serve(c, SCHEME_HTTP); return false;
    case OPENING_TLS:
        if (!c->inside->may_sign) {
            take_for_other(c);
            return false;
        }
        c->inside->state = INSIDE_HELLO;
        return take_hello(c);
    case OPENING_OTHER: take_for_other(c); return false;
    case OPENING_MORE: break;
    }
    return !client_read_some(c) && c->state == CLIENT_OPENING;
}

static void listen_first(struct client *c)
{
    bool waits = false;
    while (!waits && c->state == CLIENT_OPENING) {
        if (c->inside->state == INSIDE_LISTENING)
            waits = listen_once(c);
        else if (c->inside->state == INSIDE_HELLO)
            waits = take_hello(c);
        else
            return;
    }
    if (waits)
        client_watch(c);
    if (waits && c->state == CLIENT_OPENING)
        inside_arm(c);
}

/* False: the rest of it is not out yet. */
static bool answer(struct client *c)
{
    struct inside *i = c->inside;
    struct slice rest = slice_from(established, i->answered);
    ssize_t n = conn_write(&c->conn, &(struct iovec){.iov_base = (void *)rest.p, .iov_len = rest.n}, 1);
    if (n < 0 && n != CONN_AGAIN) {
        client_close(c, CLIENT_CLOSED, false);
        return false;
    }
    i->answered += n > 0 ? (size_t)n : 0;
    if (i->answered == established.n) {
        i->state = INSIDE_LISTENING;
        return true;
    }
    client_watch(c);
    if (c->state == CLIENT_OPENING)
        inside_arm(c);
    return false;
}

void inside_ready(struct client *c)
{
    if (c->inside->state == INSIDE_ANSWERING && !answer(c))
        return;
    if (c->inside->state == INSIDE_HANDSHAKE)
        shake_hands(c);
    else
        listen_first(c);
}

void inside_begin(struct client *c, const struct route *route)
{
    struct inside *i = calloc(1, sizeof *i);
    if (!i) {
        client_close(c, CLIENT_CUT, false);
        return;
    }
    i->authority = route->uri;
    i->may_tunnel = route->may_tunnel;
    i->may_sign =
        route->agent->policy->connect == CONNECT_IS_POOL && signs_for(c->proxy->config, &route->uri);
    i->began_us = clock_us();
    c->inside = i;
    c->requests--; /* what is inside counts */
    c->since_ms = clock_ms();
    client_set_state(c, CLIENT_OPENING);
    inside_ready(c);
}

/* What came while nobody ran is looked at before anybody is called late. */
void inside_on_timer(struct client *c)
{
    inside_ready(c);
    if (c->state != CLIENT_OPENING)
        return;
    if (c->proxy->stopping) {
        client_close(c, CLIENT_SHUTDOWN, false);
    } else if (!due(c) || clock_ms() < due(c)) {
        inside_arm(c);
    } else if (silence_is_consent(c)) {
        open_tunnel(c);
    } else if (is_silent(c) || c->inside->state != INSIDE_LISTENING) {
        client_close(c, CLIENT_HEADERS_TIMEOUT, false);
    } else {
        c->requests++;
        client_set_state(c, CLIENT_EXCHANGE);
        exchange_refuse(c, FAULT_CLIENT_TOO_SLOW,
                        "the request's head did not come within server.headersTimeout");
    }
}
