#ifndef CARPOOL_POOL_SPREAD_H
#define CARPOOL_POOL_SPREAD_H

/* Over the entries of `address`: one connection of HTTP/2 may carry all there is, so a further one goes to an
 * entry that has none. With HTTP/1.1 new connections take the entries in turn, which comes to the same. */

struct socket;

/* It is about to be connected. */
void spread_begin(struct socket *s);

/* It stands; another entry than the one that was chosen may have been quicker. */
void spread_established(struct socket *s);

#endif
