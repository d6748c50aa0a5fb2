#ifndef CARPOOL_POOL_RELOAD_H
#define CARPOOL_POOL_RELOAD_H

/* What a configuration does to one agent, its origins and its sockets. Used within the pool; the agents of
 * all pools are swapped in configure.h. */

struct agent;
struct config;
struct tls_context;
struct upstream;

/* Takes on a policy, the first or another one: an agent keeps sockets, queue and counters unless what decides
 * about its sockets changed, which drains them. The configuration is counted, `tls` is taken over; upstream
 * NULL: "default". */
void agent_configure(struct agent *a, struct config *config, const struct upstream *upstream,
                     struct tls_context *tls);

/* No upstream names it any more: it keeps nothing but what is running. */
void agent_remove(struct agent *a);

#endif
