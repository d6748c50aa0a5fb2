#ifndef CARPOOL_IO_DNS_ANSWER_H
#define CARPOOL_IO_DNS_ANSWER_H

/* What c-ares says, as a resolver's answer. */

#include <ares.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/resolver.h"

/* "localhost" and what ends with it: names of RFC 6761 6.3, which never leave the host. */
bool dns_is_localhost(const char *name);

/* family: AF_INET or AF_INET6, here and below. */
void dns_answer_loopback(struct resolver_answer *a, int family);

/* Takes the addresses of the family. Returns the smallest TTL on the way to them, in seconds and at most a
 * day; 0 when the status is an error. */
uint64_t dns_answer_set(struct resolver_answer *a, int family, int status, const struct ares_addrinfo *info);

/* What failed was not the name servers: it says nothing of the name, and is not kept. */
bool dns_is_own_trouble(int status);

#endif
