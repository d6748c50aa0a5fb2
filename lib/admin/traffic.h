#ifndef CARPOOL_ADMIN_TRAFFIC_H
#define CARPOOL_ADMIN_TRAFFIC_H

/* How long Carpool has run, and how much it does: a sample a second, of two minutes. */

#include "admin/server.h"

#define TRAFFIC_SAMPLES 121

struct traffic {
    uint64_t began_ms;
    struct traffic_sample {
        /* Of all agents, removed ones included: none of them ever goes down */
        uint64_t ms, requests, errors, refused, clients_refused;
    } samples[TRAFFIC_SAMPLES]; /* a ring; the newest is at (count - 1) % TRAFFIC_SAMPLES */
    uint64_t count;
};

void traffic_begin(struct traffic *t);
/* Takes the counters of all loops; to be called once a second. */
void traffic_take(struct traffic *t, const struct admin_daemon *daemon);

/* The same for what is now, without keeping it. */
void traffic_gather(const struct admin_daemon *daemon, struct traffic_sample *out);

uint64_t traffic_uptime_ms(const struct traffic *t);

struct traffic_figures {
    double requests_per_second, errors_per_second; /* over the last ten seconds */
    double refused_per_second;                     /* of these errors, refusals by a limit */
    uint64_t failed;          /* requests that no limit refused, in the last two minutes */
    uint64_t clients_refused; /* in the last two minutes */
};

void traffic_figures(const struct traffic *t, const struct traffic_sample *now, struct traffic_figures *out);

#endif
