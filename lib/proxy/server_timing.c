#include "proxy/server_timing.h"

#include <stdio.h>

#include "base/clock.h"

/* What it waited for a new socket while no limit held it. A spare was there before it came, and a connect may
 * have begun before, too. */
static uint64_t connect_share(const struct exchange *e)
{
    return e->transfer->attempts.reused
               ? 0
               : stopwatch_total_us(&e->waiter.waited) - stopwatch_total_us(&e->waiter.pending);
}

struct slice server_timing(const struct exchange *e, char room[SERVER_TIMING_SIZE])
{
    if (!e->client->proxy->config->server.serverTiming)
        return SLICE("");
    uint64_t connect = connect_share(e);
    int n =
        snprintf(room, SERVER_TIMING_SIZE,
                 "Server-Timing: carpool-wait;dur=%.1f, carpool-connect;dur=%.*f;desc=\"%s\", "
                 "carpool-origin;dur=%.1f\r\n",
                 (double)(stopwatch_total_us(&e->waiter.waited) - connect) / 1e3,
                 e->transfer->attempts.reused ? 0 : 1, (double)connect / 1e3,
                 e->transfer->attempts.reused ? "reused" : opened_for_word(e->transfer->socket->opened_for),
                 (double)(clock_us() - e->transfer->times.granted_us) / 1e3);
    return (struct slice){room, (size_t)n};
}
