#ifndef CARPOOL_WIRE_WIRE_H
#define CARPOOL_WIRE_WIRE_H

/* A connection that speaks HTTP: HTTP/1.1 (h1.h) carries one call at a time, HTTP/2 (h2.h) many. It knows
 * neither pool nor exchange: a call notifies its exchange, the wire its owner. */

#include <sys/queue.h>

#include "base/buffer.h"
#include "base/freelist.h"
#include "http/head.h"
#include "io/conn.h"
#include "io/low_water.h"
#include "wire/call.h"
#include "wire/retire.h"

struct h2;           /* h2_internal.h */
struct parent_proxy; /* config/config.h */

/* What is worth counting, and its value. */
enum wire_note {
    WIRE_RESET_BY_ORIGIN,  /* RST_STREAM: its error code (RFC 9113 7) */
    WIRE_RESET_BY_CARPOOL, /* the same */
    WIRE_GOAWAY,           /* the same */
    WIRE_PING,             /* answered: microseconds */
};

/* What the owner is notified of; only by the loop, never from within a function that it called. */
struct wire_owner {
    /* A call that was left (call_leave) has ended. RETIRE_NONE: see `end`; else the wire is of no further
     * use. */
    void (*left)(struct wire *w, enum retire_reason reason, const struct call_end *end);
    /* h2: wire_room() has changed. */
    void (*room)(struct wire *w);
    /* It takes no more calls; those that run go on (h2: GOAWAY, ping, flood). */
    void (*draining)(struct wire *w, enum retire_reason reason);
    /* h1: something came while no call was open: wire_probe() says what. */
    void (*readable)(struct wire *w);
    /* No call is open and it is of no further use. */
    void (*closed)(struct wire *w, enum retire_reason reason);
    /* h2: to be counted and nothing else: it may come at any time. */
    void (*noted)(struct wire *w, enum wire_note what, uint64_t value);
};

/* What the wires of one loop share. */
struct wire_loop {
    struct event_base *base;
    struct buffer_pool heads, bodies; /* its clients borrow from them, too */
    struct head_limits limits;        /* of response heads; a reload may change them */
    struct call_failure failure;  /* of the last call that failed: good until the next function of call.h */
    struct freelist spare_h1;     /* h1.c's */
    TAILQ_HEAD(, h1) yielded;     /* h1_turns.c's */
    struct event turn;            /* the same: the first of them goes on */
    struct low_waters low_waters; /* those of its clients, too */
    LIST_HEAD(, h2) h2_due;       /* h2.c's: those with something to do at the end of the turn */
    uint64_t h2_turn;
    uint64_t h2_grown; /* bytes by which windows of streams are larger than at first */
};

struct wire_ops {
    const char *name; /* "http/1.1", "h2" */
    bool (*open)(struct wire *w, struct call *c, const struct call_request *r);
    enum call_write (*send)(struct call *c, const struct call_content *content);
    enum call_part (*next)(struct call *c, struct head *head, struct slice *run);
    void (*consumed)(struct call *c, size_t n);
    uint64_t (*spliceable)(const struct call *c);
    ssize_t (*splice_in)(struct call *c, struct pipe *p, size_t n);
    bool (*takes_pipe)(const struct call *c);
    ssize_t (*splice_out)(struct call *c, struct pipe *p);
    void (*yield)(struct call *c);
    void (*finish)(struct call *c, struct call_end *end);
    bool (*leave)(struct call *c, uint64_t limit);
    void (*reset)(struct call *c);
    struct buffer *(*detach)(struct call *c);
    uint32_t (*room)(const struct wire *w);
    enum retire_reason (*probe)(struct wire *w);
    void (*close)(struct wire *w, bool reset);
};

/* Embedded in the pool's socket. */
struct wire {
    const struct wire_ops *ops;
    const struct wire_owner *owner;
    struct wire_loop *loop;
    struct conn conn; /* open, and watched */
    void *session;    /* the protocol's own */
    /* At its other end, which must know each request's origin; NULL: none */
    const struct parent_proxy *parent;
};

/* The rest of `loop` is zero, or set by the caller. */
void wire_loop_init(struct wire_loop *loop, struct event_base *base);

/* Frees what the loop keeps; no call is open. */
void wire_loop_destroy(struct wire_loop *loop);

/* For the wires: bytes of a call's request went, or of its response came. NULL: its owner has left. */
void call_sent(struct call *c, size_t n);
void call_received(struct call *c);

/* Opens a call: the head is queued, nothing is sent yet. The slices of `r` stay as they are until the call is
 * closed. wire_room() > 0. False: memory is short, and nothing was opened. */
static inline bool wire_open(struct wire *w, struct call *c, const struct call_request *r)
{
    return w->ops->open(w, c, r);
}

/* How many further calls it could carry now. */
static inline uint32_t wire_room(const struct wire *w)
{
    return w->ops->room(w);
}

/* A non-blocking look before a request that could not be repeated: RETIRE_NONE, or why it must not be used.
 * h2: takes in what has come (a GOAWAY). */
static inline enum retire_reason wire_probe(struct wire *w)
{
    return w->ops->probe(w);
}

/* Ends the connection, with `reset` by RST. No call is open. Idempotent. */
static inline void wire_close(struct wire *w, bool reset)
{
    w->ops->close(w, reset);
}

#endif
