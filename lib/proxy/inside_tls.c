#include "proxy/inside_tls.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "ca/signer.h"
#include "http/opening.h"
#include "io/tls.h"
#include "proxy/client_end.h"

#define LOG_DISTRUST_EVERY_MS 60000
/* Each costs a signature; who else waits has a turn between any two. */
#define HANDSHAKES_PER_TURN 1

void inside_end_handshake(struct client *c, enum client_handshake result)
{
    c->proxy->stats.handshakes[result]++;
    c->inside->state = result == HANDSHAKE_OK ? INSIDE_SERVING : INSIDE_OVER;
}

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
    snprintf(a->distrusting, sizeof a->distrusting, "%s", c->caller ? c->caller->name : "");
    if (may_log_distrust(c))
        log_event(
            LOG_WARN,
            "a client does not trust Carpool's CA: make it trust /ca.pem of the admin listener (carpoolctl run does; see "
            "doc/clients.md), or set connect: tunnel if the app pins certificates",
            LOG_S("client", peer_address_format(&c->peer, peer)), LOG_S("agent", a->name),
            LOG_S("host", c->inside->authority.host), LOG_S("detail", why));
}

static void end_without_handshake(struct client *c, enum client_handshake result)
{
    inside_end_handshake(c, result);
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

void inside_shake_hands(struct client *c)
{
    switch (tls_handshake(&c->conn)) {
    case TLS_FAILED: fail_handshake(c); break;
    case TLS_WAITS: inside_await(c); break;
    case TLS_DONE:
        inside_end_handshake(c, HANDSHAKE_OK);
        inside_serve(c, SCHEME_HTTPS);
        break;
    }
}

/* The CA may have ended meanwhile, or a reload taken it away, or given one that may not sign for this host. */
static void begin_tls(struct client *c)
{
    const struct config *config = c->proxy->config;
    const struct uri *to = &c->inside->authority;
    SSL *ssl = inside_may_sign(config, to)
                   ? signer_accept(config->connectTls.signer, uri_host(to), time(NULL))
                   : NULL;
    if (!ssl || !tls_accept(&c->conn, ssl, buffer_unread(c->in))) {
        client_close(c, CLIENT_CUT, false);
        return;
    }
    buffer_give(c->in);
    c->in = NULL;
    c->inside->state = INSIDE_HANDSHAKE;
    inside_shake_hands(c);
}

/* After what else is ready; unlike a timer, this cannot fail. */
static void take_another_turn(struct proxy *p)
{
    event_active(&p->hello_turn, EV_TIMEOUT, 0);
}

static void begin_handshakes(struct proxy *p)
{
    struct inside *i;
    while (p->handshakes_begun < HANDSHAKES_PER_TURN && (i = TAILQ_FIRST(&p->hellos))) {
        TAILQ_REMOVE(&p->hellos, i, queued);
        i->state = INSIDE_HELLO;
        p->handshakes_begun++;
        struct client *c = i->client;
        begin_tls(c);
        client_process(c);
    }
    if (TAILQ_EMPTY(&p->hellos))
        return;
    take_another_turn(p);
    event_base_loopbreak(p->base); /* or this turn would never end */
}

void inside_begin_handshakes(evutil_socket_t fd, short what, void *proxy)
{
    (void)fd;
    (void)what;
    begin_handshakes(proxy);
}

static void queue(struct client *c)
{
    struct proxy *p = c->proxy;
    c->inside->state = INSIDE_QUEUED;
    TAILQ_INSERT_TAIL(&p->hellos, c->inside, queued);
    if (TAILQ_FIRST(&p->hellos) == c->inside && p->handshakes_begun < HANDSHAKES_PER_TURN)
        begin_handshakes(p);
    else
        take_another_turn(p);
}

static void refuse_hello(struct client *c)
{
    static const char decode_error[] = {21, 3, 3, 0, 2, 2, 50}; /* RFC 8446 6 */
    conn_write(&c->conn, &(struct iovec){(void *)decode_error, sizeof decode_error}, 1);
    end_without_handshake(c, HANDSHAKE_FAILED);
}

/* True: more of it must come, and nothing is there. */
bool inside_take_hello(struct client *c)
{
    switch (hello_of(buffer_unread(c->in))) {
    case HELLO_WHOLE: queue(c); return c->state == CLIENT_OPENING && c->inside->state == INSIDE_QUEUED;
    case HELLO_TOO_LARGE: refuse_hello(c); return false;
    case HELLO_MORE: break;
    }
    return !client_read_some(c) && c->state == CLIENT_OPENING;
}

bool inside_may_sign(const struct config *config, const struct uri *to)
{
    const struct signer *signer = config->connectTls.signer;
    return signer && ca_may_sign(signer_ca(signer), uri_host(to), time(NULL));
}
