#include "pool/protocol.h"

#include "pool/pool.h"

/* A lost SYN must not cost all who wait a second. */
#define SECOND_PROBE_MS 300
/* More than ever wait. */
#define UNKNOWN_CAPACITY (1u << 20)
/* RFC 9113 6.5.2 recommends no fewer, and some peers take offence at more before they have said anything. */
#define FIRST_HTTP2_CAPACITY 100

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
    return o->http2_capacity < most ? o->http2_capacity : most;
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
        s->capacity = expected;
        if (!s->owner)
            o->connecting_places += expected;
    }
}

void protocol_offer(struct origin *o, enum protocol_offer offer)
{
    if (o->offer != offer)
        o->protocol = PROTOCOL_UNKNOWN;
    o->offer = offer;
    update_expected(o);
}

void protocol_learn(struct origin *o, enum protocol protocol, uint32_t capacity)
{
    o->protocol = protocol;
    /* None for now is no limit to go by. */
    if (protocol == PROTOCOL_HTTP2 && capacity > 0)
        o->http2_capacity = capacity;
    update_expected(o);
}

static void on_second_probe(void *ctx)
{
    struct origin *o = ctx;
    if (is_probing(o) && o->connecting_count - o->owned_count == 1 && o->waiting_count >= 2 &&
        origin_below_max(o) && agent_make_room(o->agent, o))
        socket_connect(o, NULL, OPENED_FOR_CONCURRENCY);
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
