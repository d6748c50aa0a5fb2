#include "admin/diagnosis_input.h"

#include "base/clock.h"
#include "base/minmax.h"
#include "ca/signer.h"
#include "pool/http2.h"
#include "proxy/caller.h"

bool origin_is_saturated(const struct origin *o)
{
    const struct agent *a = o->agent;

    return o->blocked_count > 0 && !a->paused &&
           (origin_sockets(o) >= a->policy->maxSockets || a->total >= a->policy->maxTotalSockets ||
            o->protocol == PROTOCOL_HTTP2);
}

void forgotten_stats(const struct agent *a, struct origin_stats *out)
{
    *out = (struct origin_stats){0};
    for (const struct agent *share = a; share; share = share->next_share)
        origin_stats_add(out, &share->forgotten);
}

/* What was held in a pause was not held by a limit. */
static uint64_t saturated_ms(const struct track *t, const struct origin *o)
{
    uint64_t watched = t && t->saturated_since_ms ? clock_ms() - t->saturated_since_ms : 0;
    uint64_t since_pause = (clock_us() - o->agent->resumed_us) / 1000;
    uint64_t oldest = origin_oldest_pending_us(o) / 1000;

    if (!origin_is_saturated(o))
        return 0;
    return min64(max64(watched, oldest), since_pause);
}

/* The one that has more than half of the blocked requests is left when one of theirs is taken off for each of
 * others'. */
static void find_heaviest(const struct origin *o, struct diagnosis_input *in)
{
    const struct caller *most = NULL;
    const struct waiter *p;
    uint32_t lead = 0, n = 0;

    TAILQ_FOREACH (p, &o->blocked, link) {
        if (lead == 0)
            most = waiter_caller(p);
        lead = waiter_caller(p) == most ? lead + 1 : lead - 1;
    }
    TAILQ_FOREACH (p, &o->blocked, link)
        n += waiter_caller(p) == most;
    if (!most || 2 * n <= o->blocked_count)
        return;
    in->heaviest = most->name;
    in->heaviest_pending = n;
}

static void take_changes(const struct figures *base, const struct figures *now, struct diagnosis_input *in)
{
    in->requests = max64(now->requests - base->requests, now->ended - base->ended);
    in->reused = now->reused - base->reused;
    in->opened = now->opened - base->opened;
    in->reused_errors = now->reused_errors - base->reused_errors;
    in->dead_errors = now->dead_errors - base->dead_errors;
    in->texts = now->texts - base->texts;
    in->texts_plain = now->texts_plain - base->texts_plain;
    in->repaired = now->repaired - base->repaired;
    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        in->errors[i] = now->errors[i] - base->errors[i];
    in->refused = in->errors[PROXY_ERROR_LIMIT];
    in->timed_out_waiting = now->timed_out_waiting - base->timed_out_waiting;
    /* One whose client has not taken the answer yet is no error yet. */
    in->queue_full = min64(now->queue_full - base->queue_full, in->refused);
    for (unsigned i = 0; i < REPAIR_COUNT; i++)
        in->repairs[i] = now->repairs[i] - base->repairs[i];
    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        in->retired[i] = now->retired[i] - base->retired[i];
    in->idle_goaways = now->idle_goaways - base->idle_goaways;
    uint64_t closed = in->retired[RETIRE_PEER_CLOSED] + in->idle_goaways;
    if (closed > 0)
        in->peer_closed_idle_ms = (now->peer_closed_idle_ms - base->peer_closed_idle_ms) / closed;
}

static enum held_by held_most(const struct figures *base, const struct figures *now)
{
    unsigned most = 0;

    for (unsigned i = 1; i < HELD_BY_COUNT; i++)
        if (now->held[i] - base->held[i] > now->held[most] - base->held[most])
            most = i;
    return (enum held_by)most;
}

void describe_origin(const struct track *tracks, const struct origin *o, struct diagnosis_input *in)
{
    static const struct figures none;
    const struct agent *a = o->agent;
    const struct track *t = track_find_origin(tracks, o);
    const struct figures *base = t ? &t->base : &none;
    struct figures now;

    figures_take(&o->stats, &now);
    if (t && !track_limits_hold(t, o))
        base = &now; /* reloaded since the last look */
    in->paused = a->paused;
    in->pending = o->blocked_count;
    in->takes_turns = a->policy->queue == QUEUE_FAIR;
    find_heaviest(o, in);
    in->held_by = o->blocked_count > 0 ? queue_held_by(o) : held_most(base, &now);
    in->in_flight = o->in_flight;
    in->streams_each = http2_streams_each(o);
    in->sockets = origin_sockets(o);
    in->connecting = o->connecting_count;
    in->agent_sockets = a->total;
    in->max_sockets = a->policy->maxSockets;
    in->max_total = a->policy->maxTotalSockets;
    in->max_pending = a->policy->maxPendingRequests;
    in->max_free = a->policy->maxFreeSockets;
    in->max_requests_per_socket = a->policy->maxRequestsPerSocket;
    in->keep_alive = a->policy->keepAlive;
    in->learned_ms = origin_learned_ms(o);
    in->origin_idle_ms = o->learned.least_ms;
    in->pending_limit_ms = a->policy->timeouts.pending;
    in->connect_failure = o->connect_failure;
    in->connect_failed_wall_ms = o->connect_failed_wall_ms;
    in->connects_again = o->connect_failure && o->stats.opened > o->opened_before_failure;
    in->by_parent = o->plan.parent;
    in->saturated_ms = saturated_ms(t, o);
    take_changes(base, &now, in);
}

static bool has_pooling_upstream(const struct config *c)
{
    for (uint32_t i = 0; i < c->upstream_count; i++)
        if (c->upstreams[i].policy.connect == CONNECT_IS_POOL)
            return true;
    return false;
}

/* Where no agent needs the CA yet, the agent "default" says it. */
static bool speaks_of_ca(const struct config *c, const struct agent *a)
{
    return a->policy->connect == CONNECT_IS_POOL || (!a->upstream && !has_pooling_upstream(c));
}

static void describe_distrust(const struct admin_daemon *daemon, const struct agent *a,
                              struct diagnosis_input *in)
{
    if (a->policy->connect != CONNECT_IS_POOL)
        return; /* nothing is to be trusted any more */
    for (const struct agent *share = a; share; share = share->next_share) {
        uint32_t n = recent_count(&share->distrusts, clock_ms());

        in->distrusts += n;
        if (n > 0)
            in->distrusting = share->distrusting;
    }
    if (in->distrusts > 0)
        daemon->admin_path(daemon->ctx, "/ca.pem", in->ca_path);
}

static void describe_ca(const struct config *c, const struct agent *a, struct diagnosis_input *in)
{
    const struct connect_tls *t = &c->connectTls;

    if (t->signer && speaks_of_ca(c, a)) {
        in->ca_file = t->cert;
        in->ca_ends_s = signer_ca(t->signer)->not_after;
    }
}

void describe_agent(const struct admin_daemon *daemon, const struct track *tracks, const struct agent *a,
                    struct diagnosis_input *in)
{
    const struct tls_options *tls = a->upstream ? &a->upstream->tls : NULL;
    const struct agent *share;
    const struct origin *o;

    in->paused = a->paused;
    AGENT_FOREACH_ORIGIN (a, share, o) {
        const struct track *t = track_find_origin(tracks, o);

        in->pending += o->blocked_count;
        in->refused += o->stats.errors[PROXY_ERROR_LIMIT] - (t ? t->base.errors[PROXY_ERROR_LIMIT] : 0);
    }
    in->now_s = (int64_t)(clock_wall_ms() / 1000);
    if (tls && tls->enabled && tls->not_after != 0) {
        in->certificate_file = tls->not_after_file;
        in->certificate_ends_s = tls->not_after;
    }
    describe_ca(daemon->config(daemon->ctx), a, in);
    describe_distrust(daemon, a, in);
}

/* A reload may have begun the count anew. */
static uint64_t grown(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

void describe_forgotten(const struct track *tracks, const struct agent *a, struct diagnosis_input *in)
{
    const struct track *t = track_find_forgotten(tracks, a->name);
    struct origin_stats stats;

    in->paused = a->paused;
    forgotten_stats(a, &stats);
    in->requests = max64(grown(stats.requests, t ? t->base.requests : 0),
                         grown(origin_stats_ended(&stats), t ? t->base.ended : 0));
    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        in->errors[i] = grown(stats.errors[i], t ? t->base.errors[i] : 0);
    in->refused = in->errors[PROXY_ERROR_LIMIT];
}

uint64_t failed_since(const struct track *t, const struct origin_stats *stats)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        n += grown(stats->errors[i], t ? t->base.errors[i] : 0);
    return n;
}
