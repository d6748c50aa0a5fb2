#ifndef CARPOOL_PROXY_CALLER_H
#define CARPOOL_PROXY_CALLER_H

/* Who a client is, as the kernel says: a user or a systemd unit of this host, another host by its address, or
 * one that is not known ("-"). Each loop has a table of its own; a client takes its identity along when it goes
 * to another one. */

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/hash.h"
#include "config/config.h"
#include "io/cgroup.h"
#include "io/peer_diag.h"
#include "io/user_name.h"

struct client;

enum caller_kind { CALLER_UNKNOWN, CALLER_USER, CALLER_UNIT, CALLER_HOST };

/* Requests of one caller to one agent, and those that the agent's `allow` turned away. Kept by the agent's name:
 * agents come and go with the configuration. */
struct caller_served {
    UT_hash_handle hh;
    uint64_t requests, not_allowed;
    char agent[];
};

struct caller {
    UT_hash_handle hh; /* in callers->table, by key */
    enum caller_kind kind;
    uint32_t uid;  /* USER */
    uint32_t refs; /* atomic: clients and tunnels that point here; one without may be forgotten */
    uint64_t requests, errors;
    struct caller_served *served;
    uint64_t named_ms;              /* USER: when `name` was last asked for */
    struct user_question *question; /* USER: under way; NULL: none */
    char name[UNIT_NAME_SIZE];      /* for people */
    const char *vouched;            /* UNIT: the name that `allow` goes by (io/cgroup.h), within key */
    const char *key;                /* stands after the struct */
};

struct caller_totals {
    uint64_t requests, errors;
};

struct callers {
    struct caller *table;
    struct caller *latest_user;     /* of the table; NULL: none */
    struct caller unknown;          /* in no table */
    struct caller_totals forgotten; /* of those that are in the table no more */
    unsigned most;                  /* callers in the table before some are forgotten */
    unsigned questions;             /* under way */
    struct peer_diag diag;
    struct cgroup_units *units; /* made when it is first needed */
};

void callers_init(struct callers *t);
void callers_free(struct callers *t);

/* Finds out who a client is as `callers` now says, unless that is known already: on accept, and before each
 * request, since a reload may have changed it. With `off` c->caller is NULL. At most one exchange with the
 * kernel, and a few milliseconds for the name of a user that was not seen before. */
void caller_identify(struct client *c);

/* The client has come from another loop, whose caller it points to. */
void caller_move(struct client *c);

/* NULL is allowed. */
struct caller *caller_hold(struct caller *caller);
void caller_release(struct caller *caller);

/* Whether an upstream's `allow` lets it through. NULL: none. */
bool caller_is_allowed(const struct allow_list *allow, const struct caller *caller);

/* A request has begun; `agent` NULL: none was chosen. NULL is allowed for the caller. */
void caller_count_request(struct caller *caller, const char *agent);
/* The agent's `allow` turns it away; it is counted as a request without an agent, too. */
void caller_count_not_allowed(struct caller *caller, const char *agent);

#endif
