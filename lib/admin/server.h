#ifndef CARPOOL_ADMIN_SERVER_H
#define CARPOOL_ADMIN_SERVER_H

/* The admin API: what comes by the daemon's admin listeners, on the first loop, beside the proxy. */

#include <event2/event.h>
#include <stdbool.h>

#include "admin/text.h"
#include "config/config.h"
#include "pool/pool.h"
#include "proxy/proxy.h"

/* How the last reload went; the start counts as one. */
struct reload_report {
    uint64_t number; /* how many there were; 0: it is of the start */
    bool ok;
    uint64_t wall_ms;
    const char *error;    /* why the old configuration stays, all lines of it; NULL when ok */
    const char *warnings; /* about the one in force, a line each; "": none, or not ok */
};

/* What the daemon lets the admin API see and do. All pointers are the daemon's and outlive the server. */
struct admin_daemon {
    struct event_base *base;
    struct pool *const *pools; /* one per loop; each agent has a share in each */
    struct proxy *const *proxies;
    unsigned count;
    /* All loops stand still between these two; the calls below may be nested in them. */
    void (*halt)(void *ctx);
    void (*go_on)(void *ctx);
    struct config *(*config)(void *ctx); /* the present one, not counted */
    /* Asks for a reload, and returns at once: admin_reloaded() is called later with this number. */
    uint64_t (*reload)(void *ctx);
    bool (*stopping)(void *ctx);
    void (*listeners)(void *ctx, struct text *out); /* {"listeners": [...]}: what it listens on now */
    /* Where a client gets this path of the admin API: "http://127.0.0.1:3129/ca.pem", or in words */
    void (*admin_path)(void *ctx, const char *path, struct text *out);
    void *ctx;
    const char *instance; /* this instance's own name */
    uint64_t started_wall_ms;
    const struct reload_report *last_reload;
};

struct admin;

/* NULL when memory is short. */
struct admin *admin_new(const struct admin_daemon *daemon);
/* Serves a connection that one of the daemon's admin listeners accepted, and takes it over. `listener` is only
 * compared. */
void admin_accept(struct admin *a, const void *listener, int fd, const struct address *peer);
/* No command is taken from this listener any more: its connections end, one that is being answered after its
 * answer. */
void admin_listener_closed(struct admin *a, const void *listener);
/* The reload of this number, of which last_reload says how it went, is over, and so are those before it; with
 * 0, the start. */
void admin_reloaded(struct admin *a, uint64_t number);
void admin_free(struct admin *a);

#endif
