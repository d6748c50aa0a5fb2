#ifndef CARPOOL_DAEMON_WORKERS_H
#define CARPOOL_DAEMON_WORKERS_H

/* The loops of the process. The first one is the main thread's; signals, systemd and the admin API are on it.
 * Each loop has its own resolver, pool and proxy, and what belongs to another one goes there by mailbox: no
 * lock is held while a request is served. Code that has to see or change them all (reload, stop, admin API)
 * halts the workers:
 *
 *   RUNNING --workers_halt(): a message to each--> all but the caller wait between two events --workers_go_on()--> RUNNING
 *
 * While they stand still the main thread may do with every loop's objects what that loop could do itself. */

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>

#include "admin/access_log.h"
#include "base/mailbox.h"
#include "base/timer.h"
#include "pool/pool.h"
#include "proxy/proxy.h"

struct workers;

struct worker {
    struct workers *workers;
    struct event_base *base;
    struct mailbox mailbox;
    struct resolver *resolver;
    struct pool *pool;
    struct proxy *proxy;
    pthread_t thread; /* not of the first one */
    bool running;     /* the thread was started */
    bool over;        /* set while it stands still: its thread ends */
    struct loop_message halt, relieve;
    bool relief_is_asked_for; /* atomic */
    struct timer log_is_due;  /* makes the turn at whose end the access log is written */
};

struct workers {
    struct worker *workers;
    unsigned count;
    struct pool **pools; /* of the workers, in their order */
    struct proxy_shared proxies;
    struct access_log *access_log; /* NULL: off. One for all: changed while the workers stand still */
    pthread_mutex_t lock;          /* of the two below */
    pthread_cond_t changed;
    unsigned standing;
    bool halted;
    unsigned depth;       /* of workers_halt(): the main thread's */
    uint64_t relieved_ms; /* atomic: when a loop last closed a free socket for another one */
};

struct workers_setup {
    struct config *config;
    struct slice instance; /* outlives the workers */
};

/* Everything but the threads and what the configuration says of the pools. False with a sentence in `error`;
 * workers_free() is due all the same. */
bool workers_init(struct workers *c, unsigned count, const struct workers_setup *setup, char *error,
                  size_t error_size);

/* Starts the threads of all but the first. 0, or an errno: the system has none to give. */
int workers_start(struct workers *c);

/* Called by the main thread; may be nested, each needs its workers_go_on(). */
void workers_halt(struct workers *c);
void workers_go_on(struct workers *c);

/* While halted: no client is on the way from one loop to another any more. */
void workers_settle(struct workers *c);

/* While halted and settled: no client is left anywhere. */
bool workers_is_idle(const struct workers *c);

/* What is due at the end of each turn of a loop, by its own thread. */
void worker_end_turn(struct worker *w);

/* Ends the threads. */
void workers_stop(struct workers *c);

/* After workers_stop(). */
void workers_free(struct workers *c);

#endif
