#ifndef CARPOOL_TESTS_POOL_RIG_H
#define CARPOOL_TESTS_POOL_RIG_H

/* A real pool on a loop of its own, and an origin that the test plays: a listener on the loopback whose
 * connections it accepts, closes and writes to. Every host that ends with ".test" leads there. */

#include <event2/event.h>
#include <stdbool.h>

#include "base/slice.h"
#include "base/timer.h"
#include "config/config.h"
#include "pool/pool.h"

#define RIG_CONNECTIONS 512
#define RIG_ORIGINS     4
/* After any time: the process may stand still for all of it, and its timers are late then. */
#define RIG_TURNS (8 + TIMER_LATE_TURNS)

struct pool_rig {
    struct event_base *base;
    struct resolver *resolver;
    struct pool *pool;
    struct address origin;
    int listener;                     /* -1: connects are refused */
    int connections[RIG_CONNECTIONS]; /* the origin's ends, oldest first */
    unsigned count;
    struct origin *held[RIG_ORIGINS]; /* those that the test was given are not forgotten meanwhile */
    unsigned held_count;
};

/* With these options of the upstream "u", e.g. "maxSockets: 2, timeouts: {free: 1s}". Those that begin with
 * "host:" or "match:" say themselves which hosts lead to the origin. */
void pool_rig_open(struct pool_rig *r, const char *options);
void pool_rig_close(struct pool_rig *r);

/* A reload with other options. */
void pool_rig_configure(struct pool_rig *r, const char *options);

/* The origin stops or begins to listen. */
void pool_rig_listen(struct pool_rig *r, bool on);

/* What is ready now; then the end of the turn. */
void pool_rig_events(struct pool_rig *r);
void pool_rig_turn(struct pool_rig *r);

/* Turns until `ms` have passed. */
void pool_rig_run(struct pool_rig *r, int ms);

struct agent *pool_rig_agent(struct pool_rig *r);
/* Of http://HOST:80; kept until the rig is closed. */
struct origin *pool_rig_origin(struct pool_rig *r, const char *host);

/* Keeps them no longer. */
void pool_rig_let_go(struct pool_rig *r);

/* The end of an exchange after which the socket may be used again. */
struct call_end pool_rig_good_end(void);

/* Closes or writes to the connection that was accepted as the nth. */
void pool_rig_hang_up(struct pool_rig *r, unsigned nth);

#endif
