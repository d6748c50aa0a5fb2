#ifndef CARPOOL_DAEMON_LISTENERS_H
#define CARPOOL_DAEMON_LISTENERS_H

/* All ways in, each with an acceptor on every loop: the proxy's listeners, the gateways of upstreams, the
 * admin API's. A reload opens what is new before it closes what is gone. */

#include <stdbool.h>

#include "admin/server.h"
#include "config/config.h"
#include "daemon/systemd.h"
#include "daemon/workers.h"

struct listeners;

/* `passed` are the sockets that systemd handed over: one named `proxy` (or nothing) replaces the
 * top-level listen, `admin` admin.listen, `upstream.NAME` that upstream's. They are taken over. NULL when
 * memory is short. */
struct listeners *listeners_new(struct workers *workers, const struct service_fd *passed, int passed_count);

/* Opens, keeps and closes listeners so that they are those of the configuration. All or nothing: on
 * false, nothing has changed and `error` says why. */
bool listeners_configure(struct listeners *l, const struct config *c, char *error, size_t error_size);

/* Who serves the admin listeners; outlives the listeners. Before the first listeners_serve(). */
void listeners_set_admin(struct listeners *l, struct admin *admin);

/* Begins to take connections for the proxies and the admin API, and tells the proxies the addresses of all
 * listeners. Call it after every listeners_configure(), while the workers is halted. False: memory was
 * short, and one is not served. */
bool listeners_serve(struct listeners *l);

/* Stops taking connections: the proxy's listeners are closed (those of systemd stay open there, so that
 * no connection is lost). */
void listeners_stop(struct listeners *l);

void listeners_free(struct listeners *l);

#endif
