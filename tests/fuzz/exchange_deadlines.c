/* Nothing outlasts the limits of the present policy, whichever policy it began under. */

#include "base/clock.h"
#include "exchange_world.h"
#include "fuzz.h"
#include "pool/agent.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/tunnel.h"

/* The clock moves a little while Carpool looks at it, without that a timer fires. */
#define SLACK_MS 100

static void check(uint64_t since_ms, uint64_t limit)
{
    fuzz_assert(limit == 0 || clock_ms() < since_ms + limit + SLACK_MS);
}

static void check_exchange(const struct exchange *e)
{
    const struct agent_timeouts *t = &e->waiter.origin->agent->policy->timeouts;

    if (!e->asked.connect)
        check(e->began_us / 1000, t->request);
    if (e->waiter.state == WAITER_BLOCKED)
        check(stopwatch_since_us(&e->waiter.pending) / 1000, t->pending);
    if (e->state == EXCHANGE_RELAY && !exchange_waits_for_client(e))
        check(e->transfer->call.moved_ms > e->transfer->times.moved_ms ? e->transfer->call.moved_ms
                                                                       : e->transfer->times.moved_ms,
              t->socket);
}

static void check_client(const struct client *c)
{
    const struct server_options *server = &c->proxy->config->server;
    bool kept = c->state == CLIENT_IDLE && c->requests > 0;
    /* Who still takes a response puts its end off, for server.timeout at most. */
    uint64_t keep_alive = server->keepAliveTimeout && server->timeout
                              ? server->keepAliveTimeout + server->keepAliveTimeoutBuffer + server->timeout
                              : 0;

    fuzz_assert(!deadline_is_set(&c->deadline) || c->deadline.place);

    if (kept)
        check(c->since_ms, keep_alive);
    else if (c->state == CLIENT_IDLE || c->state == CLIENT_READING)
        check(c->since_ms, server->headersTimeout);
    else if (c->exchange && exchange_waits_for_client(c->exchange))
        check(c->exchange->transfer->times.took_ms, server->timeout);
    else if (c->exchange && c->exchange->state == EXCHANGE_RELAY &&
             c->exchange->transfer->upload.state == UPLOAD_STARVED && server->requestTimeout)
        check(c->since_ms, server->requestTimeout + c->exchange->transfer->times.body_grace_ms +
                               stopwatch_total_us(&c->exchange->waiter.waited) / 1000);
}

/* What is given to an upload is time in which it was not read, each moment once. */
static void check_grace(const struct exchange *e)
{
    uint64_t blocked = e->transfer ? e->transfer->times.body_grace_ms : 0;
    uint64_t waited = e->waiter.state == WAITER_IDLE ? stopwatch_total_us(&e->waiter.waited) : 0;

    fuzz_assert(blocked + waited / 1000 <= clock_ms() - e->client->since_ms);
}

static void check_free(const struct socket *s)
{
    const struct agent_policy *policy = s->origin->agent->policy;

    check(s->idle_since_ms, policy->timeouts.free);
    if (s->has_hint_timeout && s->hint_timeout_ms > policy->agentKeepAliveTimeoutBuffer)
        check(s->idle_since_ms, s->hint_timeout_ms - policy->agentKeepAliveTimeoutBuffer);
}

void world_check_deadlines(void)
{
    const struct client *c;
    const struct socket *s;
    const struct tunnel *t;

    TAILQ_FOREACH (t, &world_rig.proxy->tunnels, link)
        if (t->state == TUNNEL_OPEN)
            check(t->moved_ms, t->origin->agent->policy->timeouts.tunnel);
    TAILQ_FOREACH (c, &world_rig.proxy->clients, link) {
        check_client(c);
        if (c->exchange && c->exchange->state != EXCHANGE_REPLY)
            check_exchange(c->exchange);
        if (c->exchange)
            check_grace(c->exchange);
    }
    TAILQ_FOREACH (s, &proxy_rig_agent(&world_rig)->free_lru, lru)
        check_free(s);
}
