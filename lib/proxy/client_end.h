#ifndef CARPOOL_PROXY_CLIENT_END_H
#define CARPOOL_PROXY_CLIENT_END_H

/* The end of a client's connection: so that what it was told last arrives whole, whatever it still sends.
 *
 *   ENDING --end of TLS, FIN--> LINGERING --its end, too much, a second--> closed
 *
 * Nothing keeps plain connections in ENDING. The end of TLS waits there for room as other output does: for
 * server.timeout. */

#include "proxy/client.h"

/* After its last response: closes, at once or later. */
void client_end(struct client *c, enum client_close reason);

/* The same for one of which more may come. */
void client_linger(struct client *c, enum client_close reason);

/* Of one in ENDING or LINGERING: its connection is ready, its deadline has come, its limit may have
 * changed. */
void client_end_ready(struct client *c, unsigned ready);
void client_end_on_deadline(struct client *c);
void client_end_arm(struct client *c);

#endif
