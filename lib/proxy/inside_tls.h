#ifndef CARPOOL_PROXY_INSIDE_TLS_H
#define CARPOOL_PROXY_INSIDE_TLS_H

/* TLS inside a CONNECT, from its ClientHello to the end of the handshake: the part of inside.c that answers
 * it. */

#include "proxy/inside.h"

/* Whether connectTls may sign for this host now. */
bool inside_may_sign(const struct config *config, const struct uri *to);

/* INSIDE_HELLO: goes on with a ClientHello of which the first bytes are in c->in. True: more of it must come,
 * and nothing is there. */
bool inside_take_hello(struct client *c);

/* INSIDE_HANDSHAKE: goes on with it. */
void inside_shake_hands(struct client *c);

/* A proxy's event: begins those that are QUEUED. */
void inside_begin_handshakes(evutil_socket_t fd, short what, void *proxy);

/* It is over, and counted. */
void inside_end_handshake(struct client *c, enum client_handshake result);

#endif
