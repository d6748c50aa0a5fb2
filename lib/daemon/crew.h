#ifndef CARPOOL_DAEMON_CREW_H
#define CARPOOL_DAEMON_CREW_H

/* The loops of the process. The first one is the main thread's; signals, systemd and the admin API are on it. Each
 * loop has its own resolver, pool and proxy, and what belongs to another one goes there by mailbox: no lock is held
 * while a request is served. Whoever has to see or change them all (reload, stop, admin API) halts the crew:
 *
 *   RUNNING --crew_halt(): a letter to each--> all but the caller wait between two events --crew_go_on()--> RUNNING
 *
 * While it stands still the main thread may do with every loop's objects what that loop could do itself. */

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>

#include "admin/accesslog.h"
#include "base/mailbox.h"
#include "pool/pool.h"
#include "proxy/proxy.h"

struct crew;

struct worker {
    struct crew *crew;
    struct event_base *base;
    struct mailbox mailbox;
    struct resolver *resolver;
    struct pool *pool;
    struct proxy *proxy;
    pthread_t thread; /* not of the first one */
    bool running;     /* the thread was started */
    bool over;        /* set while it stands still: its thread ends */
    struct letter halt, plea;
    bool plea_is_under_way; /* atomic */
};

struct crew {
    struct worker *workers;
    unsigned count;
    struct pool **pools; /* of the workers, in their order */
    struct proxy_crew proxies;
    struct access_log *access_log; /* NULL: off. One for all: changed while the crew stands still */
    pthread_mutex_t lock;          /* of the two below */
    pthread_cond_t changed;
    unsigned standing;
    bool halted;
    unsigned depth;       /* of crew_halt(): the main thread's */
    uint64_t relieved_ms; /* atomic: when a loop last closed a free socket for another one */
};

struct crew_setup {
    struct config *config;
    struct slice instance; /* outlives the crew */
};

/* Everything but the threads. False with a sentence in `error`; crew_free() is due all the same. */
bool crew_init(struct crew *c, unsigned count, const struct crew_setup *setup, char *error,
               size_t error_size);

/* Starts the threads of all but the first. 0, or an errno: the system has none to give. */
int crew_start(struct crew *c);

/* Called by the main thread; may be nested, each needs its crew_go_on(). */
void crew_halt(struct crew *c);
void crew_go_on(struct crew *c);

/* While halted: nobody is on the way from one loop to another any more. */
void crew_settle(struct crew *c);

/* While halted and settled: no client is left anywhere. */
bool crew_is_idle(const struct crew *c);

/* What is due at the end of each turn of a loop, by its own thread. */
void worker_end_turn(struct worker *w);

/* Ends the threads. */
void crew_stop(struct crew *c);

/* After crew_stop(). */
void crew_free(struct crew *c);

#endif
