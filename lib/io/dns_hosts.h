#ifndef CARPOOL_IO_DNS_HOSTS_H
#define CARPOOL_IO_DNS_HOSTS_H

/* /etc/hosts, as c-ares reads it. It goes before the name servers, and for both families at once: where it
 * gives a name an IPv4 address, no server is asked for an IPv6 one. */

#include <stdbool.h>

#include "io/resolver.h"

struct dns_hosts;

/* NULL: memory is short. */
struct dns_hosts *dns_hosts_new(void);
void dns_hosts_free(struct dns_hosts *h);

/* False when it does not have the name, in whatever family. Reads the file. */
bool dns_hosts_find(struct dns_hosts *h, const char *name, struct resolver_answer *v4,
                    struct resolver_answer *v6);

#endif
