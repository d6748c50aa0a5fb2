#include "pool/idle.h"

#include "base/clock.h"
#include "base/minmax.h"
#include "pool/http2.h"
#include "pool/pool.h"
#include "pool/spares.h"
#include "wire/h2.h"

#define LOOK_AFTER_MS 250

uint64_t socket_learned_ms(const struct socket *s)
{
    return s->has_hint_timeout || s->exchanges == 0 ? 0 : origin_learned_ms(s->origin);
}

/* 0: none */
static uint64_t learned_limit_of(const struct socket *s)
{
    uint64_t limit = socket_learned_ms(s);
    return limit && s->aside == ASIDE_TRIAL ? learned_trial(&s->origin->learned) : limit;
}

/* How long it may be idle, and why not for longer; 0: for ever. Never stored: a reload may change the
 * limits. */
static uint64_t idle_limit_of(const struct socket *s, enum retire_reason *reason)
{
    const struct agent_policy *policy = s->origin->agent->policy;
    uint64_t limit = policy->timeouts.free, buffer = policy->agentKeepAliveTimeoutBuffer;
    uint64_t learned = learned_limit_of(s);
    if (s->has_hint_timeout) {
        uint64_t hinted = s->hint_timeout_ms > buffer ? s->hint_timeout_ms - buffer : 0;
        *reason = limit && limit <= hinted ? RETIRE_FREE_TIMEOUT : RETIRE_KEEPALIVE_HINT;
        return limit ? min64(limit, hinted) : hinted;
    }
    *reason = learned && (!limit || learned < limit) ? RETIRE_LEARNED : RETIRE_FREE_TIMEOUT;
    return *reason == RETIRE_LEARNED ? learned : limit;
}

/* When it is too old to be trusted; 0: never. */
static uint64_t due_of(const struct socket *s, enum retire_reason *reason)
{
    uint64_t limit = idle_limit_of(s, reason);
    bool forever = limit == 0 && *reason == RETIRE_FREE_TIMEOUT;
    return forever ? 0 : s->idle_since_ms + limit;
}

void idle_on_ready(struct socket *s)
{
    enum retire_reason reason = wire_probe(&s->wire);
    if (reason != RETIRE_NONE)
        socket_retire(s, reason);
}

/* As most are, for each request. */
static bool is_kept_until_the_look(const struct socket *s)
{
    uint64_t limit = s->origin->agent->policy->timeouts.free;
    return !s->has_hint_timeout && s->origin->learned.least_ms == 0 && (limit == 0 || limit > LOOK_AFTER_MS);
}

/* For the sooner of the look and its end. */
static void arm(struct socket *s)
{
    if (is_kept_until_the_look(s)) {
        timer_set_at(&s->idle, s->idle_since_ms + LOOK_AFTER_MS);
        return;
    }
    enum retire_reason reason;
    timer_set_at(&s->idle, timer_sooner(due_of(s, &reason), s->idle_since_ms + LOOK_AFTER_MS));
}

/* A reset that came before the response was read was announced with it, and is announced no more. A socket
 * that is used again soon finds it; to look for it each time would cost a call a response. */
static void look_after_response(struct socket *s)
{
    enum retire_reason reason = wire_probe(&s->wire);
    if (reason != RETIRE_NONE) {
        socket_retire(s, reason);
        return;
    }
    timer_set_at(&s->idle, due_of(s, &reason));
    path_watch_idle(s);
    spares_forget_failures(s);
    if (s->state == SOCKET_PRIVATE)
        agent_may_serve(s->origin->agent); /* it may be evicted from now on */
}

/* What is known of the origin has changed. */
static void review_all(struct origin *o, bool forgotten)
{
    struct socket *s;
    TAILQ_FOREACH (s, &o->free, link) {
        if (forgotten && s->aside == ASIDE_TRIAL)
            socket_set_aside(s, ASIDE_NOT);
        arm(s);
    }
    if (forgotten)
        agent_mark_dirty(o->agent);
}

/* True: it is left alone, to find out whether the origin allows more than was learned. */
static bool begins_trial(struct socket *s)
{
    if (s->state != SOCKET_FREE || s->aside != ASIDE_NOT || !learned_is_trial(&s->origin->learned))
        return false;
    socket_set_aside(s, ASIDE_TRIAL);
    arm(s);
    return true;
}

static void end(struct socket *s, enum retire_reason reason)
{
    struct origin *o = s->origin;
    bool trial = s->aside == ASIDE_TRIAL;
    if (reason == RETIRE_LEARNED && begins_trial(s))
        return;
    socket_retire(s, reason);
    if (trial && reason == RETIRE_LEARNED && learned_outlived(&o->learned))
        review_all(o, true);
}

/* Asked for each request: the timer is set for when it is too old, or for a look before that. */
static bool is_surely_fresh(const struct socket *s)
{
    return clock_ms() < s->idle.due;
}

bool idle_retire_overdue(struct socket *s)
{
    enum retire_reason reason;
    if (is_surely_fresh(s))
        return false;
    uint64_t due = due_of(s, &reason);
    if (!due || clock_ms() < due)
        return false;
    end(s, reason);
    return true;
}

void idle_on_timer(void *ctx)
{
    struct socket *s = ctx;
    if (s->state == SOCKET_CONNECTING)
        http2_on_timeout(s);
    else if (!idle_retire_overdue(s))
        look_after_response(s);
}

void idle_limits_changed(struct socket *s)
{
    arm(s);
}

/* The loop and the timer report it. */
void idle_begin(struct socket *s, enum socket_state state)
{
    s->idle_since_ms = clock_ms();
    socket_move(s, state);
    conn_set_priority(&s->wire.conn, PRIORITY_FREE_SOCKETS);
    arm(s);
}

void idle_end(struct socket *s)
{
    timer_clear(&s->idle);
    s->was_free = true;
    socket_move(s, SOCKET_ACTIVE);
    conn_set_priority(&s->wire.conn, PRIORITY_ORDINARY);
}

static void learn(struct socket *s, uint64_t idle_ms)
{
    struct origin *o = s->origin;
    if (!s->has_hint_timeout && o->agent->policy->learnFreeTimeout &&
        learned_closing(&o->learned, idle_ms, clock_ms()))
        review_all(o, false);
}

/* How HTTP/2 closes what was idle; one that comes with the end of a response is for the number of requests. */
static bool is_idle_goaway(const struct socket *s, enum retire_reason reason, uint64_t idle_ms)
{
    return reason == RETIRE_GOAWAY && idle_ms >= CLOSED_AT_ONCE_MS && h2_is(&s->wire) &&
           h2_is_sent_away(&s->wire);
}

void idle_note_end(struct socket *s, enum retire_reason reason)
{
    struct origin_stats *stats = &s->origin->stats;
    uint64_t idle_ms = clock_ms() - s->idle_since_ms;
    if (s->state != SOCKET_FREE && s->state != SOCKET_PRIVATE)
        return;
    if (is_idle_goaway(s, reason, idle_ms))
        stats->idle_goaways++;
    else if (reason != RETIRE_PEER_CLOSED)
        return;
    stats->peer_closed_idle_ms += idle_ms;
    if (s->exchanges > 0)
        learn(s, idle_ms);
}

void idle_closed_under_request(struct socket *s, uint64_t taken_ms)
{
    bool had_carried = s->exchanges > 1; /* before this request */
    if (s->was_free && had_carried)
        learn(s, taken_ms - s->idle_since_ms);
}

static void grow_older(struct socket_list *list, uint64_t ms)
{
    struct socket *s;
    TAILQ_FOREACH (s, list, lru) {
        s->idle_since_ms = s->idle_since_ms > ms ? s->idle_since_ms - ms : 1;
        arm(s);
    }
}

void idle_note_suspend(struct pool *p)
{
    uint64_t now = clock_suspended_us(), ms = now > p->suspended_us ? (now - p->suspended_us) / 1000 : 0;
    struct agent *a;
    p->suspended_us = now;
    TAILQ_FOREACH (a, &p->agents, link) {
        grow_older(&a->free_lru, ms);
        grow_older(&a->private_lru, ms);
    }
}

bool idle_is_settled(const struct socket *s)
{
    return clock_ms() - s->idle_since_ms >= LOOK_AFTER_MS;
}
