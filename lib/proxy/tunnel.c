/* After 101, or CONNECT's 2xx: bytes both ways until both ends have ended (RFC 9110 7.8, 9.3.6). */

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/exchange.h"

/* Once a connection, at info: it is what users wonder about. */
static void log_tunnel(const struct exchange *e)
{
    char peer[ADDRESS_TEXT_SIZE];
    if (e->is_connect && log_enabled(LOG_INFO))
        log_event(
            LOG_INFO,
            "CONNECT opens a tunnel, which cannot be pooled; to share TLS connections use an http:// URL and tls: true for this upstream",
            LOG_S("client", peer_address_format(&e->client->peer, peer)),
            LOG_S("agent", e->origin->agent->name), LOG_S("origin", e->origin->key));
}

void tunnel_start(struct exchange *e)
{
    static const struct slice established = SLICE("HTTP/1.1 200 Connection established\r\n\r\n");
    struct sendq head = e->down.out; /* the 101, if there is one */
    assert(e->socket && e->client);
    e->state = EXCHANGE_TUNNEL;
    e->proxy->stats.tunnels_open++;
    relay_end(&e->up);
    relay_begin(&e->up, (struct framing){.kind = BODY_TUNNEL}, RELAY_RAW);
    bool fin = e->down.source_fin;
    relay_begin(&e->down, (struct framing){.kind = BODY_TUNNEL}, RELAY_RAW);
    e->down.source_fin = fin;
    e->up.source_fin = e->client->fin;
    if (e->is_connect) {
        e->status = 200;
        sendq_push(&e->down.out, established);
        log_tunnel(e);
    } else {
        e->down.out = head;
    }
    e->in_body = true;
    e->download_blocked = false;
    e->moved_ms = clock_ms();
    client_watch(e->client);
    if (e->state == EXCHANGE_TUNNEL && e->is_connect)
        tunnel_pump(e);
}

static void finish(struct exchange *e)
{
    struct client *c = e->client;
    struct socket *s = e->socket;
    e->socket = NULL;
    if (c->private_socket == s)
        c->private_socket = NULL;
    socket_retire(s, RETIRE_UPGRADED);
    exchange_end_all(e);
    client_close(c, CLIENT_CLOSED, false);
}

/* One direction. False: the tunnel is at its end. */
static bool pump(struct exchange *e, struct relay *r, const struct relay_ends *ends, bool *shut)
{
    for (;;) {
        switch (relay_pump(r, ends)) {
        case RELAY_SOURCE_EOF: relay_finish(r); continue;
        case RELAY_DONE:
            if (!*shut)
                conn_shutdown_write(ends->to);
            *shut = true;
            return true;
        case RELAY_STARVED:
        case RELAY_BLOCKED: return true;
        case RELAY_YIELD: conn_call_again(&e->client->conn); return true;
        case RELAY_SOURCE_FAILED:
        case RELAY_SINK_FAILED:
        case RELAY_MALFORMED:
        case RELAY_NO_MEMORY: return false;
        }
    }
}

void tunnel_pump(struct exchange *e)
{
    struct client *c = e->client;
    uint64_t before = e->up.out.sent + e->down.out.sent;
    const struct relay_ends up = {
        .from = &c->conn, .in = &c->in, .to = &e->socket->conn, .bodies = &e->proxy->bodies};
    const struct relay_ends down = {
        .from = &e->socket->conn, .in = &e->in, .to = &c->conn, .bodies = &e->proxy->bodies};
    e->up.source_fin |= c->fin;
    bool alive = pump(e, &e->up, &up, &e->up_shut) && pump(e, &e->down, &down, &e->down_shut);
    if (e->up.out.sent + e->down.out.sent != before)
        e->moved_ms = clock_ms();
    if (!alive || (e->up_shut && e->down_shut))
        finish(e);
    else
        exchange_arm(e);
}
