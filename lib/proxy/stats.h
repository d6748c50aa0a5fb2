#ifndef CARPOOL_PROXY_STATS_H
#define CARPOOL_PROXY_STATS_H

/* The counters of the clients' side. */

#include <stdint.h>

#include "proxy/close.h"

struct proxy_stats {
    uint64_t clients_total; /* connections accepted */
    uint64_t clients_closed[CLIENT_CLOSE_COUNT];
    uint64_t requests_by_status[600];    /* [0]: no response */
    uint32_t clients_open, clients_idle; /* active = open - idle */
    uint32_t tunnels_open;
};

#endif
