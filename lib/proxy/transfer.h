#ifndef CARPOOL_PROXY_TRANSFER_H
#define CARPOOL_PROXY_TRANSFER_H

/* What an exchange needs to move bytes, and only then: a request that waits for its first attempt has none.
 * It comes with the first attempt or the own answer, and stays until the exchange has ended. */

#include <stdbool.h>
#include <stdint.h>

#include "io/uptake.h"
#include "proxy/download.h"
#include "proxy/upload.h"
#include "wire/call.h"

struct exchange;
struct proxy;

/* As clock_us() or clock_ms(); 0: it has not come to that. */
struct transfer_times {
    uint64_t granted_us;
    uint64_t connect_us; /* what its socket's connect took */
    uint64_t moved_ms;   /* from when the origin's silence counts, if no byte moved since */
    uint64_t blocked_since_ms, body_grace_ms; /* time in which Carpool itself did not read from the client */
    uint64_t took_ms;                         /* when the client last took a byte, or was given the first */
};

/* How the attempts went. */
struct attempts {
    const char *protocol; /* of the latest one's socket; NULL: there was none, a tunnel, or no choice */
    uint32_t retries;
    uint16_t refusals; /* HTTP/2: repeats of what the origin did not process, but for routine ones */
    bool reused;       /* the latest one's socket had carried an exchange */
    bool may_be_stale; /* ... or had been free at least */
    bool was_free;     /* ... right before, not handed on by another exchange */
};

struct transfer {
    struct exchange *exchange;
    struct socket *socket; /* RELAY: on which it has a place */
    struct call call;      /* open while the exchange is in RELAY */
    struct attempts attempts;
    struct transfer_times times;
    struct uptake by_client, by_origin; /* what they take of what the kernel has for them */
    uint64_t reply_length;              /* bytes of content of an own answer */
    struct upload upload;
    struct download download;
};

/* Sees to it that the exchange has one. False: memory is short. */
bool transfer_take(struct exchange *e);

/* The exchange has ended, and its client may be gone: nothing on the stack knows its transfer any more. */
void transfer_give(struct proxy *p, struct exchange *e);

/* Frees the spare ones. */
void transfer_free_spares(struct proxy *p);

#endif
