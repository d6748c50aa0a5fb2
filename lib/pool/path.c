#include "pool/path.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/minmax.h"
#include "io/ack.h"
#include "io/address_memory.h"
#include "io/dial.h"
#include "pool/pool.h"

#define SWEEP_MS 250
/* After so much silence a socket is looked at; and so long nothing may be acknowledged before its owner is
 * notified. */
#define QUIET_MS 1000
/* A peer that was found well is looked at again after a part of timeouts.ack. */
#define WELL_PART   4
#define WELL_MAX_MS 2000
/* One segment, or one probe, may be lost. */
#define REPEATED_ENOUGH 2
#define PROBES_ENOUGH   2
#define PROBES_IDLE     3
/* Active ones are judged by timeouts.ack; without that by as many probes as Linux sends of its own accord. */
#define PROBES_ACTIVE 127
#define PROBES_NO_ACK 9
/* Doubt is cleared soon, whatever keepAliveMsecs says. */
#define DOUBT_PROBE_MS 1000

enum verdict { PATH_WELL, PATH_UNACKED, PATH_DEAD };

void path_begin_exchange(struct socket *s)
{
    struct timer *sweep = &s->origin->agent->pool->paths;
    if (s->in_use > 1) /* HTTP/2: it is looked after */
        return;
    s->path.quiet_since_us = clock_us();
    s->path.look_ms = 0;
    s->wire.conn.heard = false;
    if (!timer_is_set(sweep))
        timer_set(sweep, SWEEP_MS);
}

static bool is_tcp(const struct socket *s)
{
    return s->peer.sa.any.sa_family != AF_UNIX;
}

static void set_probes(struct socket *s, int count)
{
    if (s->path.probes == count || !is_tcp(s))
        return;
    s->path.probes = (uint8_t)count;
    ack_set_probes(s->wire.conn.fd, count);
}

void path_watch_idle(struct socket *s)
{
    set_probes(s, PROBES_IDLE);
}

/* --- Siblings ------------------------------------------------------------------------------------------ */

static void probe_soon(struct socket *s)
{
    path_watch_idle(s);
    if (s->plan.keepalive_ms != 0 && s->plan.keepalive_ms <= DOUBT_PROBE_MS)
        return;
    dial_set_keepalive(s->wire.conn.fd, DOUBT_PROBE_MS);
    s->plan.keepalive_ms = DOUBT_PROBE_MS;
}

static void log_doubted(const struct socket *dead, uint32_t count)
{
    char address[ADDRESS_TEXT_SIZE];
    log_event(LOG_INFO,
              "an address acknowledges nothing; its free connections are not used until it answers a probe",
              LOG_S("agent", dead->origin->agent->name), LOG_S("origin", dead->origin->key),
              LOG_S("address", address_format(&dead->peer, address)), LOG_N("doubted", count));
}

void path_died(struct socket *dead, uint64_t since_ms)
{
    struct origin *o = dead->origin;
    uint32_t before = o->aside_count;
    struct socket *s;
    if (!is_tcp(dead))
        return;
    address_remember_failure(&o->memory, &dead->peer);
    TAILQ_FOREACH (s, &o->free, link) {
        if (s == dead || s->aside != ASIDE_NOT || s->idle_since_ms > since_ms ||
            !address_equal(&s->peer, &dead->peer))
            continue;
        socket_set_aside(s, ASIDE_DOUBTED);
        s->path.doubted_ms = clock_ms();
        probe_soon(s);
    }
    if (o->aside_count > before)
        log_doubted(dead, o->aside_count - before);
    if (!timer_is_set(&o->agent->pool->paths))
        timer_set(&o->agent->pool->paths, SWEEP_MS);
}

uint64_t path_dead_since(const struct socket *s)
{
    uint64_t took = PROBES_IDLE * s->plan.keepalive_ms;
    return clock_ms() > took ? clock_ms() - took : 0;
}

/* A peer that has acknowledged anything since is as good as before. */
static void review(struct origin *o)
{
    struct socket *s;
    TAILQ_FOREACH (s, &o->free, link) {
        struct ack_state a;
        if (s->aside != ASIDE_DOUBTED || !ack_look(s->wire.conn.fd, &a) ||
            a.last_ack_ms >= clock_ms() - s->path.doubted_ms)
            continue;
        socket_set_aside(s, ASIDE_NOT);
        socket_limits_changed(s); /* probes as keepAliveMsecs says */
        agent_mark_dirty(o->agent);
    }
}

/* --- Active ones --------------------------------------------------------------------------------------- */

static uint64_t quiet_since_ms(const struct socket *s)
{
    return s->path.quiet_since_us / 1000;
}

static bool is_quiet(struct socket *s, uint64_t now, uint64_t ack)
{
    if (s->wire.conn.heard) {
        s->wire.conn.heard = false;
        s->path.quiet_since_us = now * 1000;
        s->path.unacked_since_ms = 0;
    }
    /* What it has sent before may be read yet. */
    return !s->wire.conn.may_read && now - quiet_since_ms(s) >= (ack ? min64(ack, QUIET_MS) : QUIET_MS);
}

static bool is_dead(const struct socket *s, const struct ack_state *a, uint64_t ack)
{
    bool waits = (a->unacked && a->repeated) || a->probes >= PROBES_ENOUGH;
    return ack && waits && a->last_ack_ms >= ack && clock_ms() - s->path.unacked_since_ms >= ack;
}

static enum verdict judge(struct socket *s, uint64_t now, uint64_t ack)
{
    struct ack_state a;
    if (!ack_look(s->wire.conn.fd, &a)) {
        s->path.look_ms = UINT64_MAX;
        return PATH_WELL;
    }
    set_probes(s, ack ? PROBES_ACTIVE : PROBES_NO_ACK);
    if (!a.unacked && a.probes == 0) {
        s->path.unacked_since_ms = 0;
        s->path.look_ms = now + (ack ? min64(ack / WELL_PART, WELL_MAX_MS) : WELL_MAX_MS);
        return PATH_WELL;
    }
    if (s->path.unacked_since_ms == 0)
        s->path.unacked_since_ms = now;
    s->path.look_ms = now + SWEEP_MS / 2;
    if (is_dead(s, &a, ack))
        return PATH_DEAD;
    return a.unacked && a.repeated >= REPEATED_ENOUGH && a.last_ack_ms >= QUIET_MS ? PATH_UNACKED : PATH_WELL;
}

/* The next one that is not well; NULL: all others are. */
static struct socket *find_unwell(const struct socket_list *list, uint64_t now, enum verdict *verdict)
{
    struct socket *s;
    TAILQ_FOREACH (s, list, link) {
        uint64_t ack = s->origin->agent->policy->timeouts.ack;
        if (s->state == SOCKET_PRIVATE || !is_quiet(s, now, ack) || now < s->path.look_ms)
            continue;
        *verdict = judge(s, now, ack);
        if (*verdict != PATH_WELL)
            return s;
    }
    return NULL;
}

/* Anything may have been retired when this returns. */
static void act(struct socket *s, enum verdict verdict)
{
    path_died(s, quiet_since_ms(s));
    if (verdict == PATH_DEAD)
        conn_give_up(&s->wire.conn, ETIMEDOUT);
    else
        conn_report(&s->wire.conn, CONN_UNACKED);
}

static void sweep_list(const struct socket_list *list, uint64_t now)
{
    enum verdict verdict;
    struct socket *s;
    while ((s = find_unwell(list, now, &verdict)))
        act(s, verdict);
}

static bool is_busy(const struct origin *o)
{
    return origin_used(o) + o->draining_count + o->sent_away_count + o->aside_count > 0;
}

static void sweep_origin(struct origin *o, uint64_t now)
{
    if (o->aside_count > 0)
        review(o);
    sweep_list(&o->active, now);
    sweep_list(&o->roomy, now);
    sweep_list(&o->draining, now);
    sweep_list(&o->sent_away, now);
}

/* Whether there is anything to look at next time. */
static bool sweep_agents(const struct agent_list *list, uint64_t now)
{
    bool busy = false;
    struct agent *a;
    TAILQ_FOREACH (a, list, link) {
        for (struct origin *o = a->origins; o; o = o->hh.next) {
            if (!is_busy(o))
                continue;
            busy = true;
            sweep_origin(o, now);
        }
    }
    return busy;
}

void path_sweep(void *ctx)
{
    struct pool *p = ctx;
    uint64_t now = clock_ms();
    bool busy = sweep_agents(&p->agents, now);
    busy |= sweep_agents(&p->removed, now);
    if (busy)
        timer_set(&p->paths, SWEEP_MS);
}
