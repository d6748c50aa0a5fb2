#ifndef CARPOOL_IO_CONNECTOR_INTERNAL_H
#define CARPOOL_IO_CONNECTOR_INTERNAL_H

/* What the connector*.c files share: connector.c begins and ends, connector_names.c finds the addresses,
 * connector_race.c connects to them, connector_handshake.c does what follows on those that are connected. */

#include <event2/event_struct.h>

#include "base/timer.h"
#include "io/connector.h"
#include "io/resolver.h"

#define ATTEMPTS_MAX 64

/*
 *            its turn                first to connect           agrees
 *   UNTRIED ----------> CONNECTING -----------------> PARENT -----------> HANDSHAKE --> the connection that is wanted
 *      ^                   |    |                        |                    |
 *      +--- beaten --------+    +------------------------+-- refused, closed -+--> FAILED
 *
 * PARENT where the plan says so, HANDSHAKE where it has TLS: without either, the first to connect is the one. */
enum attempt_state { ATTEMPT_UNTRIED, ATTEMPT_CONNECTING, ATTEMPT_PARENT, ATTEMPT_HANDSHAKE, ATTEMPT_FAILED };

/* An address and the connection that is tried there. */
struct attempt {
    struct connector *connector;
    enum attempt_state state;
    struct address address;
    bool named;    /* it comes from the upstream's `address` */
    uint32_t rank; /* lower is sooner */
    uint64_t began_ms;
    struct conn conn;         /* open while it is under way */
    struct event event;       /* the same */
    struct parent_talk *talk; /* PARENT */
};

static inline bool attempt_is_under_way(const struct attempt *a)
{
    return a->state != ATTEMPT_UNTRIED && a->state != ATTEMPT_FAILED;
}

/* What is asked about a name: its addresses of one family. */
struct question {
    struct lookup *lookup;
    struct resolver_query *query; /* NULL: answered, or not asked */
    int family;
};

/* A name that is being resolved. */
struct lookup {
    struct connector *connector;
    struct question questions[2];
    uint32_t open; /* questions that are not answered yet */
    const char *name;
    uint16_t port;
    bool named;
    uint32_t rank, rotation;     /* of its first address; where its addresses begin */
    uint32_t found;              /* addresses */
    enum resolver_status status; /* the most telling failure */
    const char *text;
};

/* The addresses of a name take as many ranks, those of both families in turn. */
#define RANKS_A_NAME (2 * RESOLVER_MAX_ADDRESSES + 2)

/* RESOLVING until the first address is tried, RACING while some may still be. ENDED lasts until the loop
 * comes round: done() is never called from below a caller. */
enum connector_state { CONNECTOR_RESOLVING, CONNECTOR_RACING, CONNECTOR_ENDED };

struct connector {
    enum connector_state state;
    struct event_base *base;
    struct resolver *resolver;
    struct connect_plan plan;
    void (*done)(void *ctx, struct connect_result *r);
    void *ctx;
    uint64_t began_us;
    struct timer deadline;
    struct timer pace; /* when the next address may start */
    struct timer turn; /* when handshakes go on that the loop had no time for */
    struct event ended;
    struct connect_result result; /* the error is the most telling one so far */
    uint32_t under_way, failed;   /* attempts */
    const struct attempt *queued; /* a unix listener whose queue was full when it was tried last */
    struct lookup *lookups;
    uint32_t lookup_count, questions_open;
    uint32_t attempt_count, attempt_room;
    struct attempt attempts[];
};

/* ---- connector.c */

/* Keeps the most telling failure. */
void connector_note(struct connector *c, enum connect_error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* All is stopped, and c->result is handed over when the loop comes round. */
void connector_end(struct connector *c);

/* Whom an attempt connects to, for messages: the address, and what a parent proxy has to do with it. Returns
 * out. */
#define CONNECTOR_PEER_SIZE 448
const char *connector_peer(const struct connector *c, const struct attempt *a, char out[CONNECTOR_PEER_SIZE]);

/* The connection of `a` is what was wanted. */
void connector_succeed(struct connector *c, struct attempt *a);

/* ---- connector_names.c */

/* Lists the addresses of the plan and the names to resolve. */
void names_gather(struct connector *c);
/* Asks for them; what comes at once is tried at once. */
void names_ask(struct connector *c);
/* The first name of which something is not known yet, or NULL. */
const char *names_unanswered(const struct connector *c);
void names_cancel(struct connector *c);

/* ---- connector_race.c */

/* Whether the policy lets us go there; notes why not. */
bool race_is_permitted(struct connector *c, const struct address *a, bool named);

/* One more address to try. */
void race_add(struct connector *c, const struct address *address, bool named, uint32_t rank);
/* Tries the next address; ends when none is left and none is to come. */
void race_try_next(struct connector *c);
/* Closes an attempt under way; its address may be tried again. */
void race_close(struct attempt *a);
/* Remembers the addresses of all attempts under way that began so long before `now` as failed. */
void race_remember_slow(struct connector *c, uint64_t now, uint64_t ms);

/* ---- connector_handshake.c */

/* `a` is connected, and its state says what comes first: asking the parent for a tunnel, or TLS over it. */
void handshake_begin(struct attempt *a);
/* Its connection is ready, or its turn has come. */
void handshake_go_on(struct attempt *a);

#endif
