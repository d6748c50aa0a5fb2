#include "proxy/tunnel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/minmax.h"
#include "proxy/tunnel_cause.h"

/* One busy tunnel must not keep the others waiting. */
#define READS_PER_TURN 16
/* A tunnel that has moved nothing for this long is idle: a stop need not wait for it. */
#define IDLE_MS 250
/* The same where a slow peer is to take bytes first: its kernel may open the window for many at a time. */
#define BLOCKED_MS 2000
/* How often to ask the kernel whether it has sent everything: no event says so. */
#define FIRST_LOOK_MS 5
#define LAST_LOOK_MS  500

/* --- The end ------------------------------------------------------------------------------------------- */

static bool is_empty(const struct tunnel *t)
{
    return flow_is_empty(&t->up) && flow_is_empty(&t->down);
}

static bool is_idle(const struct tunnel *t)
{
    return is_empty(t) && clock_ms() >= t->moved_ms + IDLE_MS;
}

static void record(struct tunnel *t)
{
    const struct address peer = peer_address_get(&t->peer);
    t->record.bytes_in += flow_content(&t->up); /* after the content of the request */
    t->record.bytes_out = flow_content(&t->down);
    t->record.agent = slice_of(t->origin->agent->name);
    t->record.total_us = clock_us() - t->began_us;
    t->record.client = &peer;
    t->proxy->stats.requests_by_status[t->record.status]++;
    histogram_add(&t->origin->stats.request, t->response_us);
    if (t->proxy->record)
        t->proxy->record(t->proxy->record_ctx, &t->record);
}

static void close_client(struct tunnel *t, enum client_close reason, bool reset)
{
    struct client *c = t->client;
    t->client = NULL;
    if (!c)
        return;
    c->tunnel = NULL;
    client_close(c, reason, reset);
}

static void close_socket(struct tunnel *t, bool reset)
{
    struct socket *s = t->socket;
    t->socket = NULL;
    if (!s)
        return;
    conn_close(socket_conn(s), reset);
    socket_retire(s, RETIRE_UPGRADED);
}

static void make_dead(struct tunnel *t, enum client_close reason, bool reset)
{
    struct proxy *p = t->proxy;
    flow_lose(&t->up);
    flow_lose(&t->down);
    close_client(t, reason, reset);
    close_socket(t, reset);
    timer_clear(&t->timer);
    origin_let_go(t->origin);
    p->stats.tunnels_open--;
    t->state = TUNNEL_DEAD;
    TAILQ_REMOVE(&p->tunnels, t, link);
    TAILQ_INSERT_TAIL(&p->dead_tunnels, t, link);
}

void tunnel_cut(struct tunnel *t, enum client_close reason)
{
    if (t->state == TUNNEL_OPEN)
        record(t);
    make_dead(t, reason, t->state == TUNNEL_CLOSING || !is_idle(t));
}

void tunnels_cut(struct proxy *p, enum client_close reason)
{
    struct tunnel *t;
    while ((t = TAILQ_FIRST(&p->tunnels)))
        tunnel_cut(t, reason);
}

void tunnels_bury(struct proxy *p)
{
    struct tunnel *t;
    while ((t = TAILQ_FIRST(&p->dead_tunnels))) {
        TAILQ_REMOVE(&p->dead_tunnels, t, link);
        timer_release(&t->timer);
        caller_release(t->caller);
        free(t);
    }
}

/* Who is left has lost its peer: what it says is thrown away, lest it wait for us and never read. */
static bool discard(struct conn *c)
{
    char waste[16 * 1024];
    for (unsigned reads = 0; reads < READS_PER_TURN; reads++) {
        ssize_t n = conn_read(c, waste, sizeof waste);
        if (n == CONN_ERROR)
            return false;
        if (n <= 0)
            return true;
    }
    conn_call_again(c);
    return true;
}

static void look(struct tunnel *t)
{
    struct conn *c = t->client ? &t->client->conn : socket_conn(t->socket);
    uint64_t limit = t->origin->agent->policy->timeouts.tunnel;
    bool alive = discard(c);
    size_t unsent = alive ? conn_unsent(c) : 0;
    if (unsent < t->unsent)
        t->moved_ms = clock_ms();
    t->unsent = unsent;
    if (unsent == 0 || (limit && clock_ms() >= t->moved_ms + limit)) {
        make_dead(t, CLIENT_CUT, true);
        return;
    }
    timer_set(&t->timer, t->look_ms);
    t->look_ms = min64(t->look_ms * 2, LAST_LOOK_MS);
}

/* Neither flow moves any more. */
static void end(struct tunnel *t)
{
    bool whole = t->up.state == FLOW_ENDED && t->down.state == FLOW_ENDED;
    bool both_lost = t->up.state == FLOW_LOST && t->down.state == FLOW_LOST;
    record(t);
    if (whole || both_lost) {
        make_dead(t, CLIENT_CLOSED, both_lost);
        return;
    }
    t->state = TUNNEL_CLOSING;
    t->moved_ms = clock_ms();
    t->unsent = SIZE_MAX;
    t->look_ms = FIRST_LOOK_MS;
    if (t->down.state == FLOW_LOST)
        close_client(t, CLIENT_CLOSED, true);
    else
        close_socket(t, true);
    look(t);
}

/* Bytes that were written are with the kernel still. */
static bool has_unsent(const struct tunnel *t)
{
    return conn_unsent(&t->client->conn) > 0 || conn_unsent(socket_conn(t->socket)) > 0;
}

static uint64_t silence_limit(const struct tunnel *t)
{
    if (!t->proxy->stopping_since_ms)
        return t->origin->agent->policy->timeouts.tunnel;
    return is_empty(t) && !has_unsent(t) ? IDLE_MS : BLOCKED_MS;
}

/* Of what was taken before a stop nothing is known, as the looks were far apart. */
static uint64_t silent_since_ms(const struct tunnel *t)
{
    return max64(t->moved_ms, t->proxy->stopping_since_ms);
}

static uint64_t plan_looks(struct tunnel *t, uint64_t limit)
{
    uptake_plan(&t->by_socket, silent_since_ms(t), limit);
    return uptake_plan(&t->by_client, silent_since_ms(t), limit); /* the same: both are looked at in one go */
}

static void arm(struct tunnel *t)
{
    if (t->state != TUNNEL_OPEN)
        return;
    uint64_t limit = silence_limit(t), look_ms = plan_looks(t, limit);
    timer_set_at(&t->timer, limit ? min64(look_ms, silent_since_ms(t) + limit) : 0);
}

/* A byte that leaves the kernel for a slow peer moves, too. */
static void look_for_uptake(struct tunnel *t)
{
    uint64_t limit = silence_limit(t), since_ms = silent_since_ms(t);
    bool by_client = uptake_look(&t->by_client, &t->client->conn, since_ms, limit);
    bool by_socket = uptake_look(&t->by_socket, socket_conn(t->socket), since_ms, limit);
    if (by_client || by_socket)
        t->moved_ms = clock_ms();
}

static void pump(struct tunnel *t)
{
    uint64_t before = t->up.written + t->down.written;
    flow_pump(&t->up, t->proxy->bodies);
    flow_pump(&t->down, t->proxy->bodies);
    bool client_gone = flow_source_failed(&t->up), socket_gone = flow_source_failed(&t->down);
    if (client_gone)
        flow_lose(&t->down);
    if (socket_gone)
        flow_lose(&t->up);
    if (t->up.written + t->down.written != before)
        t->moved_ms = clock_ms();
    if (flow_is_over(&t->up) && flow_is_over(&t->down))
        end(t);
    else
        arm(t);
}

void tunnel_go_on(struct tunnel *t)
{
    switch (t->state) {
    case TUNNEL_OPEN: pump(t); break;
    case TUNNEL_CLOSING: look(t); break;
    case TUNNEL_DEAD: break;
    }
}

static void on_socket_ready(void *ctx, unsigned ready)
{
    (void)ready;
    tunnel_go_on(ctx);
}

/* --- Time ---------------------------------------------------------------------------------------------- */

/* What came or was taken while Carpool itself stood still has moved before anybody is called silent. The look
 * comes first: it must know for when it was planned. */
static void on_timer(void *ctx)
{
    struct tunnel *t = ctx;
    if (t->state == TUNNEL_OPEN)
        look_for_uptake(t);
    tunnel_go_on(t);
    if (t->state != TUNNEL_OPEN)
        return;
    uint64_t limit = silence_limit(t);
    if (limit && clock_ms() >= silent_since_ms(t) + limit)
        tunnel_cut(t, t->proxy->stopping_since_ms ? CLIENT_SHUTDOWN : CLIENT_TIMEOUT);
}

void tunnels_stop(struct proxy *p)
{
    struct tunnel *t, *next;
    TAILQ_FOREACH_SAFE (t, &p->tunnels, link, next) {
        if (t->state == TUNNEL_OPEN && is_idle(t) && !has_unsent(t))
            tunnel_cut(t, CLIENT_SHUTDOWN);
        else
            arm(t);
    }
}

void tunnels_arm(struct proxy *p)
{
    struct tunnel *t;
    TAILQ_FOREACH (t, &p->tunnels, link)
        arm(t);
}

/* --- The beginning ------------------------------------------------------------------------------------- */

/* Once a connection, at info: it is what users wonder about. */
static void log_tunnel(const struct tunnel *t)
{
    static const char *const messages[] = {
#define TUNNEL "CONNECT opens a tunnel, which cannot be pooled; "
        [TUNNEL_BY_POLICY] = TUNNEL "to share TLS connections set connect: pool, or use an http:// URL and "
                                    "tls: true for this upstream",
        [TUNNEL_WITHOUT_CA] = TUNNEL "connect is pool, but for https it needs a CA in connectTls: carpoolctl "
                                     "ca create makes one",
        [TUNNEL_UNSIGNED] =
            TUNNEL "connect is pool, but the CA of connectTls may not sign for this host (it does not name "
                   "it, or has expired): for https make a new CA that names it (carpoolctl ca create)",
        [TUNNEL_BY_CONTENT] = TUNNEL "connect is pool, but the client sent neither HTTP nor TLS",
#undef TUNNEL
    };
    char peer[ADDRESS_TEXT_SIZE];
    if (log_enabled(LOG_INFO))
        log_event(LOG_INFO, messages[tunnel_cause(t->origin)],
                  LOG_S("client", peer_address_format(&t->peer, peer)),
                  LOG_S("agent", t->origin->agent->name), LOG_S("origin", t->origin->key));
}

static struct slice keep_text(char *room, struct slice text)
{
    memcpy(room, text.p, text.n);
    return (struct slice){room, text.n};
}

static struct tunnel *new_tunnel(const struct exchange *e)
{
    char target[RECORD_TARGET_SIZE];
    struct exchange_record r;
    exchange_describe(e, &r, target, sizeof target);
    struct tunnel *t = calloc(1, sizeof *t + r.method.n + r.target.n);
    if (!t)
        return NULL;
    t->record = r;
    t->peer = e->client->peer;
    t->caller = caller_hold(e->client->caller);
    t->record.method = keep_text(t->text, r.method);
    t->record.target = keep_text(t->text + r.method.n, r.target);
    t->began_us = e->began_us;
    t->response_us =
        (e->asked.connect ? e->transfer->times.granted_us : e->transfer->call.first_byte_us) - e->began_us;
    return t;
}

/* Everything that the tunnel needs of it; the exchange ends without a record. */
static void take_over(struct tunnel *t, struct exchange *e)
{
    struct client *c = e->client;
    struct buffer *in = e->transfer->call.wire ? call_detach(&e->transfer->call) : NULL;
    t->proxy = e->client->proxy;
    t->client = c;
    t->socket = e->transfer->socket;
    t->origin = e->waiter.origin;
    origin_hold(t->origin);
    flow_init(&t->up, &c->conn, socket_conn(t->socket), NULL, c->in);
    flow_init(&t->down, socket_conn(t->socket), &c->conn, e->transfer->download.out_head, in);
    socket_disown(t->socket);
    client_drop_private(c); /* this client asks nothing more */
    c->in = e->transfer->download.out_head = NULL;
    e->transfer->socket = NULL;
    exchange_end_unrecorded(e);
    c->tunnel = t;
    client_set_state(c, CLIENT_TUNNEL);
    deadline_clear(&c->deadline);
    conn_set_owner(socket_conn(t->socket), on_socket_ready, t);
}

/* The head of the answer to a CONNECT; that of a 101 is there already. */
static bool write_established(struct exchange *e)
{
    if (e->asked.established)
        return true;
    e->outcome.status = 200;
    e->transfer->download.out_head = buffer_borrow(e->client->proxy->heads);
    return e->transfer->download.out_head &&
           buffer_append(e->transfer->download.out_head, TUNNEL_ESTABLISHED);
}

void tunnel_begin(struct exchange *e)
{
    struct proxy *p = e->client->proxy;
    bool is_connect = e->asked.connect;
    assert(e->transfer->socket);
    struct tunnel *t = !is_connect || write_established(e) ? new_tunnel(e) : NULL;
    if (!t) {
        exchange_fail(e, FAULT_INTERNAL, RETIRE_ERROR, "out of memory for a tunnel");
        return;
    }
    take_over(t, e);
    timer_init(&t->timer, p->base, on_timer, t);
    t->moved_ms = clock_ms();
    TAILQ_INSERT_TAIL(&p->tunnels, t, link);
    p->stats.tunnels_open++;
    if (is_connect)
        log_tunnel(t);
    if (client_watch(t->client))
        tunnel_go_on(t);
    else
        tunnel_cut(t, CLIENT_CUT);
}
