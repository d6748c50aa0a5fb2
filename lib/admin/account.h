#ifndef CARPOOL_ADMIN_ACCOUNT_H
#define CARPOOL_ADMIN_ACCOUNT_H

/* What is known of an agent or of one of its origins: what the rules of advice and explanation see. */

#include "admin/agents.h"
#include "admin/history.h"
#include "proxy/tunnel_cause.h"

struct account {
    const char *agent;
    const char *key;                /* as in /agents; "*": the agent as a whole */
    const char *origin;             /* the same without its scheme's default port */
    bool is_tunnel;                 /* CONNECT, */
    enum tunnel_cause tunnel_cause; /* and why */
    const struct agent_policy *policy;
    uint64_t uptime_ms; /* the daemon's, or since a reload added the agent */
    bool was_added;     /* by a reload */
    uint64_t hour_ms;   /* how much of the last hour is known */
    struct span hour;
    struct origin_stats stats; /* since the start */
    struct savings saved;
    uint64_t connect_us; /* what a connect takes; 0: not known; not of an agent */
    struct groups now;
    bool paused;
    bool speaks_http2;        /* of an agent: one of its origins does */
    bool closes_some_sooner;  /* free connections, than timeouts.free says: the origin would */
    uint32_t origins;         /* of an agent: how many it has */
    uint32_t most_sockets;    /* that it had at a time; of an agent: of all its origins, summed */
    uint64_t longest_idle_ms; /* of its free connections */
    uint64_t hint_ms;         /* Keep-Alive: timeout= of the origin's last response; 0: none */
    uint64_t closes_after_ms; /* learned: the idle age at which the origin closes; 0: nothing was learned */
    uint64_t learned_ms;      /* the age at which free connections are closed for that */
    char origin_text[300];
};

/* `uptime_ms` is the daemon's. */
void account_of_origin(const struct history *h, const struct origin *o, uint64_t uptime_ms,
                       struct account *out);
void account_of_agent(const struct history *h, const struct agent *a, uint64_t uptime_ms,
                      struct account *out);

/* The last hour is all that there was. */
bool account_is_whole(const struct account *a);

/* Of the last hour where any connection was opened within it, else since the start. */
bool account_is_recent(const struct account *a);
uint64_t account_requests(const struct account *a);
uint64_t account_carried(const struct account *a); /* those that a connection carried */
uint64_t account_opened(const struct account *a);
uint64_t account_opened_for(const struct account *a, enum opened_for why);

/* The agent as a whole: what its origins have one by one has no meaning. */
bool account_is_of_agent(const struct account *a);

/* One of five or more of the connections were opened for this, and enough of them to prove anything. */
bool account_costs(const struct account *a, enum opened_for why);

/* Each request had a connection of its own, as good as. */
bool account_closes_each_time(const struct account *a);

/* How long free connections had been idle as the origin closed them, on average; 0: it closed none. */
uint64_t account_closed_idle_ms(const struct account *a);

/* Most of the connections that the origin ended by GOAWAY had been idle: it is no limit of requests. */
bool account_goaways_are_idle(const struct account *a);

/* The most connections that an origin may have: the smaller one of its limit and of its agent's. */
uint32_t account_limit(const struct account *a);

/* How many connections would be enough where requests waited for so many: what the busiest minute needed on
 * average, and a quarter more. 0: that was far less, and the requests came in bursts. */
uint32_t account_needed(const struct account *a, uint32_t limit);

/* Requests that timed out, as the service was slow, had the connections for most of the time. */
bool account_times_out(const struct account *a, uint32_t limit);

/* Of an agent: what would be enough for maxTotalSockets. 0: nothing speaks for more than there is. */
uint32_t account_needed_in_total(const struct account *a);

/* The origins of an agent that were asked most, the busiest first, as many as there is room for; returns how
 * many there are in all. */
uint32_t account_busiest(const struct agent *a, const struct origin **out, uint32_t room);

static inline enum opened_for replaced(enum retire_reason reason)
{
    return (enum opened_for)(OPENED_FOR_REPLACED + reason);
}

#endif
