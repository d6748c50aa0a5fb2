/* What follows on a connection that is established: TLS. */

#include "base/clock.h"
#include "io/address_memory.h"
#include "io/connect_error.h"
#include "io/connector_internal.h"

/* A step of a handshake takes half a millisecond: of a burst, the loop takes so many a turn and looks after
 * other sockets in between. */
#define HANDSHAKE_STEPS_A_TURN 8

/* A peer that hangs up may be one that is restarting: the next address gets its chance. One that answers
 * wrongly is as wrong there. */
static void handshake_failed(struct connector *c)
{
    struct attempt *a = c->winner;
    char text[ADDRESS_TEXT_SIZE], cause[sizeof c->result.text];
    enum connect_error error = connect_error_of_tls(tls_failure(&c->result.conn, cause, sizeof cause));

    connector_note(c, error, "TLS handshake with %s: %s", address_format(&a->address, text), cause);
    c->winner = NULL;
    race_close(a);
    conn_close(&c->result.conn, false);
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

void handshake_go_on(struct connector *c)
{
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
    handshake_failed(c);
}

void handshake_begin(struct connector *c, struct attempt *a)
{
    if (!c->plan.tls) {
        connector_succeed(c, a);
        return;
    }
    c->winner = a;
    c->state = CONNECTOR_HANDSHAKE;
    if (tls_start(&c->result.conn, c->plan.tls, c->plan.servername, c->plan.sessions)) {
        handshake_go_on(c);
        return;
    }
    connector_note(c, CONNECT_NO_RESOURCES, "TLS: out of memory");
    connector_end(c);
}
