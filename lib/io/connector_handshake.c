/* What follows on a connection that is established: CONNECT to the parent proxy, TLS. */

#include "base/clock.h"
#include "io/address_memory.h"
#include "io/connect_error.h"
#include "io/connector_internal.h"
#include "io/parent.h"

/* A step of a handshake takes half a millisecond: of a burst, the loop takes so many a turn and looks after
 * other sockets in between. */
#define HANDSHAKE_STEPS_A_TURN 8

/* A peer that hangs up may be one that is restarting: the next address gets its chance. One that answers
 * wrongly is as wrong there. */
static void give_up_winner(struct connector *c, enum connect_error error)
{
    struct attempt *a = c->winner;

    c->winner = NULL;
    race_close(a);
    conn_close(&c->result.conn, false);
    parent_talk_free(c->talk);
    c->talk = NULL;
    a->state = ATTEMPT_FAILED;
    c->failed++;
    if (error != CONNECT_TERMINATED) {
        connector_end(c);
        return;
    }
    address_remember_failure(c->plan.memory, &a->address);
    c->state = CONNECTOR_RACING;
    race_try_next(c);
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

static void tls_go_on(struct connector *c)
{
    char text[CONNECTOR_PEER_SIZE], cause[sizeof c->result.text];
    enum connect_error error;

    if (turn_is_used_up(c->base)) {
        timer_set_at(&c->pace, clock_ms());
        return;
    }
    switch (tls_handshake(&c->result.conn)) {
    case 0: return;
    case 1:
        c->result.tls_resumed = tls_was_resumed(&c->result.conn);
        connector_succeed(c, c->winner);
        return;
    }
    error = connect_error_of_tls(tls_failure(&c->result.conn, cause, sizeof cause));
    connector_note(c, error, "TLS handshake with %s: %s", connector_peer(c, c->winner, text), cause);
    give_up_winner(c, error);
}

/* The way to the origin is open. */
static void tls_begin(struct connector *c)
{
    if (!c->plan.tls) {
        connector_succeed(c, c->winner);
        return;
    }
    c->state = CONNECTOR_HANDSHAKE;
    if (tls_start(&c->result.conn, c->plan.tls, c->plan.servername, c->plan.sessions)) {
        tls_go_on(c);
        return;
    }
    connector_note(c, CONNECT_NO_RESOURCES, "TLS: out of memory");
    connector_end(c);
}

/* ---- the parent proxy */

static void parent_go_on(struct connector *c)
{
    char text[sizeof c->result.text];

    switch (parent_talk_go_on(c->talk, &c->result.conn, text, sizeof text)) {
    case PARENT_WAITS: return;
    case PARENT_AGREES: tls_begin(c); return;
    case PARENT_REFUSES:
        connector_note(c, CONNECT_PARENT_REFUSED, "%s", text);
        give_up_winner(c, CONNECT_PARENT_REFUSED);
        return;
    case PARENT_HANGS_UP:
        connector_note(c, CONNECT_TERMINATED, "%s", text);
        give_up_winner(c, CONNECT_TERMINATED);
        return;
    }
}

static void parent_begin(struct connector *c)
{
    c->state = CONNECTOR_PARENT;
    c->talk = parent_talk_new(&c->plan);
    if (c->talk) {
        parent_go_on(c);
        return;
    }
    connector_note(c, CONNECT_NO_RESOURCES, "the parent proxy: out of memory");
    connector_end(c);
}

/* ---- both */

void handshake_go_on(struct connector *c)
{
    if (c->state == CONNECTOR_PARENT)
        parent_go_on(c);
    else
        tls_go_on(c);
}

void handshake_begin(struct connector *c, struct attempt *a)
{
    c->winner = a;
    if (c->plan.tunnel)
        parent_begin(c);
    else
        tls_begin(c);
}
