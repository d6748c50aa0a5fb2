#include "proxy/stats.h"

#include <stddef.h>

void proxy_stats_add(struct proxy_stats *to, const struct proxy_stats *from)
{
    to->clients_total += from->clients_total;
    to->clients_refused += from->clients_refused;
    for (size_t i = 0; i < CLIENT_CLOSE_COUNT; i++)
        to->clients_closed[i] += from->clients_closed[i];
    for (size_t i = 0; i < sizeof to->requests_by_status / sizeof to->requests_by_status[0]; i++)
        to->requests_by_status[i] += from->requests_by_status[i];
    for (size_t i = 0; i < HANDSHAKE_COUNT; i++)
        to->handshakes[i] += from->handshakes[i];
    to->clients_open += from->clients_open;
    to->clients_idle += from->clients_idle;
    to->tunnels_open += from->tunnels_open;
    to->handed_over += from->handed_over;
}
