/* A new connection of a client, and those that are too many. */

#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/client.h"
#include "proxy/client_end.h"
#include "proxy/reply.h"

/* Clients beyond server.maxConnections that are answered so properly; those beyond these get one write. */
#define TURNED_AWAY_MAX 64

/* NULL: memory is short, be it for its deadline only, without which it might stay forever. */
static struct client *take_client(struct proxy *p)
{
    if (!deadlines_make_room(&p->client_deadlines, p->client_count + 1))
        return NULL;
    struct client *c = freelist_take(&p->spare_clients);
    if (c)
        return c;
    c = calloc(1, sizeof *c);
    p->client_count += c != NULL;
    return c;
}

/* The line stays the same, so that a storm of them is counted instead of written. */
static void note_refused(struct proxy *p)
{
    p->stats.clients_refused++;
    log_event(LOG_WARN, "client refused: server.maxConnections are connected already",
              LOG_N("maxConnections", p->config->server.maxConnections));
}

/* One who is not served for now is told so, where there is memory for it. */
static void answer_busy(struct proxy *p, int fd, const char *text)
{
    struct buffer *b = buffer_borrow(p->heads);
    const struct reply r = {
        .fault = FAULT_TOO_MANY_CLIENTS, .instance = p->instance, .text = slice_of(text), .close = true};
    if (b && reply_write(&b, &r) && send(fd, b->data, b->end, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        p->stats.requests_by_status[503]++;
    buffer_give(b);
}

static void say_too_many(struct proxy *p, int fd)
{
    note_refused(p);
    char text[96];
    snprintf(text, sizeof text, "%u clients are connected, as many as server.maxConnections allows",
             p->config->server.maxConnections);
    answer_busy(p, fd, text);
}

static void turn_away_client(struct client *c)
{
    c->turned_away = true;
    say_too_many(c->proxy, c->conn.fd);
    client_linger(c, CLIENT_MAX_CONNECTIONS);
}

/* Both without a state of their own: a client far beyond the limit costs nothing but a write, and for one
 * without memory there is nothing else. */
static void close_unkept(struct proxy *p, int fd, enum client_close reason)
{
    p->stats.clients_total++;
    p->stats.clients_closed[reason]++;
    close(fd);
}

static void turn_away(struct proxy *p, int fd)
{
    say_too_many(p, fd);
    close_unkept(p, fd, CLIENT_MAX_CONNECTIONS);
}

static void fail_without_memory(struct proxy *p, int fd)
{
    log_line(LOG_ERROR, "out of memory for a client; its connection is closed");
    answer_busy(p, fd, "out of memory for another client");
    close_unkept(p, fd, CLIENT_CUT);
}

void client_set_keepalive(struct client *c)
{
    uint64_t delay_ms = c->proxy->config->server.keepAliveInitialDelay;
    int on = delay_ms > 0, seconds = delay_ms < 1000 ? 1 : (int)(delay_ms / 1000);
    if (c->peer.sa.any.sa_family == AF_UNIX)
        return;
    setsockopt(c->conn.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(c->conn.fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
}

/* Of a client that may have been another one before, and keeps what its deadline has of the heap. */
static void init(struct client *c, struct proxy *p, struct frontend *f, const struct address *peer)
{
    c->proxy = p;
    c->frontend = frontend_ref(f);
    c->state = CLIENT_READING; /* so that client_set_state() counts it */
    c->on_lasting = c->gone = c->admitted = c->turned_away = false;
    c->at_boundary = true;
    peer_address_set(&c->peer, peer);
    c->in = NULL;
    c->scanned = 0;
    c->skipped = 0;
    c->requests = c->lingered = 0;
    c->exchange = NULL;
    c->tunnel = NULL;
    c->inside = NULL;
    c->private_sockets = NULL;
    c->since_ms = clock_ms();
    c->identified = CALLERS_OFF;
    c->caller = NULL;
}

/* Of what all loops count together. */
static bool take_place(uint32_t *count, uint32_t most)
{
    if (__atomic_fetch_add(count, 1, __ATOMIC_RELAXED) < most)
        return true;
    __atomic_sub_fetch(count, 1, __ATOMIC_RELAXED);
    return false;
}

void proxy_accept(struct proxy *p, struct frontend *f, int fd, const struct address *peer)
{
    const struct server_options *server = &p->config->server;
    struct proxy_shared *shared = p->shared;
    bool too_many = !take_place(&shared->clients, server->maxConnections);
    bool far_too_many = too_many && !take_place(&shared->turned_away, TURNED_AWAY_MAX);
    struct client *c = far_too_many ? NULL : take_client(p);
    if (!c) {
        if (!far_too_many)
            __atomic_sub_fetch(too_many ? &shared->turned_away : &shared->clients, 1, __ATOMIC_RELAXED);
        if (too_many)
            turn_away(p, fd);
        else
            fail_without_memory(p, fd);
        return;
    }
    conn_open(&c->conn, fd);
    init(c, p, f, peer);
    TAILQ_INSERT_TAIL(&p->clients, c, link);
    p->stats.clients_total++;
    p->stats.clients_open++;
    client_set_state(c, CLIENT_IDLE);
    if (server->keepAliveInitialDelay)
        client_set_keepalive(c);
    if (too_many) {
        turn_away_client(c);
        return;
    }
    caller_identify(c);
    client_process(c);
    if (c->state == CLIENT_IDLE)
        client_arm_for_head(c);
}
