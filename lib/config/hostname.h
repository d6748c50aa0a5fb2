#ifndef CARPOOL_CONFIG_HOSTNAME_H
#define CARPOOL_CONFIG_HOSTNAME_H

/* Hosts as the configuration names them, in the one spelling that is compared. */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "config/config.h"

#define HOSTNAME_SIZE 256

/* A name of letters, digits, '-', '_' and dots (a dot at the end is left out), or an IP address without
 * brackets. Written to `out` in lower case, an IPv6 address in its shortest form. False when it is neither,
 * or no URL can have it (http/uri.h): 127.1, 0x7f.1, 1.2.3.4. */
bool hostname_parse(struct slice text, char out[HOSTNAME_SIZE]);

/* host, host:port, [v6] or [v6]:port; port 0: none was written. */
bool hostname_parse_port(struct slice text, char out[HOSTNAME_SIZE], uint16_t *port);

/* A port from 1 to 65535, digits only. */
bool hostname_port(struct slice text, uint16_t *port);

/* Of host:port and [v6]:port: whether the port is a number that no port has. */
bool hostname_has_bad_port(const char *text);

/* Whether it is localhost or an IPv4 address, and nothing more. */
bool hostname_lacks_port(const char *text);

/* Whether a Host (without port and brackets) shows that the client meant this host: an IP address, localhost,
 * or one of `names`. A page elsewhere whose own name was pointed at this host (DNS rebinding) cannot say
 * any. */
bool hostname_is_ours(struct slice host, const struct text_list *names);

#endif
