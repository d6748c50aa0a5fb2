#ifndef CARPOOL_DAEMON_LISTENERS_H
#define CARPOOL_DAEMON_LISTENERS_H

/* All ways in: the proxy's listeners, the gateways of upstreams, the admin API's. A configuration's are
 * prepared beside those that are open, then take their place in one step:
 *
 *   OPEN --listeners_prepare()--> OPEN + prepared --listeners_commit()--> OPEN
 *                                                 --listeners_discard()--> OPEN, as before
 *
 * An address that moves from one use to another keeps its sockets, so that no client is refused meanwhile. */

#include <stdbool.h>

#include "admin/text.h"
#include "config/config.h"
#include "daemon/systemd.h"
#include "daemon/workers.h"

/* Of the environment: the path of a unix socket at which the admin API is served to this user and root,
 * too. */
#define CONTROL_SOCKET_VARIABLE "CARPOOL_CONTROL_SOCKET"

struct admin;
struct listeners;

/* `passed` are the sockets that systemd handed over: one named `proxy` (or nothing) replaces the
 * top-level listen, `admin` admin.listen, `upstream.NAME` that upstream's. They are taken over. NULL when
 * memory is short. */
struct listeners *listeners_new(struct workers *workers, struct admin *admin, const struct service_fd *passed,
                                int passed_count);

/* Whatever can fail; the other loops may turn meanwhile. On false nothing has changed and `error` says
 * why. */
bool listeners_prepare(struct listeners *l, const struct config *c, char *error, size_t error_size);

/* Cannot fail. While all loops stand still, after what the configuration says of pools and proxies is in
 * force. */
void listeners_commit(struct listeners *l, const struct config *c);

void listeners_discard(struct listeners *l);

/* {"listeners": [...]}: those that are open, for the admin API. */
void listeners_write(const struct listeners *l, struct text *out);

/* Where a client gets a path of the admin API: "http://127.0.0.1:3129/ca.pem", or "/ca.pem of unix:/path". */
void listeners_write_admin_path(const struct listeners *l, const char *path, struct text *out);

/* Stops taking connections, but for the admin API's (those of systemd stay open there, so that none is
 * lost). */
void listeners_stop(struct listeners *l);

void listeners_free(struct listeners *l);

#endif
