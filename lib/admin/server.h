#ifndef CARPOOL_ADMIN_SERVER_H
#define CARPOOL_ADMIN_SERVER_H

/* The admin listener: HTTP by libevent's evhttp, on the same loop as the proxy, beside it. */

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

/* Serves listening descriptors that it takes over with admin_listen(). NULL when memory is short. */
struct admin *admin_new(const struct admin_daemon *daemon);
/* Takes over a listening, non-blocking descriptor. */
bool admin_listen(struct admin *a, int fd);
/* Closes every listening descriptor (a reload opens others); open connections finish. */
void admin_unlisten(struct admin *a);
void admin_free(struct admin *a);

#endif
