#ifndef CARPOOL_ADMIN_TRAFFIC_H
#define CARPOOL_ADMIN_TRAFFIC_H

/* How long Carpool has run, and how much it does: a sample a second, of two minutes. */

#include "admin/server.h"

#define TRAFFIC_SAMPLES 121
#define TRAFFIC_LATELY  10 /* of these, those that rates are of */

/* Of all agents, removed ones included, or of one row. */
struct traffic_counts {
    uint64_t requests, errors, refused; /* of errors, refusals by a limit are a part */
};

struct traffic {
    uint64_t began_ms;
    struct traffic_sample {
        uint64_t ms, clients_refused;
        struct traffic_counts counts; /* none of them ever goes down */
    } samples[TRAFFIC_SAMPLES];       /* a ring; the newest is at (count - 1) % TRAFFIC_SAMPLES */
    uint64_t count;
};

void traffic_begin(struct traffic *t);
/* Takes the counters of all loops; to be called once a second. */
void traffic_take(struct traffic *t, const struct admin_daemon *daemon);

/* The same for what is now, without keeping it. */
void traffic_gather(const struct admin_daemon *daemon, struct traffic_sample *out);

uint64_t traffic_uptime_ms(const struct traffic *t);

/* Over the last ten seconds. */
struct traffic_rates {
    double requests_per_second, errors_per_second, refused_per_second;
};

struct traffic_figures {
    struct traffic_rates rates;
    uint64_t failed;          /* requests that no limit refused, in the last two minutes */
    uint64_t clients_refused; /* in the last two minutes */
};

void traffic_figures(const struct traffic *t, const struct traffic_sample *now, struct traffic_figures *out);

/* What was counted when these samples were taken, of a row: so that the rates of all rows add up to those of
 * the daemon. All zero at first. */
struct traffic_ring {
    struct traffic_counts counts[TRAFFIC_LATELY];
};

void traffic_counts_add(struct traffic_counts *to, const struct origin_stats *stats);
/* Together with the newest sample; these are the counts of then. */
void traffic_ring_take(struct traffic_ring *r, const struct traffic *t, const struct origin_stats *stats);
/* What `from` counted is among what `to` counts now. */
void traffic_ring_add(struct traffic_ring *to, const struct traffic_ring *from);

/* Adds what was counted since the rates of now began; `r` NULL: all of it. */
void traffic_count_lately(const struct traffic *t, const struct traffic_ring *r,
                          const struct origin_stats *stats, struct traffic_counts *to);
struct traffic_rates traffic_rates(const struct traffic *t, const struct traffic_counts *lately,
                                   uint64_t now_ms);

#endif
