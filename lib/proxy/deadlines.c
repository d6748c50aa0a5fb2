/* What an exchange and its client have time for: one deadline for all limits, each counted from when it
 * began. */

#include "base/clock.h"
#include "base/minmax.h"
#include "base/units.h"
#include "proxy/exchange.h"
#include "proxy/queue_hold_text.h"

/* Limits are never stored as a time that is due: a reload may change them at any moment. */
static uint64_t due_after(uint64_t since_ms, uint64_t limit)
{
    return limit ? since_ms + limit : 0;
}

/* Of a tunnel it bounds the time to its 200. Where that was sent first, the client may have said nothing for
 * long. */
static uint64_t request_due(const struct exchange *e)
{
    return e->asked.established ? 0 : due_after(e->began_us / 1000, exchange_policy(e)->timeouts.request);
}

static uint64_t pending_due(const struct exchange *e)
{
    return exchange_is_pending(e) ? due_after(stopwatch_since_us(&e->waiter.pending) / 1000,
                                              exchange_policy(e)->timeouts.pending)
                                  : 0;
}

static bool waits_for_origin(const struct exchange *e)
{
    return e->state == EXCHANGE_RELAY && !exchange_waits_for_client(e);
}

static bool waits_for_content(const struct exchange *e)
{
    return e->state == EXCHANGE_RELAY && e->transfer->upload.state == UPLOAD_STARVED;
}

static uint64_t origin_moved_ms(const struct exchange *e)
{
    const struct transfer *t = e->transfer;
    return max64(t->call.moved_ms, t->times.moved_ms);
}

/* timeouts.socket runs from the last byte; not while the client is the one who is waited for. */
static uint64_t silence_due(const struct exchange *e)
{
    return waits_for_origin(e) ? due_after(origin_moved_ms(e), exchange_policy(e)->timeouts.socket) : 0;
}

/* The client takes no bytes (server.timeout), or sends none of its content (server.requestTimeout). */
static uint64_t client_due(const struct exchange *e, enum client_close *reason)
{
    const struct server_options *server = &e->client->proxy->config->server;
    uint64_t take = 0, send = 0;
    if (exchange_waits_for_client(e))
        take = due_after(e->transfer->times.took_ms, server->timeout);
    if (waits_for_content(e))
        send = due_after(e->client->since_ms + e->transfer->times.body_grace_ms +
                             stopwatch_total_us(&e->waiter.waited) / 1000,
                         server->requestTimeout);
    bool is_to_send = send && (!take || send < take);
    *reason = is_to_send ? CLIENT_REQUEST_TIMEOUT : CLIENT_TIMEOUT;
    return is_to_send ? send : take;
}

/* An own answer waits for its client alone. */
static uint64_t origin_due(const struct exchange *e)
{
    if (e->state == EXCHANGE_REPLY)
        return 0;
    uint64_t queue = exchange_has_left_the_queue(e) ? clock_ms() : pending_due(e);
    return timer_sooner(timer_sooner(request_due(e), queue), silence_due(e));
}

/* Of an HTTP/2 connection it is not known whose bytes the kernel has. */
static bool has_own_socket(const struct exchange *e)
{
    return e->transfer->socket && !exchange_is_http2(e);
}

/* Whose limit runs while bytes that were written wait in the kernel. */
struct taker {
    const struct conn *conn; /* NULL: none */
    struct uptake *uptake;
    uint64_t *moved_ms;          /* set when it takes some */
    uint64_t since_ms, limit_ms; /* the limit and what it runs from */
};

static struct taker taker_of(struct exchange *e)
{
    struct transfer *t = e->transfer;
    if (exchange_waits_for_client(e))
        return (struct taker){&e->client->conn, &t->by_client, &t->times.took_ms, t->times.took_ms,
                              e->client->proxy->config->server.timeout};
    if (waits_for_origin(e) && has_own_socket(e))
        return (struct taker){socket_conn(t->socket), &t->by_origin, &t->times.moved_ms, origin_moved_ms(e),
                              exchange_policy(e)->timeouts.socket};
    return (struct taker){.conn = NULL};
}

static uint64_t plan_look(struct exchange *e)
{
    const struct taker t = taker_of(e);
    return t.conn ? uptake_plan(t.uptake, t.since_ms, t.limit_ms) : 0;
}

/* A byte that leaves the kernel for a slow peer moves, too. */
static void look(struct exchange *e)
{
    const struct taker t = taker_of(e);
    if (t.conn && uptake_look(t.uptake, t.conn, t.since_ms, t.limit_ms))
        *t.moved_ms = clock_ms();
}

void exchange_arm(struct exchange *e)
{
    enum client_close reason;
    client_set_deadline(e->client,
                        timer_sooner(timer_sooner(client_due(e, &reason), origin_due(e)), plan_look(e)));
}

static bool is_past(uint64_t due)
{
    return due && clock_ms() >= due;
}

static const char *who_is_late(const struct exchange *e)
{
    return waits_for_content(e)
               ? "the client has not sent all of its content, and the service has not answered"
               : "the service is slow, or the limit too short";
}

static void on_silence(struct exchange *e)
{
    const struct socket *s = e->transfer->socket;
    char text[UNITS_TEXT_SIZE];
    const char *limit = units_format_time(exchange_policy(e)->timeouts.socket, text);
    if (e->transfer->upload.state == UPLOAD_BLOCKED)
        exchange_fail(e, FAULT_WRITE_TIMEOUT, RETIRE_SOCKET_TIMEOUT,
                      "the origin took no byte of the request for %s (timeouts.socket)", limit);
    else if (e->transfer->attempts.was_free && !e->transfer->call.first_byte_us && !waits_for_content(e))
        exchange_fail(
            e, FAULT_READ_TIMEOUT, RETIRE_SOCKET_TIMEOUT,
            "no byte came or went for %s (timeouts.socket) on a connection that had been idle for %.1f s: the origin is "
            "slow, or a firewall or NAT has dropped the connection; then set timeouts.free below what that allows",
            limit, (double)(e->transfer->times.granted_us - s->idle_since_ms * 1000) / 1e6);
    else
        exchange_fail(e, FAULT_READ_TIMEOUT, RETIRE_SOCKET_TIMEOUT,
                      "no byte came or went for %s (timeouts.socket): %s", limit, who_is_late(e));
}

static void on_pending_timeout(struct exchange *e)
{
    char limit[UNITS_TEXT_SIZE], why[QUEUE_HOLD_TEXT_SIZE];
    exchange_fail(e, FAULT_NO_PLACE, RETIRE_NONE, "waited %s for a connection (timeouts.pending): %s",
                  units_format_time(exchange_policy(e)->timeouts.pending, limit),
                  queue_hold_text(e->waiter.origin, why));
}

static uint64_t held_ms(const struct exchange *e)
{
    const struct stopwatch *pending = &e->waiter.pending;
    return (exchange_is_pending(e) ? clock_us() - stopwatch_since_us(pending) : stopwatch_total_us(pending)) /
           1000;
}

/* Why it waited for so long, and whether that alone made it late. */
static const char *why_held(const struct exchange *e, bool mostly, char out[QUEUE_HOLD_TEXT_SIZE])
{
    char why[QUEUE_HOLD_TEXT_SIZE];
    const char *name = e->waiter.origin->agent->name;
    if (exchange_is_pending(e))
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, ": %.200s", queue_hold_text(e->waiter.origin, why));
    else if (mostly)
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, "; carpoolctl explain %s says why", name);
    else
        snprintf(out, QUEUE_HOLD_TEXT_SIZE, ": %s; carpoolctl explain %s says why it waited", who_is_late(e),
                 name);
    return out;
}

/* A wait of a tenth is named: without it, the request might have been in time. */
static void on_request_timeout(struct exchange *e)
{
    char limit[UNITS_TEXT_SIZE], why[QUEUE_HOLD_TEXT_SIZE];
    uint64_t limit_ms = exchange_policy(e)->timeouts.request, held = held_ms(e);
    const char *what = e->asked.connect ? "tunnel" : "complete response";
    units_format_time(limit_ms, limit);
    if (held == 0 || held < limit_ms / 10)
        exchange_fail(e, FAULT_RESPONSE_TIMEOUT, RETIRE_REQUEST_TIMEOUT,
                      "no %s within %s (timeouts.request): %s", what, limit, who_is_late(e));
    else
        exchange_fail(
            e, FAULT_RESPONSE_TIMEOUT, RETIRE_REQUEST_TIMEOUT,
            "no %s within %s (timeouts.request), of which the request waited %.*f s for a connection%s", what,
            limit, held < 100 ? 2 : 1, (double)held / 1e3, why_held(e, held >= limit_ms / 2, why));
}

static void act_on_time(struct exchange *e)
{
    if (is_past(request_due(e)))
        on_request_timeout(e);
    else if (exchange_has_left_the_queue(e))
        exchange_client_fin(e);
    else if (is_past(pending_due(e)))
        on_pending_timeout(e);
    else if (is_past(silence_due(e)))
        on_silence(e);
    else
        exchange_arm(e);
}

static void on_slow_client(struct exchange *e, enum client_close reason)
{
    if (reason != CLIENT_REQUEST_TIMEOUT || e->transfer->download.state != DOWNLOAD_HEAD)
        exchange_cut(e, reason);
    else
        exchange_fail(e, FAULT_CLIENT_TOO_SLOW, RETIRE_CLIENT_ABORTED,
                      "the request's body did not come within server.requestTimeout");
}

void exchange_on_deadline(struct exchange *e)
{
    struct client *c = e->client;
    enum client_close reason;
    look(e);
    if (is_past(client_due(e, &reason)))
        on_slow_client(e, reason);
    else if (e->state == EXCHANGE_REPLY)
        exchange_arm(e);
    else
        act_on_time(e);
    exchange_run(e, 0);
    client_process(c);
}
