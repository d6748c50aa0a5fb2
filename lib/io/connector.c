#include "io/connector_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "config/config.h"
#include "io/address_memory.h"
#include "io/connect_error.h"

void connector_note(struct connector *c, enum connect_error error, const char *format, ...)
{
    va_list args;

    if (connect_error_weight(error) <= connect_error_weight(c->result.error))
        return;
    c->result.error = error;
    va_start(args, format);
    vsnprintf(c->result.text, sizeof c->result.text, format, args);
    va_end(args);
}

static void stop_everything(struct connector *c)
{
    names_cancel(c);
    for (uint32_t i = 0; i < c->attempt_count; i++)
        race_close(&c->attempts[i]);
    timer_release(&c->deadline);
    timer_release(&c->pace);
    timer_release(&c->turn);
    event_del(&c->ended);
}

static void destroy(struct connector *c)
{
    free(c->lookups);
    free(c);
}

static void call_done(evutil_socket_t fd, short what, void *arg)
{
    struct connector *c = arg;
    void (*done)(void *, struct connect_result *) = c->done;
    void *ctx = c->ctx;
    struct connect_result result = c->result;

    (void)fd;
    (void)what;
    destroy(c);
    done(ctx, &result);
}

void connector_end(struct connector *c)
{
    struct connect_result *r = &c->result;
    size_t n = strlen(r->text);

    stop_everything(c);
    if (r->error == CONNECT_OK)
        r->text[0] = '\0';
    if (r->error != CONNECT_OK && c->failed > 1)
        snprintf(r->text + n, sizeof r->text - n, " (and %u more address%s failed)", c->failed - 1,
                 c->failed > 2 ? "es" : "");
    clock_update(); /* the last step of a handshake takes a while */
    r->took_us = clock_us() - c->began_us;
    c->state = CONNECTOR_ENDED;
    event_active(&c->ended, EV_TIMEOUT, 0);
}

void connector_succeed(struct connector *c, struct attempt *a)
{
    address_forget_failure(c->plan.memory, &a->address);
    c->result.conn = a->conn;
    a->conn.fd = -1;
    race_close(a);
    c->result.error = CONNECT_OK;
    c->result.peer = a->address;
    connector_end(c);
}

const char *connector_peer(const struct connector *c, const struct attempt *a, char out[CONNECTOR_PEER_SIZE])
{
    char address[ADDRESS_TEXT_SIZE];

    address_format(&a->address, address);
    if (!c->plan.parent)
        snprintf(out, CONNECTOR_PEER_SIZE, "%s", address);
    else if (a->state == ATTEMPT_HANDSHAKE)
        snprintf(out, CONNECTOR_PEER_SIZE, "%s:%u, through the parent proxy %s", c->plan.host, c->plan.port,
                 address);
    else
        snprintf(out, CONNECTOR_PEER_SIZE, "the parent proxy %s", address);
    return out;
}

static const struct attempt *oldest_under_way(const struct connector *c)
{
    const struct attempt *oldest = NULL;

    for (uint32_t i = 0; i < c->attempt_count; i++) {
        const struct attempt *a = &c->attempts[i];
        if (attempt_is_under_way(a) && (!oldest || a->began_ms < oldest->began_ms))
            oldest = a;
    }
    return oldest;
}

static const char *step(const struct attempt *a)
{
    return a->state == ATTEMPT_PARENT      ? "asked CONNECT of"
           : a->state == ATTEMPT_HANDSHAKE ? "TLS handshake with"
                                           : "cannot connect to";
}

static const char *advice_on_silence(const struct attempt *a)
{
    return a->state == ATTEMPT_PARENT      ? ""
           : a->state == ATTEMPT_HANDSHAKE ? "; does it speak TLS on this port?"
                                           : "; is the host up, and does a firewall drop the packets?";
}

static void deadline_passed(void *ctx)
{
    struct connector *c = ctx;
    char text[CONNECTOR_PEER_SIZE], units[UNITS_TEXT_SIZE];
    const char *limit = units_format_time(c->plan.timeout_ms, units);
    const struct attempt *slowest = oldest_under_way(c);

    race_remember_slow(c, clock_ms(), 0);
    if (slowest)
        connector_note(c, CONNECT_TIMEOUT, "%s %s: no answer within %s (timeouts.connect)%s", step(slowest),
                       connector_peer(c, slowest, text), limit, advice_on_silence(slowest));
    else if (c->queued)
        connector_note(
            c, CONNECT_TIMEOUT,
            "cannot connect to %s: its queue of connections stayed full for %s (timeouts.connect); the server there accepts none",
            address_format(&c->queued->address, text), limit);
    else if (names_unanswered(c))
        connector_note(c, CONNECT_DNS_TIMEOUT,
                       "cannot resolve %s: no answer within %s (timeouts.connect); do the DNS servers of "
                       "/etc/resolv.conf work?",
                       names_unanswered(c), limit);
    else
        connector_note(c, CONNECT_TIMEOUT, "no connection within %s (timeouts.connect)", limit);
    connector_end(c);
}

static void pace_passed(void *ctx)
{
    race_try_next(ctx);
}

static void turn_came(void *ctx)
{
    struct connector *c = ctx;

    for (uint32_t i = 0; i < c->attempt_count && c->state != CONNECTOR_ENDED; i++)
        if (c->attempts[i].state == ATTEMPT_HANDSHAKE)
            handshake_go_on(&c->attempts[i]);
}

static struct connector *connector_new(const struct connect_plan *plan)
{
    const struct address_list *entries = plan->entries;
    uint32_t names = 0, literals = 0, room;
    struct connector *c;

    for (uint32_t i = 0; entries && i < entries->count; i++) {
        names += entries->items[i].is_name;
        literals += !entries->items[i].is_name;
    }
    if (names + literals == 0)
        names = 1;
    room = literals + names * 2 * RESOLVER_MAX_ADDRESSES;
    if (room > ATTEMPTS_MAX)
        room = ATTEMPTS_MAX;
    c = calloc(1, sizeof *c + room * sizeof c->attempts[0]);
    if (!c)
        return NULL;
    c->attempt_room = room;
    c->lookups = calloc(names ? names : 1, sizeof c->lookups[0]);
    if (c->lookups)
        return c;
    free(c);
    return NULL;
}

struct connector *connector_start(struct event_base *base, struct resolver *resolver,
                                  const struct connect_plan *plan,
                                  void (*done)(void *ctx, struct connect_result *r), void *ctx)
{
    struct connector *c = connector_new(plan);

    assert(plan->memory && (!plan->tls || plan->servername));
    if (!c)
        return NULL;
    c->base = base;
    c->resolver = resolver;
    c->plan = *plan;
    c->done = done;
    c->ctx = ctx;
    clock_update();
    c->began_us = clock_us();
    c->result.conn.fd = -1;
    timer_init(&c->deadline, base, deadline_passed, c);
    timer_init(&c->pace, base, pace_passed, c);
    timer_init(&c->turn, base, turn_came, c);
    event_assign(&c->ended, base, -1, 0, call_done, c);
    timer_set(&c->deadline, plan->timeout_ms);
    names_gather(c);
    names_ask(c);
    return c;
}

void connector_set_timeout(struct connector *c, uint64_t timeout_ms)
{
    if (c->state == CONNECTOR_ENDED)
        return;
    c->plan.timeout_ms = timeout_ms;
    timer_set_at(&c->deadline, timeout_ms ? c->began_us / 1000 + timeout_ms : 0);
}

void connector_cancel(struct connector *c)
{
    if (!c)
        return;
    stop_everything(c);
    conn_close(&c->result.conn, false);
    destroy(c);
}
