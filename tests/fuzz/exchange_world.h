#ifndef CARPOOL_TESTS_FUZZ_EXCHANGE_WORLD_H
#define CARPOOL_TESTS_FUZZ_EXCHANGE_WORLD_H

/* The world in which exchanges run: the real client, exchange, relay and pool over local sockets, with a
 * clock that stands still until it is told, system calls and memory that fail when they are told, and books
 * of all that was promised. */

#include "../unit/proxy_rig.h"

extern struct proxy_rig world_rig;

/* What goes wrong with Carpool's own calls during turns; all zero: nothing. */
struct world_trouble {
    unsigned after; /* the call behind so many fails; 0: none */
    int error;      /* in this way; ENOMEM: it is the next allocation that fails */
    size_t most;    /* bytes that a read or write moves; 0: any number */
    uint32_t again; /* not 0: reads and writes say EAGAIN now and then, in this order; an edge follows */
    bool blocks;    /* writes say EAGAIN until this is over */
};

extern struct world_trouble world_trouble;

/* Something that an end does while Carpool is at work: between two of its calls, when `after` have been
 * made. */
struct world_ambush {
    unsigned after; /* 0: none */
    void (*act)(void *ctx);
    void *ctx;
};

extern struct world_ambush world_ambush;

/* Once for each target: as it is at first. */
void world_open(void);

/* A client's end of a new connection. */
int world_client(void);

/* One turn of the loop; the pool is checked within, and that no limit is exceeded. */
void world_turn(void);

/* Turns until nothing more happens. */
void world_settle(void);

/* Time passes, and timers that are due fire in the next turn. */
void world_pass(uint64_t ms);

struct client;

/* exchange_boundaries.c: a client's connection begins; was read; begins a request. */
void world_trace_client(int fd);
void world_trace_read(int fd, const void *bytes, ssize_t n);
void world_check_boundary(const struct client *c);

/* exchange_deadlines.c */
void world_check_deadlines(void);

/* Everybody leaves. Then nothing may be left: no socket, no exchange, no buffer; and every request was told
 * of once, every place in a queue was answered or given up once. */
void world_end(int *clients, unsigned count);

#endif
