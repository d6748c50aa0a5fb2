#ifndef CARPOOL_IO_DNS_ANSWER_H
#define CARPOOL_IO_DNS_ANSWER_H

/* What c-ares says, as a resolver's answer. */

#include <ares.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/resolver.h"

/* "localhost" and what ends with it: names of RFC 6761 6.3, which never leave the host. */
bool dns_is_localhost(const char *name);

/* family: '4', '6' or '*'. */
void dns_answer_loopback(struct resolver_answer *a, char family);

/* The smallest TTL on the way to the addresses, in seconds and at most a day; 0 when the status is an error. */
uint64_t dns_answer_set(struct resolver_answer *a, int status, const struct ares_addrinfo *info);

#endif
