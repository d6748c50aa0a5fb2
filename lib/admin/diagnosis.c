#include "admin/diagnosis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/track.h"
#include "base/clock.h"
#include "ca/signer.h"
#include "pool/http2.h"
#include "proxy/caller.h"

/* Figures are compared with those of one to two of these ago. */
#define WINDOW_MS (60 * 1000)

/* Of an agent with thousands of origins in trouble, so many say enough. */
#define MAX_SENTENCES 20

/* Origins that were asked less often have no history of their own: all their figures are in the window. */
#define REMEMBER_FROM_REQUESTS 3

struct diagnosis {
    const struct admin_daemon *daemon;
    struct traffic traffic;
    struct history *history;
    struct track *tracks;
    uint64_t looks;
    uint64_t window_began_ms;
};

struct diagnosis *diagnosis_new(const struct admin_daemon *daemon)
{
    struct diagnosis *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->daemon = daemon;
    traffic_begin(&d->traffic);
    d->history = history_new(daemon);
    if (!d->history) {
        free(d);
        return NULL;
    }
    d->window_began_ms = clock_ms();
    return d;
}

void diagnosis_free(struct diagnosis *d)
{
    struct track *t, *next;

    if (!d)
        return;
    HASH_ITER (hh, d->tracks, t, next)
        track_free(&d->tracks, t);
    history_free(d->history);
    free(d);
}

static bool is_saturated(const struct origin *o)
{
    const struct agent *a = o->agent;

    return o->blocked_count > 0 && !a->paused &&
           (origin_sockets(o) >= a->policy->maxSockets || a->total >= a->policy->maxTotalSockets ||
            o->protocol == PROTOCOL_HTTP2);
}

/* Forgotten, and known again since. */
static bool is_another(const struct track *t, const struct origin_stats *stats)
{
    return stats->requests < t->base.requests || stats->requests < t->next.requests;
}

static void take_sample(struct diagnosis *d, struct track *t, const struct origin_stats *stats,
                        bool window_ends)
{
    t->looks = d->looks;
    if (is_another(t, stats))
        t->base = t->next = (struct figures){0};
    if (window_ends) {
        t->base = t->next;
        figures_take(stats, &t->next);
    }
}

static void sample_origin(struct diagnosis *d, const struct origin *o, bool window_ends)
{
    struct track *t = track_find_origin(d->tracks, o);
    bool saturated = is_saturated(o);

    if (!t && !saturated && o->stats.requests < REMEMBER_FROM_REQUESTS)
        return;
    if (!t)
        t = track_make_origin(&d->tracks, o);
    if (!t)
        return;
    if (!track_limits_hold(t, o))
        track_begin_anew(t, o);
    if (!saturated)
        t->saturated_since_ms = 0;
    else if (t->saturated_since_ms == 0)
        t->saturated_since_ms = clock_ms();
    if (is_another(t, &o->stats))
        track_hand_over(&d->tracks, t);
    take_sample(d, t, &o->stats, window_ends);
}

static void forgotten_stats(const struct agent *a, struct origin_stats *out)
{
    *out = (struct origin_stats){0};
    for (const struct agent *share = a; share; share = share->next_share)
        origin_stats_add(out, &share->forgotten);
}

static void sample_forgotten(struct diagnosis *d, const struct agent *a, bool window_ends)
{
    struct origin_stats stats;
    struct track *t;

    forgotten_stats(a, &stats);
    if (stats.requests == 0)
        return;
    t = track_forgotten(&d->tracks, a->name);
    if (t)
        take_sample(d, t, &stats, window_ends);
}

/* Those of origins that this look did not find. Those of forgotten ones are looked at after that. */
static void hand_over_unseen(struct diagnosis *d)
{
    struct track *t, *next;

    HASH_ITER (hh, d->tracks, t, next) {
        bool is_forgotten = track_is_forgotten(t);

        if (t->looks + is_forgotten >= d->looks)
            continue;
        if (!is_forgotten)
            track_hand_over(&d->tracks, t);
        track_free(&d->tracks, t);
    }
}

static void look(struct diagnosis *d, bool window_ends)
{
    const struct agent *a, *share;
    const struct origin *o;

    d->looks++;
    TAILQ_FOREACH (a, &d->daemon->pools[0]->agents, link) {
        AGENT_FOREACH_ORIGIN(a, share, o)
        sample_origin(d, o, window_ends);
    }
    hand_over_unseen(d);
    TAILQ_FOREACH (a, &d->daemon->pools[0]->agents, link)
        sample_forgotten(d, a, window_ends);
}

void diagnosis_look(struct diagnosis *d)
{
    look(d, false);
}

void diagnosis_end_window(struct diagnosis *d)
{
    look(d, true);
    d->window_began_ms = clock_ms();
}

void diagnosis_sample(struct diagnosis *d)
{
    traffic_take(&d->traffic, d->daemon);
    history_sample(d->history);
    if (clock_ms() - d->window_began_ms >= WINDOW_MS)
        diagnosis_end_window(d);
    else
        look(d, false);
}

static void begin_forgotten_anew(struct diagnosis *d, const struct agent *a)
{
    struct origin_stats stats;
    struct track *t = track_forgotten(&d->tracks, a->name);

    if (!t)
        return;
    forgotten_stats(a, &stats);
    t->looks = d->looks;
    figures_take(&stats, &t->base);
    t->next = t->base;
}

void diagnosis_begin_anew(struct diagnosis *d, const struct agent *a)
{
    const struct agent *share;
    const struct origin *o;

    AGENT_FOREACH_ORIGIN(a, share, o)
    {
        struct track *t = track_find_origin(d->tracks, o);

        if (!t)
            t = track_make_origin(&d->tracks, o);
        if (!t)
            continue;
        t->looks = d->looks;
        track_begin_anew(t, o);
    }
    begin_forgotten_anew(d, a);
}

const struct traffic *diagnosis_traffic(const struct diagnosis *d)
{
    return &d->traffic;
}

struct history *diagnosis_history(const struct diagnosis *d)
{
    return d->history;
}

/* What the rules see */

static uint64_t saturated_ms(const struct track *t, const struct origin *o)
{
    uint64_t watched = t && t->saturated_since_ms ? clock_ms() - t->saturated_since_ms : 0;
    uint64_t oldest = origin_oldest_pending_us(o) / 1000;

    if (!is_saturated(o))
        return 0;
    return watched > oldest ? watched : oldest;
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
    in->requests = now->requests - base->requests;
    in->reused = now->reused - base->reused;
    in->opened = now->opened - base->opened;
    in->queue_full = now->queue_full - base->queue_full;
    in->reused_errors = now->reused_errors - base->reused_errors;
    in->dead_errors = now->dead_errors - base->dead_errors;
    in->texts = now->texts - base->texts;
    in->texts_plain = now->texts_plain - base->texts_plain;
    in->repaired = now->repaired - base->repaired;
    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        in->errors[i] = now->errors[i] - base->errors[i];
    in->refused = in->errors[PROXY_ERROR_LIMIT];
    for (unsigned i = 0; i < REPAIR_COUNT; i++)
        in->repairs[i] = now->repairs[i] - base->repairs[i];
    for (unsigned i = 0; i < RETIRE_COUNT; i++)
        in->retired[i] = now->retired[i] - base->retired[i];
    if (in->retired[RETIRE_PEER_CLOSED] > 0)
        in->peer_closed_idle_ms =
            (now->peer_closed_idle_ms - base->peer_closed_idle_ms) / in->retired[RETIRE_PEER_CLOSED];
}

static void describe_origin(const struct diagnosis *d, const struct origin *o, struct diagnosis_input *in)
{
    static const struct figures none;
    const struct agent *a = o->agent;
    const struct track *t = track_find_origin(d->tracks, o);
    const struct figures *base = t ? &t->base : &none;
    struct figures now;

    figures_take(&o->stats, &now);
    if (t && !track_limits_hold(t, o))
        base = &now; /* reloaded since the last look */
    in->paused = a->paused;
    in->pending = o->blocked_count;
    in->takes_turns = a->policy->queue == QUEUE_FAIR;
    find_heaviest(o, in);
    in->held_by = queue_held_by(o);
    in->in_flight = o->in_flight;
    in->streams_each = http2_streams_each(o);
    in->sockets = origin_sockets(o);
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

static void describe_ca(const struct config *c, const struct agent *a, struct diagnosis_input *in)
{
    const struct connect_tls *t = &c->connectTls;

    if (t->signer && speaks_of_ca(c, a)) {
        in->ca_file = t->cert;
        in->ca_ends_s = signer_ca(t->signer)->not_after;
    }
    for (const struct agent *share = a; share; share = share->next_share)
        in->distrusts += recent_count(&share->distrusts, clock_ms());
}

static void describe_agent(const struct diagnosis *d, const struct agent *a, struct diagnosis_input *in)
{
    const struct tls_options *tls = a->upstream ? &a->upstream->tls : NULL;
    const struct agent *share;
    const struct origin *o;

    in->paused = a->paused;
    AGENT_FOREACH_ORIGIN(a, share, o)
    {
        const struct track *t = track_find_origin(d->tracks, o);

        in->pending += o->blocked_count;
        in->refused += o->stats.errors[PROXY_ERROR_LIMIT] - (t ? t->base.errors[PROXY_ERROR_LIMIT] : 0);
    }
    in->now_s = (int64_t)(clock_wall_ms() / 1000);
    if (tls && tls->enabled && tls->not_after != 0) {
        in->certificate_file = tls->not_after_file;
        in->certificate_ends_s = tls->not_after;
    }
    describe_ca(d->daemon->config(d->daemon->ctx), a, in);
}

/* A reload may have begun the count anew. */
static uint64_t grown(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static void describe_forgotten(const struct diagnosis *d, const struct agent *a, struct diagnosis_input *in)
{
    const struct track *t = track_find_forgotten(d->tracks, a->name);
    struct origin_stats stats;

    in->paused = a->paused;
    forgotten_stats(a, &stats);
    in->requests = grown(stats.requests, t ? t->base.requests : 0);
    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        in->errors[i] = grown(stats.errors[i], t ? t->base.errors[i] : 0);
    in->refused = in->errors[PROXY_ERROR_LIMIT];
}

/* Sentences */

/* A JSON array that grows, up to MAX_SENTENCES. */
struct sentences {
    struct text *out;
    unsigned count;
};

static void say(struct sentences *s, struct slice sentence)
{
    if (s->count >= MAX_SENTENCES)
        return;
    if (s->count++ > 0)
        text_lit(s->out, ",");
    text_json(s->out, sentence);
}

static void apply_rules(struct sentences *s, const struct diagnosis_input *in, enum diagnosis_scope scope)
{
    struct text sentence = {0};

    for (unsigned i = 0; i < diagnosis_rule_count && s->count < MAX_SENTENCES; i++) {
        sentence.n = 0;
        if (diagnosis_rules[i].scope == scope && diagnosis_rules[i].says(in, &sentence) && !sentence.failed)
            say(s, (struct slice){sentence.p, sentence.n});
    }
    text_free(&sentence);
}

static void say_warnings(struct sentences *s, const struct agent *a)
{
    char sentence[512];

    for (uint32_t i = 0; a->upstream && i < a->upstream->warnings.count; i++) {
        snprintf(sentence, sizeof sentence, "%s: %s", a->name, a->upstream->warnings.items[i]);
        say(s, slice_of(sentence));
    }
}

void diagnosis_write(struct diagnosis *d, const struct agent *a, struct text *out)
{
    struct sentences s = {.out = out};
    struct diagnosis_input agent = {.who = a->name, .agent = a->name}, forgotten = agent;
    const struct agent *share;
    const struct origin *o;
    unsigned origins = 0;
    char who[512];

    text_lit(out, "[");
    describe_agent(d, a, &agent);
    apply_rules(&s, &agent, DIAGNOSIS_AGENT);
    say_warnings(&s, a);
    for (share = a; share; share = share->next_share)
        origins += HASH_COUNT(share->origins);
    AGENT_FOREACH_ORIGIN(a, share, o)
    {
        struct diagnosis_input in = {.who = who, .agent = a->name};

        if (s.count >= MAX_SENTENCES)
            break;
        snprintf(who, sizeof who, origins > 1 ? "%s %s" : "%s", a->name, o->key);
        describe_origin(d, o, &in);
        apply_rules(&s, &in, DIAGNOSIS_ORIGIN);
    }
    describe_forgotten(d, a, &forgotten);
    apply_rules(&s, &forgotten, DIAGNOSIS_FORGOTTEN);
    text_lit(out, "]");
}

/* Verdicts */

static struct verdict judge(const struct diagnosis_input *in, enum diagnosis_scope scope)
{
    struct verdict v = {0};
    struct text sentence = {0};

    for (unsigned i = 0; i < diagnosis_rule_count; i++)
        v.problems += diagnosis_rules[i].scope == scope && diagnosis_rules[i].says(in, &sentence);
    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        v.failed += in->errors[i];
    text_free(&sentence);
    return v;
}

struct verdict diagnosis_of_origin(const struct diagnosis *d, const struct origin *o)
{
    struct diagnosis_input in = {.who = "", .agent = ""};

    describe_origin(d, o, &in);
    return judge(&in, DIAGNOSIS_ORIGIN);
}

struct verdict diagnosis_of_forgotten(const struct diagnosis *d, const struct agent *a)
{
    struct diagnosis_input in = {.who = "", .agent = ""};

    describe_forgotten(d, a, &in);
    return judge(&in, DIAGNOSIS_FORGOTTEN);
}

static uint64_t failed_since(const struct track *t, const struct origin_stats *stats)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        n += grown(stats->errors[i], t ? t->base.errors[i] : 0);
    return n;
}

uint64_t diagnosis_failed(const struct diagnosis *d, const struct agent *a)
{
    struct origin_stats forgotten;
    const struct agent *share;
    const struct origin *o;
    uint64_t n;

    forgotten_stats(a, &forgotten);
    n = failed_since(track_find_forgotten(d->tracks, a->name), &forgotten);
    AGENT_FOREACH_ORIGIN(a, share, o)
    n += failed_since(track_find_origin(d->tracks, o), &o->stats);
    return n;
}
