#ifndef CARPOOL_ADMIN_DIAGNOSIS_H
#define CARPOOL_ADMIN_DIAGNOSIS_H

/* What is wrong with a pool, in words: computed once here, printed by carpoolctl and the page. A rule is a
 * row of the table in diagnosis.c and sees figures of the last one to two minutes, so that a sentence goes
 * away when its cause has. */

#include <stdbool.h>
#include <stdint.h>

#include "admin/history.h"
#include "admin/text.h"
#include "admin/traffic.h"
#include "pool/pool.h"

/* What the rules see. Counts are of the window, unless said. */
struct diagnosis_input {
    const char *who; /* the agent, and the origin where the agent has several */
    const char *agent;
    bool paused;
    const char *certificate_file; /* the one that ends first; NULL: none */
    int64_t certificate_ends_s;   /* when, since 1970 */
    int64_t now_s;
    const char *ca_file; /* of connectTls, where the agent uses it; NULL: it does not */
    int64_t ca_ends_s;
    uint32_t distrusts;              /* clients that did not trust it, lately, */
    const char *distrusting;         /* the caller of one of them; "" or NULL: not known */
    struct text *ca_path;            /* and where they get it */
    uint32_t pending;                /* now */
    const char *heaviest;            /* the caller that has more than half of these; NULL: none has */
    uint32_t heaviest_pending;       /* how many of them */
    bool takes_turns;                /* queue: fair */
    enum held_by held_by;            /* what holds these; if none are, what held most of the window's */
    uint32_t in_flight;              /* now; over HTTP/2 several share a connection */
    uint32_t streams_each;           /* HTTP/2: that a connection takes at a time */
    uint32_t sockets, agent_sockets; /* now: connecting, active and free; of all its origins */
    uint32_t connecting;             /* of its sockets */
    uint32_t max_sockets, max_total; /* COUNT_INFINITE: none */
    uint32_t max_pending, max_free, max_requests_per_socket;
    bool keep_alive;
    uint64_t pending_limit_ms; /* timeouts.pending; 0: none */
    uint64_t saturated_ms;     /* since when a request waits and no place is left; 0: not so */
    uint64_t requests; /* that began; where more ended, those: a failure counts when its request ends */
    uint64_t reused, opened;
    uint64_t refused;    /* by a limit */
    uint64_t queue_full; /* of these, for maxPendingRequests */
    uint64_t errors[PROXY_ERROR_COUNT];
    uint64_t timed_out_waiting; /* of those of timeouts.request, those that waited most of that time */
    uint64_t retired[RETIRE_COUNT];
    const char *connect_failure;         /* what the last failed connect said; NULL: none failed */
    uint64_t connect_failed_wall_ms;     /* when that was, */
    bool connects_again;                 /* and whether a later one succeeded */
    bool by_parent;                      /* connects go to a parent proxy */
    uint64_t reused_errors, dead_errors; /* of reused sockets; of these, those whose path was dead */
    /* How long free ones are kept, since the origin closes them so late; 0: not learned */
    uint64_t learned_ms, origin_idle_ms;
    uint64_t repaired, repairs[REPAIR_COUNT]; /* heads of responses; which of them needed what */
    uint64_t texts, texts_plain;  /* that might be compressed where there is a Via; those that were not */
    uint64_t idle_goaways;        /* of those retired as goaway, those that had been idle */
    uint64_t peer_closed_idle_ms; /* on average, of these and of those retired as peer-closed */
};

/* FORGOTTEN: all origins of an agent that were forgotten, as one. TOGETHER: all of its origins whose failures no
 * rule has told. */
enum diagnosis_scope { DIAGNOSIS_AGENT, DIAGNOSIS_ORIGIN, DIAGNOSIS_FORGOTTEN, DIAGNOSIS_TOGETHER };

/* A row that has nothing to say leaves `out` as it was and returns false. For an agent's rule only who,
 * agent, paused, pending, refused and the certificate are filled in, for a forgotten one's paused, requests,
 * refused and errors, for all together requests and errors. */
struct diagnosis_rule {
    const char *name;
    enum diagnosis_scope scope;
    bool (*says)(const struct diagnosis_input *in, struct text *out);
};

extern const struct diagnosis_rule diagnosis_rules[];
extern const unsigned diagnosis_rule_count;

/* The row of this name, for tests; asserts that there is one. */
const struct diagnosis_rule *diagnosis_rule_named(const char *name);

struct diagnosis;

/* `daemon` must outlive it. NULL when memory is short. */
struct diagnosis *diagnosis_new(const struct admin_daemon *daemon);
void diagnosis_free(struct diagnosis *d);
/* Looks at every origin; to be called once a second. */
void diagnosis_sample(struct diagnosis *d);
/* The same where it is only to be written: an origin may have been forgotten since the last second. */
void diagnosis_look(struct diagnosis *d);
const struct traffic *diagnosis_traffic(const struct diagnosis *d);
struct history *diagnosis_history(const struct diagnosis *d);
/* What it does once a minute, too: what happened before no longer counts. */
void diagnosis_end_window(struct diagnosis *d);

/* Nothing that happened to this agent before counts: a pause begins or ends, and what is refused in one says
 * nothing of its limits. */
void diagnosis_begin_anew(struct diagnosis *d, const struct agent *a);

/* Of one origin, or of an agent's forgotten ones: how many sentences are about it, and how many requests
 * failed or were refused within the window. */
struct verdict {
    unsigned problems;
    uint64_t failed;
};

struct verdict diagnosis_of_origin(const struct diagnosis *d, const struct origin *o);
struct verdict diagnosis_of_forgotten(const struct diagnosis *d, const struct agent *a);
/* Requests that failed or were refused within the window, of all origins of an agent. */
uint64_t diagnosis_failed(const struct diagnosis *d, const struct agent *a);

/* Over the ten seconds of which the daemon's rates are. All zero of an agent that a reload removed: it is looked
 * at no more. */
struct traffic_rates diagnosis_rates_of_origin(const struct diagnosis *d, const struct origin *o);
struct traffic_rates diagnosis_rates_of_forgotten(const struct diagnosis *d, const struct agent *a);
struct traffic_rates diagnosis_rates_of_agent(const struct diagnosis *d, const struct agent *a);

/* Writes a JSON array of the sentences of one agent. */
void diagnosis_write(struct diagnosis *d, const struct agent *a, struct text *out);

#endif
