#ifndef CARPOOL_IO_RESOLV_CONF_H
#define CARPOOL_IO_RESOLV_CONF_H

/* The part of resolv.conf(5) that c-ares leaves out: before 1.22 it does not know `timeout` and `attempts`.
 */

#include "base/slice.h"

#define RESOLV_CONF_PATH  "/etc/resolv.conf"
#define RESOLV_HOSTS_PATH "/etc/hosts"

struct resolv_conf {
    int timeout_ms; /* of the first try; c-ares doubles it for each round of the servers */
    int attempts;
};

/* glibc's defaults where the file says nothing, or is not there. */
void resolv_conf_read(const char *path, struct resolv_conf *c);

/* The same for a line of it; what is no `options` line changes nothing. */
void resolv_conf_read_line(struct slice line, struct resolv_conf *c);

#endif
