#ifndef CARPOOL_ADMIN_SERVER_H
#define CARPOOL_ADMIN_SERVER_H

/* The admin API: what comes by the daemon's admin listeners, on the first loop, beside the proxy. */

#include <event2/event.h>
#include <stdbool.h>

#include "config/config.h"
#include "pool/pool.h"
#include "proxy/proxy.h"

/* What the daemon lets the admin API see and do. All pointers are the daemon's and outlive the server. */
struct admin_daemon {
    struct event_base *base;
    struct pool *const *pools; /* one a loop; each agent has a share in each */
    struct proxy *const *proxies;
    unsigned count;
    /* All loops stand still between these two; the calls below may be nested in them. */
    void (*halt)(void *ctx);
    void (*go_on)(void *ctx);
    struct config *(*config)(void *ctx); /* the present one, not counted */
    bool (*reload)(void *ctx, char *error,
                   size_t error_size); /* false: the old one is kept and `error` says why */
    bool (*stopping)(void *ctx);
    void *ctx;
    const char *instance; /* this instance's own name */
    uint64_t started_wall_ms;
    /* Of the last reload (the start counts as one). */
    const bool *reload_success;
    const uint64_t *reload_wall_ms;
};

struct admin;

/* NULL when memory is short. */
struct admin *admin_new(const struct admin_daemon *daemon);
/* Serves a connection that one of the daemon's admin listeners accepted, and takes it over.
 * `listener` is only compared. */
void admin_accept(struct admin *a, const void *listener, int fd, const struct address *peer);
/* Nobody may command by this listener any more: its connections end, one that is being answered behind its
 * answer. */
void admin_listener_closed(struct admin *a, const void *listener);
void admin_free(struct admin *a);

#endif
