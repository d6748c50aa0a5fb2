#ifndef CARPOOL_TESTS_PROXY_RIG_H
#define CARPOOL_TESTS_PROXY_RIG_H

/* The whole data path on a loop of its own, turn by turn: the test plays the clients at one end of socket
 * pairs and the origin behind a listener. Every host that ends with ".test" leads to that one. Used by the
 * unit tests and by the fuzz target. */

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/timer.h"
#include "config/config.h"
#include "pool/pool.h"
#include "proxy/proxy.h"

#define RIG_ORIGINS 256
/* After any time: the process may stand still for all of it, and its timers are late then. */
#define RIG_TURNS (8 + TIMER_LATE_TURNS)

struct proxy_rig {
    struct event_base *base;
    struct resolver *resolver;
    struct pool *pool;
    struct proxy *proxy;
    struct frontend *frontend;
    char path[64]; /* the origin's socket */
    int listener;
    int origins[RIG_ORIGINS]; /* accepted, oldest first */
    unsigned origin_count;
    unsigned records; /* exchanges that were told */
    unsigned last_status;
    bool last_was_read;     /* its request's head was one */
    const char *last_error; /* "" when there was none */
    bool check_turns;       /* on: pool_check_turn() after every turn */
};

/* `options` are those of the upstream "u" ("maxSockets: 1"), `file` are further lines of the file. Options
 * that begin with "host:" or "match:" say themselves which hosts lead to the origin. */
void proxy_rig_open(struct proxy_rig *r, const char *options, const char *file);
void proxy_rig_close(struct proxy_rig *r);
void proxy_rig_configure(struct proxy_rig *r, const char *options, const char *file);

/* A client's end of a new connection; non-blocking. */
int proxy_rig_client(struct proxy_rig *r);

/* One turn of the loop with what is ready now, as the daemon runs it. */
void proxy_rig_turn(struct proxy_rig *r);

/* Turns until what is ready has been worked off. */
void proxy_rig_settle(struct proxy_rig *r);

/* The same for some time. */
void proxy_rig_run(struct proxy_rig *r, int ms);

/* The exchange of the first client after `c` that has one, NULL: of all; NULL: none has. */
struct exchange *proxy_rig_exchange(const struct proxy_rig *r, const struct client *c);

struct agent *proxy_rig_agent(struct proxy_rig *r);
struct origin *proxy_rig_origin(struct proxy_rig *r, const char *host);

/* Holds in every build. */
#define rig_assert(condition)                                                       \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

#endif
