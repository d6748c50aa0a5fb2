#include "pool/http2.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/units.h"
#include "io/connect_error.h"
#include "io/tls.h"
#include "pool/pool.h"
#include "pool/protocol.h"
#include "pool/queue.h"
#include "wire/h2.h"

/* Connections that end before they let any exchange begin are made again so often. */
#define STILLBORN_MOST 3

static struct h2_options options_of(const struct origin *o)
{
    const struct agent_policy *policy = o->agent->policy;
    return (struct h2_options){
        .max_streams = policy->h2Options.maxConcurrentStreams,
        .max_stream_window = (uint32_t)policy->h2Options.maxStreamWindow,
        .ping_interval_ms = policy->h2Options.pingInterval,
        .ping_timeout_ms = policy->h2Options.pingTimeout,
        .answers_ping = histogram_count(&o->stats.ping) > 0,
    };
}

bool http2_greet(struct socket *s)
{
    uint64_t limit = s->origin->agent->policy->timeouts.connect;
    const struct h2_options o = options_of(s->origin);
    if (!h2_open(&s->wire, &o))
        return false;
    s->greeted_us = clock_us();
    timer_set_at(&s->idle, limit ? s->began_ms + limit : 0);
    return true;
}

void http2_options_changed(struct socket *s)
{
    const struct h2_options o = options_of(s->origin);
    if (!h2_is(&s->wire))
        return; /* pool->identify said so */
    h2_options_changed(&s->wire, &o);
}

bool http2_takes_exchange(struct socket *s)
{
    if (!h2_is(&s->wire) || wire_room(&s->wire) > 0)
        return true;
    socket_untake(s);
    socket_set_capacity(s, h2_capacity(&s->wire));
    return false;
}

static void fail(struct socket *s, enum connect_error error, const char *text)
{
    struct connect_result r = {.error = error};
    snprintf(r.text, sizeof r.text, "%s", text);
    socket_connect_failed(s, &r);
}

void http2_on_timeout(struct socket *s)
{
    char text[128], limit[UNITS_TEXT_SIZE];
    snprintf(text, sizeof text,
             "connected, but the SETTINGS of HTTP/2 did not come within %s (timeouts.connect)",
             units_format_time(s->origin->agent->policy->timeouts.connect, limit));
    struct pool *pool = s->origin->agent->pool;
    fail(s, CONNECT_TIMEOUT, text);
    pool_notify(pool);
}

/* In TLS 1.3 a server's word on our certificate comes after the handshake (RFC 8446 4.4.2.4). */
static void fail_ended(struct socket *s)
{
    char text[256];
    enum connect_error error = connect_error_of_tls(tls_failure(&s->wire.conn, text, sizeof text));
    fail(s, error,
         error == CONNECT_TERMINATED ? "the origin ended the connection before its SETTINGS of HTTP/2 came"
                                     : text);
}

/* It ended before its SETTINGS came. */
static void on_greeting_failed(struct socket *s)
{
    const struct call_failure *f = &s->wire.loop->failure;
    switch (f->error) {
    case CALL_ERROR_MALFORMED: fail(s, CONNECT_NOT_HTTP2, f->text); return;
    case CALL_ERROR_NO_MEMORY: fail(s, CONNECT_NO_RESOURCES, "out of memory for another connection"); return;
    default: fail_ended(s); return;
    }
}

void http2_on_room(struct wire *w)
{
    struct socket *s = socket_of(w);
    struct pool *pool = s->origin->agent->pool;
    if (s->state == SOCKET_CONNECTING)
        socket_established(s, PROTOCOL_HTTP2, h2_capacity(w));
    else
        socket_set_capacity(s, h2_capacity(w));
    pool_notify(pool);
}

/* It never let an exchange begin. */
static bool is_stillborn(const struct socket *s)
{
    return s->exchanges == 0 && s->capacity == 0;
}

/* One has ended: those who wait would wait for one after the other. */
static void note_stillborn(struct origin *o, enum retire_reason reason)
{
    char text[128];
    if (++o->stillborn <= STILLBORN_MOST)
        return;
    snprintf(text, sizeof text, "the origin ends each connection before it lets a request begin (%s)",
             retire_word(reason));
    queue_fail_all(o, CONNECT_TERMINATED, text);
    o->stillborn = 0; /* those who come later have tries of their own */
}

static void end(struct socket *s, enum retire_reason reason, void (*how)(struct socket *, enum retire_reason))
{
    struct origin *o = s->origin;
    bool stillborn = is_stillborn(s);
    how(s, reason);
    if (stillborn)
        note_stillborn(o, reason);
}

void http2_on_draining(struct wire *w, enum retire_reason reason)
{
    struct socket *s = socket_of(w);
    struct origin *o = s->origin;
    bool must_be_http1 = h2_must_be_http1(w);
    if (s->state != SOCKET_CONNECTING) /* else it ends at once */
        end(s, reason, reason == RETIRE_GOAWAY ? socket_send_away : socket_drain);
    if (must_be_http1)
        protocol_require_http1(o);
    pool_notify(o->agent->pool);
}

void http2_on_closed(struct wire *w, enum retire_reason reason)
{
    struct socket *s = socket_of(w);
    struct pool *pool = s->origin->agent->pool;
    if (s->state == SOCKET_CONNECTING)
        on_greeting_failed(s);
    else
        end(s, reason, socket_retire);
    pool_notify(pool);
}

/* At a time. */
static uint32_t streams_of(const struct socket *s)
{
    return s->origin->agent->policy->keepAlive ? h2_max_streams(&s->wire) : 1;
}

static void add_list(struct http2_figures *f, const struct socket_list *list, bool takes_new)
{
    const struct socket *s;
    TAILQ_FOREACH (s, list, link) {
        if (s->protocol != PROTOCOL_HTTP2)
            continue;
        f->streams += s->in_use - s->unbegun;
        f->active += s->state == SOCKET_ACTIVE || s->state == SOCKET_ROOMY;
        f->max_streams += takes_new && h2_is(&s->wire) ? streams_of(s) : 0;
    }
}

void http2_figures_add(struct http2_figures *f, const struct origin *o)
{
    if (o->offer == OFFER_HTTP1 && o->protocol != PROTOCOL_HTTP2 &&
        o->draining_count + o->sent_away_count == 0)
        return;
    add_list(f, &o->active, true);
    add_list(f, &o->roomy, true);
    add_list(f, &o->free, true);
    add_list(f, &o->draining, false);
    add_list(f, &o->sent_away, false);
    f->draining += o->draining_count + o->sent_away_count;
}

uint32_t http2_streams_each(const struct origin *o)
{
    const struct socket_list *const lists[] = {&o->active, &o->roomy, &o->free, NULL};
    const struct socket *s;
    for (unsigned i = 0; lists[i]; i++)
        TAILQ_FOREACH (s, lists[i], link)
            if (s->protocol == PROTOCOL_HTTP2 && h2_is(&s->wire))
                return streams_of(s);
    return 0;
}

static void count(uint64_t counts[H2_ERROR_COUNT], uint64_t code)
{
    counts[code < H2_ERROR_COUNT ? code : H2_ERROR_COUNT - 1]++;
}

void http2_on_note(struct wire *w, enum wire_note what, uint64_t value)
{
    struct origin_stats *stats = &socket_of(w)->origin->stats;
    switch (what) {
    case WIRE_RESET_BY_ORIGIN: count(stats->resets_by_origin, value); return;
    case WIRE_RESET_BY_CARPOOL: count(stats->resets_by_carpool, value); return;
    case WIRE_GOAWAY: count(stats->goaways, value); return;
    case WIRE_PING: histogram_add(&stats->ping, value); return;
    }
}
