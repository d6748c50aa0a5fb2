#ifndef CARPOOL_POOL_SPARES_H
#define CARPOOL_POOL_SPARES_H

/* minFreeSockets: connections that are opened before a request asks for one. */

struct origin;

/* Opens as many as are missing and allowed. */
void spares_open(struct origin *o);

/* One failed to connect: the next is tried after 1 s, then 2 s, ... 30 s. */
void spares_back_off(struct origin *o);

#endif
