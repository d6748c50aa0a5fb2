#ifndef CARPOOL_ADMIN_SPAN_H
#define CARPOOL_ADMIN_SPAN_H

/* What happened to an agent or an origin within a span of time: a minute, or the sum of many. */

#include <stdint.h>

#include "admin/load.h"
#include "admin/text.h"
#include "pool/stats.h"

struct span {
    uint32_t requests, reused, opened, retries, client_aborts;
    uint32_t carried; /* requests that a connection carried, as savings_carried() */
    uint32_t opened_for[OPENED_FOR_COUNT];
    uint32_t held[HELD_BY_COUNT];        /* requests that found no place */
    uint32_t held_before[HELD_BY_COUNT]; /* of the hour: of these, under other limits than now */
    uint32_t waited, waited_ms;   /* of them, those that were not refused at once, and how long together */
    uint32_t paused_ms;           /* of waited_ms, the time in pauses */
    uint32_t refused, queue_full; /* by a limit; of these, at once */
    uint32_t errors, connects_failed; /* but for `refused`; connections that could not be made */
    uint32_t
        used_ms; /* for how long requests and tunnels had connections, and waited for them to be opened */
    uint32_t timed_out,
        timed_out_ms; /* requests whose time ran out on a connection, and for how long they had it */
    uint32_t peer_closed,
        peer_closed_idle_ms; /* free connections that the origin closed; their idle ages, summed */
    uint32_t idle_goaways;   /* of peer_closed, those closed by GOAWAY */
    uint32_t active, connecting, free, waiting; /* the most at a time, looked at each second */
    uint32_t demand;                            /* the most requests that ran or waited at a time */
    uint32_t p50_us, p99_us; /* of whole responses; of a sum: of its worst minute, as what follows */
    uint32_t waited_p99_us, connect_p99_us;
    struct load load; /* of the hour */
};

/* What came between two states of the same counters. The peaks of `out` stay as they are. */
void span_between(const struct origin_stats *from, const struct origin_stats *to, struct span *out);

void span_add(struct span *to, const struct span *from);

/* Nothing was asked or opened. */
bool span_is_empty(const struct span *s);

/* Fields of a JSON object, without its braces, each after a comma; what is zero is left out. */
void span_write(struct text *t, const struct span *s);

#endif
