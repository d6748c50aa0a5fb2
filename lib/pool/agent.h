#ifndef CARPOOL_POOL_AGENT_H
#define CARPOOL_POOL_AGENT_H

/* The policy of one upstream entry and everything that stands under its limits. */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/recent.h"
#include "config/config.h"
#include "pool/origin.h"

struct pool;

TAILQ_HEAD(origin_list, origin);

#define AGENT_RECENT_ERRORS 20

struct agent_error {
    uint64_t wall_ms;
    char origin[128]; /* cut when longer */
    char error[48];   /* the Proxy-Status word */
    char text[384];
};

#define AGENT_CALLER_SIZE 256

struct agent {
    TAILQ_ENTRY(agent) link; /* on pool->agents, or pool->removed */
    struct pool *pool;
    struct agent *next_share; /* the same agent in the next worker's pool; NULL: the last one, or removed */
    unsigned home;            /* the pool in which it lives, or from which its origins are spread */
    bool spread;              /* its origins live in several pools */
    char *name;
    struct config *config;             /* counted: an agent that was removed outlives its configuration */
    const struct upstream *upstream;   /* of config; NULL: the agent "default" */
    const struct agent_policy *policy; /* of config */
    struct tls_context *tls;
    bool paused;
    uint64_t paused_us, resumed_us; /* when the latest pause began, and when one ended last; 0: none did */
    bool removed;                   /* no longer configured */
    uint64_t
        added_ms; /* when a reload added it, which tells it from an earlier one; 0: there since the start */

    struct origin *origins;                    /* hash by key */
    struct socket_list free_lru;               /* of all origins, least recently used first */
    struct socket_list private_lru;            /* the same of private ones between two requests */
    uint32_t total;                            /* sockets of all origins */
    struct demand demand;                      /* of all origins */
    struct origin_list blocked;                /* origins with blocked requests */
    struct turn *turns;                        /* queue: fair: hash by origin and caller */
    struct turn_list ring;                     /* callers that have blocked requests, the next one first */
    uint32_t turnless;                         /* blocked requests without a turn: memory was short for it */
    struct origin_list empty[ORIGIN_KEEPINGS]; /* those that may be forgotten (forget.h), oldest first */
    uint32_t empty_count[ORIGIN_KEEPINGS];
    bool dirty; /* a place came free, or a request came: agent_serve() is due */
    TAILQ_ENTRY(agent) dirty_link;
    /* minFreeSockets: whose spares agent_serve() looks at: those of these origins, or of all */
    struct origin_list short_of_spares;
    bool any_is_short;

    struct origin_stats forgotten; /* of origins that were forgotten: the row "*" */
    struct savings forgotten_savings;
    /* Clients of this loop that do not trust the CA of connectTls, and when that was logged last: of the
     * first loop's share, atomic */
    struct recent distrusts;
    uint64_t distrust_logged_ms;
    char distrusting[AGENT_CALLER_SIZE]; /* who the latest of them was; "": not known */
    struct agent_error errors[AGENT_RECENT_ERRORS];
    uint32_t error_count; /* ever; the newest is errors[(error_count - 1) % AGENT_RECENT_ERRORS] */
};

/* All origins of an agent, in all its shares; not from within a loop while the others turn. */
#define AGENT_FOREACH_ORIGIN(a, share, o)                       \
    for ((share) = (a); (share); (share) = (share)->next_share) \
        for ((o) = (share)->origins; (o); (o) = (o)->hh.next)

/* A place of it might be given up for another origin's request, if one waits: agent_serve() finds out. */
void agent_may_serve(struct agent *a);

/* Marks it for agent_serve() at the end of the turn. */
void agent_mark_dirty(struct agent *a);

/* The same where nobody can be served by what happened, but this origin may be short of spares. */
void agent_mark_short(struct origin *o);

/* Before an origin goes. */
void agent_unmark_short(struct origin *o);

/* Gives free places to blocked requests, oldest first, until none is left or no one waits; then opens spares.
 * They are notified later. */
void agent_serve(struct agent *a);

/* The free socket that was used least recently, else such a private one; NULL: none is idle. */
struct socket *agent_oldest_idle(const struct agent *a);

/* At or above maxTotalSockets. */
bool agent_is_full(const struct agent *a);

/* Makes room for one more socket of `o` under maxTotalSockets: true when there was, or a free socket of
 * another origin could be closed, or an idle private one of any. */
bool agent_make_room(struct agent *a, const struct origin *o);

/* Whether that would say yes. */
bool agent_could_make_room(const struct agent *a, const struct origin *o);

/* Of the HTTP/2 sockets of all origins but one, the one that carries fewest exchanges: drained, it makes room
 * in the end. NULL: there is none but those on which places were just given, or one is drained for that
 * already. */
struct socket *agent_emptiest(const struct agent *a, const struct origin *but);

/* What the admin API calls so (carpoold(8)); this share only. */
void agent_drain(struct agent *a);
void agent_pause(struct agent *a);
void agent_resume(struct agent *a);

/* How much of the time from then until now the latest pause took. */
uint64_t agent_pause_us(const struct agent *a, uint64_t since_us);

/* Remembers an error for /agents. */
void agent_record_error(struct agent *a, const char *origin, const char *error, const char *text);

/* Used within the pool; a new one has no configuration yet (agent_configure() in reload.h). */
struct agent *agent_new(struct pool *p, const char *name);
void agent_free(struct agent *a);

#endif
