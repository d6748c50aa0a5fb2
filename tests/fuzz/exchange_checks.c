/* What must hold of the proxy and its pool in the world of exchanges, whatever the ends did. */

#include <poll.h>
#include <sys/ioctl.h>

#include "exchange_parts.h"
#include "exchange_world.h"
#include "fuzz.h"
#include "pool/agent.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/tunnel.h"
#include "wire/h1_internal.h"
#include "wire/h2_internal.h"

/* --- Limits ------------------------------------------------------------------------------------------------- */

#define SEEN_MAX 16

/* A reload may have lowered a limit below what is open: that may stay, and not grow. */
static struct {
    const struct origin *origin;
    uint32_t sockets, in_flight;
} seen[SEEN_MAX];

static uint32_t seen_total;

static void look_up(const struct origin *o, uint32_t *sockets, uint32_t *in_flight)
{
    *sockets = *in_flight = 0;
    for (unsigned i = 0; i < SEEN_MAX; i++) {
        if (seen[i].origin != o)
            continue;
        *sockets = seen[i].sockets;
        *in_flight = seen[i].in_flight;
    }
}

static void check_limits(void)
{
    const struct agent *a = proxy_rig_agent(&world_rig);
    const struct agent_policy *p = a->policy;
    const struct origin *o;
    unsigned n = 0;

    fuzz_assert(a->total <= p->maxTotalSockets || a->total <= seen_total);
    for (o = a->origins; o; o = o->hh.next) {
        uint32_t sockets, in_flight;
        look_up(o, &sockets, &in_flight);
        fuzz_assert(origin_sockets(o) <= p->maxSockets || origin_sockets(o) <= sockets);
        fuzz_assert(o->free_count <= p->maxFreeSockets || o->free_count <= sockets);
        fuzz_assert(o->in_flight <= p->maxSockets || o->in_flight <= in_flight);
    }
    seen_total = a->total;
    memset(seen, 0, sizeof seen);
    for (o = a->origins; o && n < SEEN_MAX; o = o->hh.next, n++) {
        seen[n].origin = o;
        seen[n].sockets = origin_sockets(o);
        seen[n].in_flight = o->in_flight;
    }
}

/* --- Clients and exchanges ------------------------------------------------------------------------------------ */

static uint32_t check_clients(void)
{
    const struct proxy *p = world_rig.proxy;
    const struct client *c;
    uint32_t idle = 0, kept = 0;
    uint64_t open = 0;

    TAILQ_FOREACH (c, &p->clients, link) {
        fuzz_assert(c->state != CLIENT_DEAD && conn_is_open(&c->conn));
        fuzz_assert((c->state == CLIENT_EXCHANGE) == (c->exchange != NULL));
        fuzz_assert((c->state == CLIENT_TUNNEL) == (c->tunnel != NULL));
        fuzz_assert(!c->exchange || c->exchange->client == c);
        /* It will be heard of. */
        fuzz_assert(c->conn.watched || c->on_lasting);
        idle += c->state == CLIENT_IDLE;
        for (const struct socket *s = c->private_sockets; s; s = s->next_kept)
            kept += !(c->exchange && exchange_socket(c->exchange) == s);
        open++;
    }
    fuzz_assert(p->stats.clients_open == open && p->stats.clients_idle == idle);
    return kept;
}

static bool carries(const struct socket *s)
{
    switch (s->state) {
    case SOCKET_ACTIVE: return true;
    case SOCKET_ROOMY:
    case SOCKET_DRAINING:
    case SOCKET_SENT_AWAY: return h2_is(&s->wire);
    default: return false;
    }
}

static uint32_t check_exchanges(void)
{
    const struct exchange *e, *other;
    uint32_t using = 0;

    for (e = proxy_rig_exchange(&world_rig, NULL); e; e = proxy_rig_exchange(&world_rig, e->client)) {
        const struct socket *s = exchange_socket(e);
        bool has_call = e->state == EXCHANGE_RELAY;

        fuzz_assert(e->state != EXCHANGE_DEAD && e->state != EXCHANGE_ASKING);
        fuzz_assert(has_call == (s != NULL) && has_call == (e->transfer && e->transfer->call.wire));
        fuzz_assert(!has_call || e->transfer->call.wire == &s->wire);
        fuzz_assert(e->client && e->client->exchange == e);
        fuzz_assert((e->state == EXCHANGE_WAITING) == (e->waiter.state != WAITER_IDLE));
        fuzz_assert(!s || (carries(s) && s->origin == e->waiter.origin));
        for (other = e; (other = proxy_rig_exchange(&world_rig, other->client));)
            fuzz_assert(!s || exchange_socket(other) != s || h2_is(&s->wire));
        using += s != NULL;
    }
    return using;
}

static uint32_t check_tunnels(void)
{
    const struct proxy *p = world_rig.proxy;
    const struct tunnel *t;
    uint32_t using = 0, count = 0;

    TAILQ_FOREACH (t, &p->tunnels, link) {
        fuzz_assert(t->state != TUNNEL_DEAD && (t->client || t->socket));
        fuzz_assert(t->state == TUNNEL_CLOSING || (t->client && t->socket));
        fuzz_assert(!t->client || t->client->tunnel == t);
        fuzz_assert(!t->socket || (t->socket->state == SOCKET_ACTIVE && t->socket->origin == t->origin));
        using += t->socket != NULL;
        count++;
    }
    fuzz_assert(p->stats.tunnels_open == count);
    return using;
}

/* How many have begun to use it. HTTP/1.1: none where the rest of a response is read for the sake of the
 * socket. */
static uint32_t users_of(const struct socket *s)
{
    const struct h1 *h = s->wire.session;

    if (h2_is(&s->wire))
        return s->in_use - s->unbegun;
    return h && !h->call ? 0 : 1;
}

static uint32_t users_on(const struct socket_list *list)
{
    const struct socket *s;
    uint32_t count = 0;

    TAILQ_FOREACH (s, list, link)
        count += users_of(s);
    return count;
}

/* Every socket that is in use is used by somebody, HTTP/1.1 by one alone. */
static void check_users(void)
{
    uint32_t users = check_exchanges() + check_tunnels() + check_clients(), used = 0;

    for (const struct origin *o = proxy_rig_agent(&world_rig)->origins; o; o = o->hh.next)
        used += users_on(&o->active) + users_on(&o->roomy) + users_on(&o->draining) + users_on(&o->sent_away);
    fuzz_assert(used == users);
}

/* --- Sockets that belong to one client ------------------------------------------------------------------------ */

#define PRIVATE_MAX 64

static const struct socket *private[PRIVATE_MAX];
static unsigned private_count;

static bool is_private(const struct socket *s)
{
    for (unsigned i = 0; i < private_count; i++)
        if (private[i] == s)
            return true;
    return false;
}

static bool is_active(const struct socket *s)
{
    const struct socket *one;

    for (const struct origin *o = proxy_rig_agent(&world_rig)->origins; o; o = o->hh.next)
        TAILQ_FOREACH (one, &o->active, link)
            if (one == s)
                return true;
    return false;
}

/* Whom NTLM or Negotiate has named on a socket, nobody else speaks for: it is never free again. */
static void check_private_sockets(void)
{
    const struct socket *s;
    const struct exchange *e;
    unsigned kept = 0;

    TAILQ_FOREACH (s, &proxy_rig_agent(&world_rig)->free_lru, lru)
        fuzz_assert(!is_private(s));
    for (unsigned i = 0; i < private_count; i++)
        if (is_active(private[i]))
    private[kept++] = private[i];
    private_count = kept;
    for (e = proxy_rig_exchange(&world_rig, NULL); e; e = proxy_rig_exchange(&world_rig, e->client))
        if (exchange_socket(e) && e->asked.private_socket && !is_private(exchange_socket(e)) &&
            private_count < PRIVATE_MAX)
    private[private_count++] = exchange_socket(e);
}

/* --- Edges come once ------------------------------------------------------------------------------------------ */

/* Whether nothing stands in the kernel, neither bytes nor an end, that nobody will be told of. A look that
 * takes nothing away: recv() would take a reset. */
static bool is_quiet(const struct conn *s)
{
    struct pollfd look = {.fd = s->fd, .events = POLLIN};

    return s->tls || calls_owe(s->fd) || poll(&look, 1, 0) == 0;
}

/* An error stands behind what can be read of it. */
static bool was_reset(const struct conn *s)
{
    struct pollfd look = {.fd = s->fd};

    return !calls_owe(s->fd) && poll(&look, 1, 0) == 1 && (look.revents & POLLERR);
}

/* Nothing is left of one exchange that the next could take for its own. (A reset may be: it came with the
 * last bytes, in one event, and the next user meets it.) */
static void check_free_sockets(void)
{
    const struct socket *s;
    int unread;

    TAILQ_FOREACH (s, &proxy_rig_agent(&world_rig)->free_lru, lru) {
        unread = 0;
        if (!s->wire.conn.tls && !calls_owe(s->wire.conn.fd) && !h2_is(&s->wire))
            fuzz_assert(ioctl(s->wire.conn.fd, FIONREAD, &unread) == 0 && unread == 0);
    }
}

/* What speaks HTTP/2 is read whoever waits for it, to its end. */
static void check_shared(const struct socket_list *list)
{
    const struct socket *s;

    TAILQ_FOREACH (s, list, link) {
        const struct h2 *h = h2_is(&s->wire) ? s->wire.session : NULL;
        fuzz_assert(!h || h->state == H2_OVER || is_quiet(&s->wire.conn));
    }
}

static void check_shared_sockets(void)
{
    for (const struct origin *o = proxy_rig_agent(&world_rig)->origins; o; o = o->hh.next) {
        check_shared(&o->active);
        check_shared(&o->roomy);
        check_shared(&o->free);
        check_shared(&o->draining);
        check_shared(&o->sent_away);
    }
}

static void check_flow(const struct flow *f)
{
    if (f->state == FLOW_OPEN && !f->head && !f->waiting)
        fuzz_assert(is_quiet(f->from));
    fuzz_assert(f->state != FLOW_ENDING || f->head || f->waiting);
}

void check_nobody_sleeps(void)
{
    const struct client *c;
    const struct exchange *e;
    const struct tunnel *t;

    TAILQ_FOREACH (c, &world_rig.proxy->clients, link)
        if (c->state == CLIENT_IDLE || c->state == CLIENT_READING || c->state == CLIENT_ENDING ||
            c->state == CLIENT_LINGERING)
            fuzz_assert(is_quiet(&c->conn));
    for (e = proxy_rig_exchange(&world_rig, NULL); e; e = proxy_rig_exchange(&world_rig, e->client)) {
        if (e->state == EXCHANGE_RELAY && e->transfer->upload.state == UPLOAD_STARVED)
            fuzz_assert(is_quiet(&e->client->conn));
        /* Nobody works for who has been reset, nor waits in the queue. */
        if (!e->client->on_lasting)
            fuzz_assert(!was_reset(&e->client->conn));
        if (e->state == EXCHANGE_RELAY && !download_is_blocked(&e->transfer->download) &&
            !is_quiet(&exchange_socket(e)->wire.conn)) {
            fprintf(stderr, "upload %d, download %d, may_read %d, watched %d\n", e->transfer->upload.state,
                    e->transfer->download.state, exchange_socket(e)->wire.conn.may_read,
                    exchange_socket(e)->wire.conn.watched);
            fuzz_assert(!"somebody sleeps");
        }
    }
    TAILQ_FOREACH (t, &world_rig.proxy->tunnels, link) {
        check_flow(&t->up);
        check_flow(&t->down);
    }
    check_shared_sockets();
}

void check_turn(void)
{
    check_limits();
    check_users();
    check_free_sockets();
    check_private_sockets();
}

void checks_forget(void)
{
    private_count = 0;
}
