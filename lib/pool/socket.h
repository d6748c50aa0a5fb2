#ifndef CARPOOL_POOL_SOCKET_H
#define CARPOOL_POOL_SOCKET_H

/* One connection from an agent to an origin, and its life. What it carries is in place.h.
 *
 *   CONNECTING --established--> ACTIVE <--> ROOMY     carries exchanges; ROOMY (HTTP/2): has room for more
 *       |            |           ^ |          |
 *       |      no one waits      | |  its last exchange ends, and no one waits
 *       |            v           | v          |
 *       |           FREE <-------+-+----------+       carries none
 *       |            |             |
 *       |            |             v
 *       |            |    DRAINING, SENT_AWAY         carries exchanges, and takes no more (HTTP/2)
 *       v            v             v
 *      DEAD <---- socket_retire(): every way out has a reason
 *
 *   ACTIVE <-- socket_take_private, socket_keep_private --> PRIVATE: bound to one user (NTLM), who asks nothing now
 *
 * The state is the list it stands on; socket_move() alone changes both. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/timer.h"
#include "io/connector.h"
#include "pool/ledger.h"
#include "pool/path.h"
#include "pool/reuse.h"
#include "pool/stats.h"
#include "wire/retire.h"
#include "wire/wire.h"

struct origin;
struct waiter;

enum protocol { PROTOCOL_UNKNOWN, PROTOCOL_HTTP1, PROTOCOL_HTTP2 };

enum socket_state {
    SOCKET_CONNECTING,
    SOCKET_ACTIVE,    /* carries exchanges, and has no room for more */
    SOCKET_ROOMY,     /* carries exchanges, and has room for more: HTTP/2 only */
    SOCKET_PRIVATE,   /* carries none, and its place is kept for one user; on the active list */
    SOCKET_FREE,      /* carries none */
    SOCKET_DRAINING,  /* ends with the last exchange that it carries, and takes no more: HTTP/2 only */
    SOCKET_SENT_AWAY, /* the same at the origin's word, and it counts under no limit any more */
    SOCKET_DEAD,
};

/* Why a free socket has no room for now. It gives up its place before a request waits for one. */
enum aside {
    ASIDE_NOT,
    ASIDE_DOUBTED, /* path.h */
    ASIDE_TRIAL,   /* learned.h */
};

struct socket {
    struct wire wire; /* its conn is open from ACTIVE on */
    enum socket_state state;
    TAILQ_ENTRY(socket) link; /* on the origin's list of its state, or on the pool's graveyard */
    TAILQ_ENTRY(socket) lru;  /* FREE, PRIVATE: on the agent's list of these, least recently used first */
    struct origin *origin;
    struct connector *connector; /* CONNECTING */
    /* CONNECTING: what the connector reads; it holds `config` and the TLS context */
    struct connect_plan plan;
    struct config *config; /* what `plan` and `wire.parent` point into, while they do */
    struct waiter *owner;  /* CONNECTING: the last repeat of this request, which no other may take */
    /* The list on which its only user keeps it, since socket_keep_private(); NULL: any may use it */
    struct socket **keeper;
    struct socket *next_kept; /* on that list */
    /* FREE, PRIVATE: until the look after the response, then until it is too old to be trusted */
    struct timer idle;
    bool http1_only;           /* HTTP/2 was not offered: it says nothing of what the origin speaks */
    enum protocol protocol;    /* HTTP/2 reads its connection at all times; with HTTP/1.1 its user does */
    uint32_t capacity;         /* exchanges that it may carry at a time; CONNECTING: that it is expected to */
    uint32_t in_use;           /* places on it that are taken: a place is taken when it is given */
    uint32_t unbegun;          /* of those, the ones whose exchange has not begun yet */
    enum retire_reason ending; /* DRAINING, SENT_AWAY: why */
    enum opened_for opened_for; /* CONNECTING: SPARE, RETRY or CONCURRENCY, so far */
    uint32_t generation;        /* the origin's when it was opened */
    uint32_t permitted_in;      /* pool->reloads when it was last known that it may lead where it does */
    uint32_t exchanges;         /* begun */
    uint64_t began_ms, opened_ms, idle_since_ms;
    bool was_free;       /* right before its present user got it, not handed on by another */
    uint64_t greeted_us; /* HTTP/2: when the preface was queued */
    bool tls_resumed;
    double age_spread;   /* the part of maxSocketAge that is taken off for this one */
    uint64_t connect_us; /* what the connect took */
    struct address peer;
    uint32_t entry; /* of `address`, where there is one: that it leads to */
    struct socket_path path;
    enum aside aside; /* FREE */
    bool has_hint_timeout, has_hint_max;
    uint64_t hint_timeout_ms, hint_left;
};

/* A drain, a reload or a move came since it was opened: no new request may use it. */
bool socket_is_outdated(const struct socket *s);

/* Whether a connection to where it leads would be permitted now: a reload may have forbidden that. */
bool socket_is_permitted(struct socket *s);

/* An active one waits for the next request of its only user, on whose list `*keeper` it stands from now on:
 * watched and timed out as if it were free. However it ends, it leaves the list. */
void socket_keep_private(struct socket *s, struct socket **keeper);

/* That request has come. */
void socket_take_private(struct socket *s);

/* Its keeper gives it up: it leaves the list. Nothing where it has none. */
void socket_disown(struct socket *s);

/* Ends it, in whatever state, under a name: closed now, freed at the end of the loop turn. Its places go with
 * it: who has one may not give it back; who was given one and is not notified yet waits again, at the head of
 * the queue. */
void socket_retire(struct socket *s, enum retire_reason reason);

/* An exchange, which got it at `taken_ms`, has found that the origin closed it, as origins do with what is
 * idle for too long. */
void idle_closed_under_request(struct socket *s, uint64_t taken_ms);

/* How long a free one is kept by what was learned of its origin; 0: that does not matter. What was learned is how
 * long the origin waits after a request: of a socket that has carried none it says nothing. */
uint64_t socket_learned_ms(const struct socket *s);

/* For a tunnel: its bytes are no HTTP any more. */
static inline struct conn *socket_conn(struct socket *s)
{
    return &s->wire.conn;
}

/* Asked before an exchange begins: RETIRE_NONE, or why the socket must not be used after all (an unread byte,
 * an end of file, an error). It costs a system call only where something was reported, or where a request
 * that could not be repeated meets a socket that may be stale. */
enum retire_reason socket_look(struct socket *s, bool repeatable);

/* Used within the pool. */

/* Opens a connection of the origin's, for `owner` alone when that is not NULL: its place is taken at once.
 * NULL when memory is short. */
struct socket *socket_connect(struct origin *o, struct waiter *owner, enum opened_for why);

/* CONNECTING: the connection speaks this, and carries so many exchanges; or it could not be made. */
void socket_established(struct socket *s, enum protocol protocol, uint32_t capacity);
void socket_connect_failed(struct socket *s, const struct connect_result *r);

static inline struct socket *socket_of(struct wire *w)
{
    return (struct socket *)((char *)w - offsetof(struct socket, wire));
}

/* CONNECTING: its owner has left, and it is anybody's. */
void socket_lose_owner(struct socket *s);

/* Carries nothing and no request waits for it. It is free then, or ends. */
void socket_become_free(struct socket *s);

/* A reload changed the time limits, which are counted from when what they limit began. */
void socket_limits_changed(struct socket *s);

/* DRAINING or SENT_AWAY: the next connection stands in for it already. */
static inline bool socket_is_ending(const struct socket *s)
{
    return s->state == SOCKET_DRAINING || s->state == SOCKET_SENT_AWAY;
}

/* Whether a free one may carry requests. */
void socket_set_aside(struct socket *s, enum aside why);

/* The only way to another state. */
void socket_move(struct socket *s, enum socket_state to);

#endif
