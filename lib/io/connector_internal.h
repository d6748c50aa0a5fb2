#ifndef CARPOOL_IO_CONNECTOR_INTERNAL_H
#define CARPOOL_IO_CONNECTOR_INTERNAL_H

/* What the connector*.c files share: connector.c begins and ends, connector_names.c finds the addresses,
 * connector_race.c connects to them, connector_handshake.c does what follows on the one that won. */

#include <event2/event_struct.h>

#include "base/timer.h"
#include "io/connector.h"
#include "io/resolver.h"

#define ATTEMPTS_MAX 64

/* An address and the connection that is tried there. */
struct attempt {
    struct connector *connector;
    enum { ATTEMPT_UNTRIED, ATTEMPT_CONNECTING, ATTEMPT_FAILED } state;
    struct address address;
    bool named;    /* it comes from the upstream's `address` */
    uint32_t rank; /* lower is sooner */
    uint64_t began_ms;
    int fd; /* CONNECTING */
    struct event event;
};

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

/*
 *                  addresses       first to connect           agrees
 *   RESOLVING ----------------> RACING -----------> PARENT -----------> HANDSHAKE --> ENDED --> done()
 *       |                       |    ^                |                   |   |          ^
 *       |                       |    +-- peer closed: the next one -------+   +- refused-+
 *       +-- no name resolves ---+-- no address is left, deadline ------------------------+
 *
 * PARENT where the plan says so, HANDSHAKE where it has TLS: without either, the first to connect ends it. ENDED lasts until
 * the loop comes round: done() is never called from below a caller. */
enum connector_state {
    CONNECTOR_RESOLVING,
    CONNECTOR_RACING,
    CONNECTOR_PARENT,
    CONNECTOR_HANDSHAKE,
    CONNECTOR_ENDED
};

struct connector {
    enum connector_state state;
    struct event_base *base;
    struct resolver *resolver;
    struct connect_plan plan;
    void (*done)(void *ctx, struct connect_result *r);
    void *ctx;
    uint64_t began_us;
    struct timer deadline, pace; /* pace: when the next address may start, or the handshake goes on */
    struct event ended;
    struct attempt *winner;       /* PARENT, HANDSHAKE */
    struct parent_talk *talk;     /* PARENT */
    struct connect_result result; /* the error is the most telling one so far */
    uint32_t trying, failed;
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

/* All is stopped, and c->result is told when the loop comes round. */
void connector_end(struct connector *c);

/* Whom an attempt connects to, for messages: the address, and what a parent proxy has to do with it. Returns out. */
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
/* Gives up an attempt under way; its address may be tried again. */
void race_close(struct attempt *a);

/* ---- connector_handshake.c */

/* `a` is connected: asks the parent for a tunnel and lays TLS over it, where the plan says so. */
void handshake_begin(struct connector *c, struct attempt *a);
/* The winner's connection is ready, or its turn has come. */
void handshake_go_on(struct connector *c);

#endif
