#ifndef CARPOOL_IO_THIS_HOST_H
#define CARPOOL_IO_THIS_HOST_H

/* Which addresses are this host's own. */

#include <stdbool.h>

#include "base/address.h"

/* Whether an address is one of this host's: the kernel sends to its own addresses from those themselves.
 * Asked each time, so it holds for addresses that came a moment ago, and where a sandbox hides the list of
 * them. What cannot be known is taken for local. Four system calls; none for loopback. */
bool this_host_has(const struct address *a);

/* The address that the kernel would send from to this target, which has a port; no packet is sent. False, with
 * errno, where it does not say. Four system calls. */
bool this_host_source(const struct address *target, struct address *source);

#endif
