#ifndef CARPOOL_IO_ADDRESS_POLICY_H
#define CARPOOL_IO_ADDRESS_POLICY_H

/* Which family of a name's addresses goes first (RFC 6724 6, by the default policy table). */

#include <stdbool.h>

#include "base/address.h"

/* Whether IPv4 addresses go before this IPv6 one: the host has no route to it, would send from an address
 * that does not go with it, or the table puts it below IPv4. Asks the kernel. */
bool address_yields_to_ipv4(const struct address *a);

/* The same for one that would be sent to from `source`. */
bool address_pair_yields_to_ipv4(const struct address *a, const struct address *source);

#endif
