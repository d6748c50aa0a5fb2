#ifndef CARPOOL_CONFIG_PARENT_H
#define CARPOOL_CONFIG_PARENT_H

/* The URL of a parent proxy, as `proxy` holds it. */

#include "config/arena.h"
#include "config/config.h"

/* Reads "http://[user:password@]host:port"; "" is none. NULL when it is well, else what is wrong with it, in
 * words that quote nothing of it: it may hold a password. */
const char *parent_parse(struct arena *a, const char *text, struct parent_proxy *out);

#endif
