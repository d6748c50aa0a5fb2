/* What follows on a connection that is established: CONNECT to the parent proxy, TLS. */

#include "base/clock.h"
#include "io/address_memory.h"
#include "io/connect_error.h"
#include "io/connector_internal.h"
#include "io/parent.h"

/* A step of a handshake takes half a millisecond: of a burst, the loop takes so many a turn and looks after
 * other sockets in between. */
#define HANDSHAKE_STEPS_A_TURN 8

/* The next address gets its chance: one server of several may be restarting, or have a certificate that has
 * ended. A parent proxy is the same at all of its addresses, and so is what answers wrongly behind it; but
 * those that are under way may still agree. */
static void give_up(struct attempt *a, enum connect_error error)
{
    struct connector *c = a->connector;

    race_close(a);
    a->state = ATTEMPT_FAILED;
    c->failed++;
    if (error == CONNECT_TERMINATED || !c->plan.tunnel) {
        address_remember_failure(c->plan.memory, &a->address);
        race_try_next(c);
    } else if (c->under_way == 0) {
        connector_end(c);
    }
}

/* ---- TLS */

/* Counts a step. A turn is known by the time that the loop keeps while it lasts. */
static bool turn_is_used_up(struct event_base *base)
{
    struct turn {
        struct timeval time;
        int steps;
    };
    static __thread struct turn turn;
    struct timeval now;

    event_base_gettimeofday_cached(base, &now);
    if (now.tv_sec != turn.time.tv_sec || now.tv_usec != turn.time.tv_usec) {
        turn.time = now;
        turn.steps = 0;
    }
    return ++turn.steps > HANDSHAKE_STEPS_A_TURN;
}

static void tls_go_on(struct attempt *a)
{
    struct connector *c = a->connector;
    char text[CONNECTOR_PEER_SIZE], cause[sizeof c->result.text];
    enum connect_error error;

    if (turn_is_used_up(c->base)) {
        timer_set_at(&c->turn, clock_ms());
        return;
    }
    switch (tls_handshake(&a->conn)) {
    case TLS_WAITS: return;
    case TLS_DONE:
        c->result.tls_resumed = tls_was_resumed(&a->conn);
        c->result.speaks_h2 = tls_speaks_h2(&a->conn);
        connector_succeed(c, a);
        return;
    case TLS_FAILED: break;
    }
    error = connect_error_of_tls(tls_failure(&a->conn, cause, sizeof cause));
    connector_note(c, error, "TLS handshake with %s: %s%s", connector_peer(c, a, text), cause,
                   error == CONNECT_TERMINATED ? "; does it speak TLS on this port?" : "");
    give_up(a, error);
}

/* The way to the origin is open. */
static void tls_begin(struct attempt *a)
{
    struct connector *c = a->connector;

    if (!c->plan.tls) {
        c->result.speaks_h2 = c->plan.speaks_h2;
        connector_succeed(c, a);
        return;
    }
    a->state = ATTEMPT_HANDSHAKE;
    if (tls_start(&a->conn, c->plan.tls, c->plan.servername, c->plan.sessions) &&
        (!c->plan.offer_h2 || tls_offer_h2(&a->conn))) {
        tls_go_on(a);
        return;
    }
    connector_note(c, CONNECT_NO_RESOURCES, "TLS: out of memory");
    connector_end(c);
}

/* ---- the parent proxy */

static void parent_go_on(struct attempt *a)
{
    struct connector *c = a->connector;
    char text[sizeof c->result.text];

    switch (parent_talk_go_on(a->talk, &a->conn, text, sizeof text)) {
    case PARENT_WAITS: return;
    case PARENT_AGREES: tls_begin(a); return;
    case PARENT_REFUSES:
        connector_note(c, CONNECT_PARENT_REFUSED, "%s", text);
        give_up(a, CONNECT_PARENT_REFUSED);
        return;
    case PARENT_HANGS_UP:
        connector_note(c, CONNECT_TERMINATED, "%s", text);
        give_up(a, CONNECT_TERMINATED);
        return;
    }
}

static void parent_begin(struct attempt *a)
{
    struct connector *c = a->connector;

    a->talk = parent_talk_new(&c->plan);
    if (a->talk) {
        parent_go_on(a);
        return;
    }
    connector_note(c, CONNECT_NO_RESOURCES, "the parent proxy: out of memory");
    connector_end(c);
}

/* ---- both */

void handshake_go_on(struct attempt *a)
{
    if (a->state == ATTEMPT_PARENT)
        parent_go_on(a);
    else
        tls_go_on(a);
}

void handshake_begin(struct attempt *a)
{
    if (a->state == ATTEMPT_PARENT)
        parent_begin(a);
    else
        tls_begin(a);
}
