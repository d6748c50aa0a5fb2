#include "pool/protocol.h"

#include "base/clock.h"
#include "base/minmax.h"
#include "pool/place.h"
#include "pool/pool.h"
#include "pool/queue.h"

/* A lost SYN must not cost all who wait a second. */
#define SECOND_PROBE_MS 300
/* What lets no request begin may let some begin in a moment. */
#define NO_ROOM_MS 1000
/* More than ever wait. */
#define UNKNOWN_CAPACITY (1u << 20)
/* RFC 9113 6.5.2 recommends no fewer, and some peers take offence at more before they have said anything. */
#define FIRST_HTTP2_CAPACITY 100

/* How long an origin's word that it requires HTTP/1.1 is remembered. */
#define HTTP1_MS (10 * 60 * 1000)

static bool is_probing(const struct origin *o)
{
    return o->offer == OFFER_BOTH && o->protocol == PROTOCOL_UNKNOWN;
}

static uint32_t expected_capacity(const struct origin *o)
{
    const struct agent_policy *policy = o->agent->policy;
    if (o->offer == OFFER_HTTP1)
        return 1;
    switch (o->protocol) {
    case PROTOCOL_UNKNOWN: return o->offer == OFFER_BOTH ? UNKNOWN_CAPACITY : FIRST_HTTP2_CAPACITY;
    case PROTOCOL_HTTP1: return 1;
    case PROTOCOL_HTTP2: break;
    }
    uint32_t most = policy->keepAlive ? policy->maxRequestsPerSocket : 1;
    return min32(o->http2_capacity, most);
}

/* Of those that are being opened, too. */
static void update_expected(struct origin *o)
{
    uint32_t expected = expected_capacity(o);
    if (o->expected_capacity == expected)
        return;
    o->expected_capacity = expected;
    o->connecting_places = 0;
    struct socket *s;
    TAILQ_FOREACH (s, &o->connecting, link) {
        s->capacity = s->http1_only ? 1 : expected;
        if (!s->owner)
            o->connecting_places += s->capacity;
    }
}

void protocol_offer(struct origin *o, enum protocol_offer offer)
{
    if (o->offer != offer)
        o->protocol = PROTOCOL_UNKNOWN;
    o->offer = offer;
    update_expected(o);
}

static enum protocol_offer configured_offer(const struct origin *o)
{
    const struct agent_policy *policy = o->agent->policy;
    if (o->kind == ORIGIN_HTTP && !o->plan.parent && policy->h2Options.useH2c)
        return OFFER_HTTP2;
    return o->plan.tls && policy->allowH2 ? OFFER_BOTH : OFFER_HTTP1;
}

bool protocol_may_be_http2(const struct origin *o)
{
    return configured_offer(o) != OFFER_HTTP1;
}

void protocol_update(struct origin *o)
{
    if (o->http1_until_ms && clock_ms() >= o->http1_until_ms)
        o->http1_until_ms = 0;
    enum protocol_offer offer = o->http1_until_ms == 0 ? configured_offer(o) : OFFER_HTTP1;
    o->plan.offer_h2 = offer == OFFER_BOTH;
    o->plan.speaks_h2 = offer == OFFER_HTTP2;
    protocol_offer(o, offer);
}

static void drain_http2(struct socket_list *list)
{
    struct socket *s, *next;
    TAILQ_FOREACH_SAFE (s, list, link, next)
        if (s->protocol == PROTOCOL_HTTP2)
            socket_drain(s, RETIRE_DRAINED);
}

/* Those that are being opened may turn out to be of HTTP/2: an owner would be refused there once. */
static void give_up_connecting(struct origin *o)
{
    struct socket *s, *next;
    TAILQ_FOREACH_SAFE (s, &o->connecting, link, next)
        if (!s->owner && (s->plan.offer_h2 || s->plan.speaks_h2))
            socket_retire(s, RETIRE_DRAINED);
}

void protocol_require_http1(struct origin *o)
{
    o->http1_until_ms = clock_ms() + HTTP1_MS;
    protocol_update(o);
    give_up_connecting(o);
    drain_http2(&o->free);
    drain_http2(&o->roomy);
    drain_http2(&o->active);
}

void protocol_learn(struct origin *o, enum protocol protocol, uint32_t capacity)
{
    o->protocol = protocol;
    /* None for now is no limit to go by. */
    if (protocol == PROTOCOL_HTTP2 && capacity > 0)
        o->http2_capacity = capacity;
    update_expected(o);
}

static bool is_slow(const struct origin *o)
{
    return is_probing(o) && o->connecting_count - o->owned_count == 1 && o->waiting_count >= 2;
}

/* Requests wait, and the only connection lets none begin: two that say the same say enough. */
static bool lets_none_begin(const struct origin *o)
{
    return o->blocked_count > 0 && origin_sockets(o) == 1 && o->free_count == 1 &&
           TAILQ_FIRST(&o->free)->capacity == 0 && queue_held_by(o) == HELD_BY_STREAMS;
}

static void on_second_probe(void *ctx)
{
    struct origin *o = ctx;
    if ((is_slow(o) || lets_none_begin(o)) && origin_below_max(o) && agent_make_room(o->agent, o) &&
        socket_connect(o, NULL, OPENED_FOR_CONCURRENCY))
        queue_balance(o);
    if (o->blocked_count > 0)
        protocol_note_blocked(o);
}

void protocol_note_blocked(struct origin *o)
{
    if (o->protocol == PROTOCOL_HTTP2 && !timer_is_set(&o->second_probe))
        timer_set(&o->second_probe, NO_ROOM_MS);
}

void protocol_note_connecting(struct origin *o)
{
    if (is_probing(o) && o->connecting_count == 1)
        timer_set(&o->second_probe, SECOND_PROBE_MS);
}

void protocol_init(struct origin *o)
{
    o->expected_capacity = 1;
    o->http2_capacity = FIRST_HTTP2_CAPACITY;
    timer_init(&o->second_probe, o->agent->pool->base, on_second_probe, o);
}

void protocol_release(struct origin *o)
{
    timer_release(&o->second_probe);
}
