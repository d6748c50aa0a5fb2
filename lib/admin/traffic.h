#ifndef CARPOOL_ADMIN_TRAFFIC_H
#define CARPOOL_ADMIN_TRAFFIC_H

/* How long Carpool has run, and how much it does: a sample a second, of two minutes. */

#include "admin/server.h"

#define TRAFFIC_SAMPLES 121

struct traffic {
    uint64_t began_ms;
    struct traffic_sample {
        uint64_t ms, requests, errors, refused, clients_refused;
    } samples[TRAFFIC_SAMPLES]; /* a ring; the newest is at (count - 1) % TRAFFIC_SAMPLES */
    uint64_t count;
};

void traffic_begin(struct traffic *t);
/* Takes the counters of all loops; to be called once a second. */
void traffic_take(struct traffic *t, const struct admin_daemon *daemon);

uint64_t traffic_uptime_ms(const struct traffic *t);
/* Over the last ten seconds. */
double traffic_requests_per_second(const struct traffic *t);
double traffic_errors_per_second(const struct traffic *t);
/* Of these errors, refusals by a limit. */
double traffic_refused_per_second(const struct traffic *t);
/* In the last two minutes. */
uint64_t traffic_clients_refused(const struct traffic *t);

#endif
