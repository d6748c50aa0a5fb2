#ifndef CARPOOL_ADMIN_TRAFFIC_H
#define CARPOOL_ADMIN_TRAFFIC_H

/* How long Carpool has run, and how much it does a second, over the last ten seconds. */

#include "pool/pool.h"

#define TRAFFIC_SAMPLES 11

struct traffic {
    uint64_t began_ms;
    struct traffic_sample {
        uint64_t ms, requests, errors;
    } samples[TRAFFIC_SAMPLES]; /* a ring; the newest is at (count - 1) % TRAFFIC_SAMPLES */
    uint64_t count;
};

void traffic_begin(struct traffic *t);
/* Takes the counters of all agents; to be called once a second. */
void traffic_take(struct traffic *t, const struct pool *pool);

uint64_t traffic_uptime_ms(const struct traffic *t);
double traffic_requests_per_second(const struct traffic *t);
double traffic_errors_per_second(const struct traffic *t);

#endif
