#ifndef CARPOOL_PROXY_STATS_H
#define CARPOOL_PROXY_STATS_H

/* The counters of the clients' side. A client may go from one loop to another, so of several loops only the
 * sum of each gauge says something. */

#include <stdint.h>

#include "proxy/close_reason.h"

/* How a TLS handshake with a client ended. */
enum client_handshake { HANDSHAKE_OK, HANDSHAKE_UNTRUSTED, HANDSHAKE_FAILED, HANDSHAKE_COUNT };

struct proxy_stats {
    uint64_t clients_total;   /* connections accepted */
    uint64_t clients_refused; /* of these, answered 503: server.maxConnections */
    uint64_t clients_closed[CLIENT_CLOSE_COUNT];
    uint64_t requests_by_status[1000];   /* [0]: no response */
    uint32_t clients_open, clients_idle; /* active = open - idle */
    uint32_t tunnels_open;
    uint64_t handshakes[HANDSHAKE_COUNT];
    uint64_t handed_over; /* clients given to another loop, with a request */
};

void proxy_stats_add(struct proxy_stats *to, const struct proxy_stats *from);

#endif
