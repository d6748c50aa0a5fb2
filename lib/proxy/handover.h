#ifndef CARPOOL_PROXY_HANDOVER_H
#define CARPOOL_PROXY_HANDOVER_H

/* A request is served by the loop in which its origin lives. A client that asks for another one goes there
 * whole: descriptor, what it has sent, and the time at which that began. Nothing of it stays, so no two loops
 * ever look at one client, and its next request finds it where the last one was served.
 *
 *   its loop                      end of the turn         the other loop
 *   READING --head is whole--> MOVING ----mailbox----> READING --the same head--> EXCHANGE */

#include "proxy/client.h"
#include "proxy/route.h"

/* The client's head is whole and leads there. False: its origin lives here. */
bool handover_begin(struct client *c, const struct route *route);

/* Posts those who go, a batch for each loop. Called at the end of a turn. */
void handover_flush(struct proxy *p);

#endif
