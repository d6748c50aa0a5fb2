#ifndef CARPOOL_POOL_SPARES_H
#define CARPOOL_POOL_SPARES_H

/* minFreeSockets: connections that are opened before a request asks for one. */

#include "wire/retire.h"

struct origin;
struct socket;

/* Opens as many as are missing and allowed; after a failure, one at a time. */
void spares_open(struct origin *o);

/* One failed to connect: the next is tried after 1 s, then 2 s, ... 30 s. */
void spares_back_off(struct origin *o);

/* One of its sockets was retired. Where the origin ends unused connections at once, that is a failure,
 * too. */
void spares_retired(const struct socket *s, enum retire_reason reason);

/* It has been free for a while. Where it was opened after the back-off, earlier failures no longer count. */
void spares_forget_failures(const struct socket *s);

#endif
