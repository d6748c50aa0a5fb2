#ifndef CARPOOL_DAEMON_STATE_H
#define CARPOOL_DAEMON_STATE_H

/* What the files of this folder share: the daemon as a whole, which is the main thread's. Inside lib/daemon
 * only. */

#include "admin/server.h"
#include "base/timer.h"
#include "daemon/daemon.h"
#include "daemon/listeners.h"
#include "daemon/reload.h"
#include "daemon/workers.h"

/*  STARTING --ready--> SERVING --SIGTERM--> LEAVING --shutdownDelay--> STOPPING --idle, or shutdownTimeout--> STOPPED
 *
 *  A second signal leads from LEAVING and STOPPING to STOPPED. In LEAVING requests are served as ever. */
enum phase { STARTING, SERVING, LEAVING, STOPPING, STOPPED };

struct daemon {
    const struct daemon_options *options;
    struct config *config; /* in force; counted */
    enum phase phase;
    char instance[CONFIG_NAME_MAX + 1];
    struct workers workers;
    struct event_base *base; /* of the first loop, which is this thread's */
    struct listeners *listeners;
    struct admin *admin;
    struct event *signals[4];
    struct reloader reloader;
    struct timer watchdog, tick, delay, deadline, idle_check;
    unsigned ticks;
    uint64_t started_wall_ms;
};

/* Tells systemd the figures of now. daemon.c */
void daemon_say_status(struct daemon *d);

#endif
