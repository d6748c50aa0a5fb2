#ifndef CARPOOL_IO_RESOLV_CONF_H
#define CARPOOL_IO_RESOLV_CONF_H

/* What resolv.conf(5) says beside the servers: c-ares does not know `timeout` and `attempts` before 1.22, nor
 * does it say what the search list is. */

#include <stdbool.h>

#include "base/slice.h"

#define RESOLV_CONF_PATH  "/etc/resolv.conf"
#define RESOLV_HOSTS_PATH "/etc/hosts"

#define RESOLV_SEARCH_SIZE 1024

struct resolv_conf {
    int timeout_ms; /* of the first try; c-ares doubles it for each round of the servers */
    int attempts;
    int ndots;                       /* a name with fewer dots is looked for in the search list first */
    char search[RESOLV_SEARCH_SIZE]; /* domains, each after a space; cut at a word where there are too many */
};

/* The file and the environment (LOCALDOMAIN, RES_OPTIONS). glibc's defaults where they say nothing, or the
 * file is not there: the search list is then the domain of the host's own name. False: no descriptor or
 * memory is left to read it. */
bool resolv_conf_read(const char *path, struct resolv_conf *c);

/* The same for a line of it; what is no `options`, `search` or `domain` line changes nothing. */
void resolv_conf_read_line(struct slice line, struct resolv_conf *c);

/* The names under which one is looked for: the nth (0 is the first), with a dot at its end. False: there are
 * not so many. Names that are too long are not cut to others: they cannot be asked for. */
#define RESOLV_NAME_SIZE (256 + RESOLV_SEARCH_SIZE)
bool resolv_conf_candidate(const struct resolv_conf *c, const char *name, unsigned nth,
                           char out[RESOLV_NAME_SIZE]);

#endif
