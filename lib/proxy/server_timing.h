#ifndef CARPOOL_PROXY_SERVER_TIMING_H
#define CARPOOL_PROXY_SERVER_TIMING_H

/* What a request waited for, for its developer, in the final response (server.serverTiming; W3C Server
 * Timing). */

#include "proxy/exchange.h"

/* Three metrics and the longest reason. */
#define SERVER_TIMING_SIZE 160

/* The whole field line, in `room`; empty where it is not wanted. The exchange has its socket, and the
 * response's head has come. */
struct slice server_timing(const struct exchange *e, char room[SERVER_TIMING_SIZE]);

#endif
