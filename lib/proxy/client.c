#include "proxy/client.h"

#include <assert.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/minmax.h"
#include "io/ack.h"
#include "proxy/bad_request.h"
#include "proxy/client_end.h"
#include "proxy/exchange.h"
#include "proxy/inside.h"
#include "proxy/tunnel.h"

/* Empty lines before a request. */
#define SKIPPED_BYTES 16
/* Requests answered in one go before others have their turn. */
#define REQUESTS_PER_TURN 32

void client_set_state(struct client *c, enum client_state state)
{
    struct proxy_stats *stats = &c->proxy->stats;
    stats->clients_idle += (state == CLIENT_IDLE) - (c->state == CLIENT_IDLE);
    c->state = state;
}

static void leave_lasting(struct client *c)
{
    if (c->on_lasting)
        TAILQ_REMOVE(&c->proxy->lasting, c, lasting_link);
    c->on_lasting = false;
}

static void drop_buffer(struct client *c)
{
    buffer_give(c->in);
    c->in = NULL;
    c->scanned = 0;
}

void client_consume(struct client *c, size_t n)
{
    buffer_consume(c->in, n);
    if (buffer_unread(c->in).n == 0)
        drop_buffer(c);
}

static void log_closed(const struct client *c, enum client_close reason)
{
    char text[ADDRESS_TEXT_SIZE];
    if (log_enabled(LOG_DEBUG))
        log_event(LOG_DEBUG, "client closed", LOG_S("client", peer_address_format(&c->peer, text)),
                  LOG_S("reason", client_close_word(reason)), LOG_N("requests", c->requests));
}

void client_close(struct client *c, enum client_close reason, bool reset)
{
    struct proxy *p = c->proxy;
    if (c->state == CLIENT_DEAD)
        return;
    assert(!c->exchange && !c->tunnel);
    leave_lasting(c);
    drop_buffer(c);
    inside_end(c);
    client_drop_private(c);
    deadline_clear(&c->deadline);
    conn_close(&c->conn, reset);
    client_set_state(c, CLIENT_DEAD);
    p->stats.clients_open--;
    __atomic_sub_fetch(c->turned_away ? &p->shared->turned_away : &p->shared->clients, 1, __ATOMIC_RELAXED);
    p->stats.clients_closed[reason]++;
    log_closed(c, reason);
    frontend_unref(c->frontend);
    caller_release(c->caller);
    c->caller = NULL;
    TAILQ_REMOVE(&p->clients, c, link);
    TAILQ_INSERT_TAIL(&p->dead_clients, c, link);
}

/* What is not a request, or soon becomes one, does not hold up a stop. */
static uint64_t grace_end_ms(const struct client *c)
{
    uint64_t stop_ms = c->proxy->stopping_since_ms;
    return max64(c->since_ms, stop_ms) + CLIENT_GRACE_MS;
}

void client_arm(struct client *c, uint64_t limit)
{
    uint64_t due_ms = limit ? c->since_ms + limit : 0;
    if (c->proxy->stopping_since_ms)
        due_ms = timer_sooner(due_ms, grace_end_ms(c));
    client_set_deadline(c, due_ms);
}

static void on_ready(void *ctx, unsigned ready)
{
    struct client *c = ctx;
    switch (c->state) {
    case CLIENT_IDLE:
    case CLIENT_READING:
        if (ready & CONN_READABLE)
            client_process(c);
        break;
    case CLIENT_OPENING:
        inside_ready(c);
        client_process(c);
        break;
    case CLIENT_EXCHANGE:
        exchange_client_ready(c->exchange, ready);
        client_process(c);
        break;
    case CLIENT_TUNNEL: tunnel_go_on(c->tunnel); break;
    case CLIENT_ENDING:
    case CLIENT_LINGERING: client_end_ready(c, ready); break;
    case CLIENT_MOVING:
    case CLIENT_DEAD: break;
    }
}

void client_watch_later(struct client *c)
{
    if (c->on_lasting)
        return;
    c->lasting_since_ms = clock_ms();
    TAILQ_INSERT_TAIL(&c->proxy->lasting, c, lasting_link);
    c->on_lasting = true;
}

/* No event will say what it does. */
static void lose(struct client *c)
{
    if (c->exchange)
        exchange_cut(c->exchange, CLIENT_CUT);
    else if (c->tunnel)
        tunnel_cut(c->tunnel, CLIENT_CUT);
    else
        client_close(c, CLIENT_CUT, false);
}

bool client_watch(struct client *c)
{
    leave_lasting(c);
    if (c->conn.watched)
        return true;
    if (conn_watch(&c->conn, c->proxy->base, PRIORITY_ORDINARY, on_ready, c))
        return true;
    log_line(LOG_ERROR, "the event loop took no further client; the connection is closed");
    return false;
}

bool client_watch_for_rest(struct client *c, uint64_t came)
{
    unsigned first = c->state == CLIENT_EXCHANGE ? 1 : 0;
    if (c->requests > first) /* a new connection acknowledges at once by itself */
        ack_part(c->conn.fd, came);
    return client_watch(c);
}

bool client_yield(struct client *c)
{
    if (!client_watch(c))
        return false;
    conn_call_again(&c->conn);
    return true;
}

void client_lasts(struct client *c)
{
    bool was_watched = c->conn.watched;
    leave_lasting(c);
    if (!was_watched && !client_watch(c)) {
        lose(c);
    } else if (was_watched && c->state == CLIENT_EXCHANGE) {
        exchange_client_ready(c->exchange, CONN_READABLE);
        client_process(c);
    }
}

void client_refuse_slow_head(struct client *c)
{
    c->requests++;
    client_set_state(c, CLIENT_EXCHANGE);
    if (c->proxy->stopping_since_ms)
        exchange_refuse(c, FAULT_TOO_MANY_CLIENTS, REFUSED_STOPPING);
    else
        exchange_refuse(c, FAULT_CLIENT_TOO_SLOW,
                        "the request's head did not come within server.headersTimeout");
}

/* Milliseconds; 0: none. */
static uint64_t keep_alive_limit(const struct client *c)
{
    const struct server_options *server = &c->proxy->config->server;
    return server->keepAliveTimeout ? server->keepAliveTimeout + server->keepAliveTimeoutBuffer : 0;
}

/* While the kernel holds some of its last response a slow client is not idle yet, for server.timeout at
 * most. */
static bool still_takes(const struct client *c)
{
    uint64_t limit = c->proxy->config->server.timeout;
    bool for_too_long = limit && clock_ms() - c->since_ms >= limit;
    return c->requests > 0 && !c->proxy->stopping_since_ms && !for_too_long && conn_unsent(&c->conn) > 0;
}

void client_on_deadline(struct deadline *d)
{
    struct client *c = (struct client *)((char *)d - offsetof(struct client, deadline));
    switch (c->state) {
    case CLIENT_IDLE:
        if (!client_is_idle(c))
            return;
        if (still_takes(c)) {
            client_set_deadline(c, clock_ms() + keep_alive_limit(c));
            return;
        }
        client_close(c,
                     c->proxy->stopping_since_ms ? CLIENT_SHUTDOWN
                     : c->requests               ? CLIENT_KEEPALIVE_TIMEOUT
                                                 : CLIENT_HEADERS_TIMEOUT,
                     false);
        break;
    case CLIENT_READING: client_refuse_slow_head(c); break;
    case CLIENT_OPENING:
        inside_on_deadline(c);
        client_process(c);
        break;
    case CLIENT_EXCHANGE: exchange_on_deadline(c->exchange); break;
    case CLIENT_ENDING:
    case CLIENT_LINGERING: client_end_on_deadline(c); break;
    case CLIENT_TUNNEL:
    case CLIENT_MOVING:
    case CLIENT_DEAD: break;
    }
}

void client_arm_for_head(struct client *c)
{
    bool keeps_alive = c->state == CLIENT_IDLE && c->requests > 0;
    client_arm(c, keeps_alive ? keep_alive_limit(c) : c->proxy->config->server.headersTimeout);
}

void client_limits_changed(struct client *c)
{
    switch (c->state) {
    case CLIENT_IDLE:
    case CLIENT_READING: client_arm_for_head(c); break;
    case CLIENT_OPENING: inside_arm(c); break;
    case CLIENT_EXCHANGE: exchange_arm(c->exchange); break;
    case CLIENT_ENDING:
    case CLIENT_LINGERING: client_end_arm(c); break;
    case CLIENT_TUNNEL:
    case CLIENT_MOVING:
    case CLIENT_DEAD: break;
    }
}

static struct head_limits head_limits_of(const struct config *c)
{
    return (struct head_limits){.max_size = (uint32_t)c->server.maxHeaderSize,
                                .max_count = c->server.maxHeadersCount};
}

/* RFC 9112 2.2: an empty line before a request is ignored; not any number of them. */
static void skip_empty_lines(struct client *c)
{
    if (c->scanned > 0)
        return;
    for (struct slice s = buffer_unread(c->in); c->skipped < SKIPPED_BYTES && s.n >= 2;
         s = buffer_unread(c->in)) {
        if (s.p[0] != '\r' || s.p[1] != '\n')
            return;
        buffer_consume(c->in, 2);
        c->skipped += 2;
    }
}

static void refuse_head(struct client *c, enum head_verdict v, const struct head_limits *limits)
{
    char text[512];
    enum fault fault =
        bad_request_of_head(c->proxy->config, buffer_unread(c->in), v, limits, text, sizeof text);
    exchange_refuse(c, fault, text);
}

/* A CR alone may be half an empty line. */
static bool is_there_a_request(const struct client *c)
{
    struct slice data = c->in ? buffer_unread(c->in) : SLICE("");
    return data.n > 1 || (data.n == 1 && data.p[0] != '\r');
}

/* Begins the exchange of a head that is whole; false: more must come. */
static bool try_head(struct client *c)
{
    const struct head_limits limits = head_limits_of(c->proxy->config);
    size_t length;
    struct slice data = buffer_unread(c->in);
    size_t scanned = c->scanned;
    enum head_verdict v = head_scan(data, &scanned, &limits, &length);
    c->scanned = (uint32_t)scanned;
    if (v == HEAD_INCOMPLETE)
        return false;
    if (v == HEAD_OK)
        v = head_parse_request((struct slice){data.p, length}, &limits, &c->proxy->request_head);
    c->scanned = 0;
    c->skipped = 0;
    c->requests++;
    leave_lasting(c);
    client_set_state(c, CLIENT_EXCHANGE);
    deadline_clear(&c->deadline);
    if (v == HEAD_OK)
        exchange_begin(c, length);
    else
        refuse_head(c, v, &limits);
    return true;
}

bool client_read_some(struct client *c)
{
    /* Where a piece of a head is there already, a reset may have come with it, which the loop reports no
     * more: then it is read all the same. */
    if (conn_is_drained(&c->conn) && buffer_unread(c->in).n == 0) {
        drop_buffer(c);
        return false;
    }
    if (!buffer_make_room(&c->in, c->proxy->heads)) {
        client_close(c, CLIENT_CUT, false);
        return false;
    }
    size_t room = buffer_room(c->in);
    ssize_t n = conn_read(&c->conn, c->in->data + c->in->end, room);
    if (n == CONN_AGAIN) {
        size_t came = buffer_unread(c->in).n;
        if (came == 0)
            drop_buffer(c);
        if (!(came == 0 ? client_watch(c) : client_watch_for_rest(c, came)))
            client_close(c, CLIENT_CUT, false);
        return false;
    }
    if (n <= 0) {
        client_close(c, CLIENT_CLOSED, false);
        return false;
    }
    c->in->end += (uint32_t)n;
    return true;
}

void client_begin_reading(struct client *c)
{
    if (c->state == CLIENT_READING)
        return;
    if (c->state == CLIENT_IDLE && c->requests > 0) /* the first request's time runs from the accept */
        c->since_ms = clock_ms();
    client_set_state(c, CLIENT_READING);
}

void client_process(struct client *c)
{
    unsigned begun = 0;
    while (c->state == CLIENT_IDLE || c->state == CLIENT_READING) {
        if (begun == REQUESTS_PER_TURN) {
            if (!client_yield(c))
                client_close(c, CLIENT_CUT, false);
            break;
        }
        if (c->in)
            skip_empty_lines(c);
        if (is_there_a_request(c)) {
            client_begin_reading(c);
            if (try_head(c)) {
                begun++;
                continue;
            }
            client_arm_for_head(c);
        }
        if (!client_read_some(c))
            break;
    }
}

bool client_is_idle(struct client *c)
{
    if (c->state != CLIENT_IDLE)
        return false;
    c->conn.may_read = true;
    client_process(c);
    if (c->state == CLIENT_IDLE && conn_has_part(&c->conn)) { /* of a request, most likely */
        client_begin_reading(c);
        client_arm_for_head(c);
    }
    return c->state == CLIENT_IDLE;
}

void client_look(struct client *c)
{
    while (!c->conn.peer_fin || c->conn.watched) {
        if (c->in && buffer_room(c->in) == 0) {
            c->gone |= conn_has_failed(&c->conn); /* what fills the buffer can wait, a reset cannot */
            return;
        }
        if (!c->in && !(c->in = buffer_borrow(c->proxy->heads)))
            return;
        ssize_t n = conn_read(&c->conn, c->in->data + c->in->end, buffer_room(c->in));
        if (n > 0)
            c->in->end += (uint32_t)n;
        if (buffer_unread(c->in).n == 0)
            drop_buffer(c);
        /* A reset behind a FIN is no error to a read: the end of file stays. */
        c->gone |= n == CONN_ERROR || (n == CONN_EOF && conn_has_failed(&c->conn));
        if (n <= 0)
            return;
    }
}

static void await_next_request(struct client *c)
{
    client_set_state(c, CLIENT_IDLE);
    c->since_ms = clock_ms();
    client_arm_for_head(c);
    /* No client is that quick: registering reports at once what is there already, and saves a read. */
    if (!c->in && !client_watch(c))
        client_close(c, CLIENT_CUT, false);
}

void client_exchange_done(struct client *c, enum client_close fate)
{
    assert(!c->exchange && c->state == CLIENT_EXCHANGE);
    if (fate == CLIENT_KEPT && !c->at_boundary)
        fate = CLIENT_CONNECTION_CLOSE;
    if (fate == CLIENT_KEPT)
        await_next_request(c);
    else
        client_end(c, fate);
}

void client_drop_private(struct client *c)
{
    while (c->private_sockets)
        socket_retire(c->private_sockets, RETIRE_PRIVATE);
}
