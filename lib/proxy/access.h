#ifndef CARPOOL_PROXY_ACCESS_H
#define CARPOOL_PROXY_ACCESS_H

/* Who may use Carpool, and where Carpool may connect. */

#include <stdbool.h>

#include "base/address.h"
#include "config/config.h"
#include "io/connector.h"

/* Whether a client with this address may use a TCP listener; a unix socket's file mode decides for the
 * others. Asked for each request, so that a reload holds for connections that are open already. */
bool access_client_allowed(const struct config *c, const struct peer_address *peer);

bool access_connect_port_allowed(const struct config *c, uint16_t port);

/* Asked about the very address of each attempt: the deny list looks at IPv4 addresses inside IPv6 ones as
 * well. `named` addresses are the operator's word, and only a loop is refused. `own` are the addresses of
 * all listeners. Where the system does not say whether an address is this host's, a target at the port of a
 * listener on all addresses is refused as a loop. */
enum connect_error access_permit(const struct config *c, const struct address *own, unsigned own_count,
                                 const struct address *a, bool named);

/* What an app may want of Carpool itself at this port, for people: "listener for payments", "admin listener".
 * False: nothing. */
bool access_own_listener(const struct config *c, uint16_t port, char *whose, size_t size);

#endif
