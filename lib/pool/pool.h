#ifndef CARPOOL_POOL_POOL_H
#define CARPOOL_POOL_POOL_H

/* All agents, and what happens at the end of a loop turn: places are given out, waiters are notified, dead
 * sockets are reaped.
 *
 * With several loops each has a pool of its own, and together they are one: every pool has every agent (its
 * share of it), and each origin lives in one of them, so that its limits, its queue and its free sockets need
 * no lock (origin_worker()). An agent with maxTotalSockets lives in one pool whole. */

#include <event2/event.h>
#include <stdbool.h>

#include "base/freelist.h"
#include "base/list.h"
#include "base/memory_trim.h"
#include "base/timer.h"
#include "config/config.h"
#include "pool/agent.h"

TAILQ_HEAD(agent_list, agent);

/* Free sockets are looked at before anything else in a turn. */
#define PRIORITY_FREE_SOCKETS 0
#define PRIORITY_ORDINARY     1
#define PRIORITY_COUNT        2

struct pool {
    unsigned index, workers; /* this one of so many; 0 of 1: the only one */
    struct event_base *base;
    struct resolver *resolver;
    enum connect_error (*permit)(void *ctx, const struct address *a, bool named);
    void *permit_ctx;
    /* Asked of a connection that was just established, before anybody has a place on it: what it speaks, and
     * in *capacity how many exchanges it may carry at a time (1 at first). Of HTTP/2 it is read by the one
     * asked from now on. PROTOCOL_UNKNOWN: it cannot be used. NULL: all speak HTTP/1.1. */
    enum protocol (*identify)(void *ctx, struct socket *s, uint32_t *capacity);
    void *identify_ctx;
    const struct waiter_owner *waiter_owner; /* set before the first request asks for a place */
    struct config *config;                   /* counted */
    struct agent_list agents;                /* "default" first, then in the file's order */
    struct agent_list removed;               /* no longer configured, until their last socket is gone */
    struct origin_stats removed_stats;       /* of those that are gone, */
    struct savings removed_savings;          /* and what they saved */
    struct agent **by_place;                 /* "default", then those of config->upstreams */
    uint32_t homes_given;                    /* to agents, in turn */
    uint32_t reloads;
    struct agent_list dirty;
    struct waiter_list settled;
    struct wire_loop wires;
    struct socket_list graveyard;
    struct freelist spare_sockets;
    uint32_t free_count;                  /* sockets; atomic: others look */
    enum relief (*ask_others)(void *ctx); /* to close a free socket of theirs; NULL: there are none */
    void *ask_others_ctx;
    struct timer sweep, paths; /* paths: path.h */
    uint64_t suspended_us;     /* clock_suspended_us(), as far as the ages of idle sockets follow it */
    uint64_t asked;            /* requests that ever asked for a place: their order */
    uint64_t promoted;         /* blocked ones that ever had their turn for a place to come: their order */
    bool trim_due;             /* some agent has more empty origins than it may remember */
    struct memory_trim memory;
    unsigned short dice[3]; /* of erand48() */
    bool stopping;
};

/* `permit` is asked about every address before a connect. The config is counted; NULL: pools_configure()
 * comes before anything else. NULL with a sentence in `error`. */
struct pool *pool_new(struct event_base *base, struct resolver *resolver, struct config *config,
                      enum connect_error (*permit)(void *, const struct address *, bool), void *permit_ctx,
                      char *error, size_t error_size);

/* The agent of an upstream of the present configuration; NULL: "default". */
struct agent *pool_agent(struct pool *p, const struct upstream *u);

/* By name; NULL: no such agent. */
struct agent *pool_find_agent(struct pool *p, struct slice name);

/* Tells those who were given a socket or an error: not from within a call of the pool's, nor while anybody on
 * the stack holds on to what a settled() may change. */
void pool_notify(struct pool *p);

/* Serves, notifies, reaps. Called by the loop after the events of a turn. */
void pool_end_turn(struct pool *p);

/* Descriptors run short: closes the free socket that was idle longest, whosever it is. False: none is
 * free. */
bool pool_give_up_free(struct pool *p);

/* The same, and when none is free here the other pools of the workers are asked. */
enum relief pool_relieve(struct pool *p);

/* How many are free; may be asked from any thread. */
uint32_t pool_free_count(const struct pool *p);

/* Retires free sockets; active ones are retired when they finish. */
void pool_stop(struct pool *p);

/* Closes what is left by force. No request may wait any more. */
void pool_free(struct pool *p);

/* Used within the pool. */
struct socket *pool_take_socket(struct pool *p);
void pool_reap(struct pool *p, struct socket *s);

#endif
