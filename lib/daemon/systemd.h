#ifndef CARPOOL_DAEMON_SYSTEMD_H
#define CARPOOL_DAEMON_SYSTEMD_H

/* What the service manager and the daemon say to each other: sd_notify(3), sd_watchdog_enabled(3),
 * sd_listen_fds(3). Everything here does nothing when systemd did not start the process, or when Carpool
 * was built without libsystemd. */

#include <stdbool.h>
#include <stdint.h>

struct service_fd {
    int fd;
    char name[64]; /* FileDescriptorName; "" when none was given */
};

/* Started, or a reload has ended (well or not). */
void service_notify_ready(void);
/* A reload begins; service_notify_ready() must follow. */
void service_notify_reloading(void);
/* A stop begins that may take this long. */
void service_notify_stopping(uint64_t extend_usec);
/* One line for `systemctl status`; a line end in it is shown as a space. */
void service_notify_status(const char *text);

/* Milliseconds within which service_notify_watchdog() must be called, again and again; 0: there is no
 * watchdog. */
uint64_t service_watchdog_ms(void);
void service_notify_watchdog(void);

/* The listening sockets that were passed, non-blocking and close-on-exec, in their order; returns how
 * many. What was passed and is no listening stream socket, or is one too many, is closed and logged. The
 * environment's say on them is removed, so a second call and child processes see none. */
int service_listen_fds(struct service_fd *out, int max);

#endif
