#ifndef CARPOOL_IO_DIAL_H
#define CARPOOL_IO_DIAL_H

/* One non-blocking connect. */

#include <stdint.h>

#include "base/address.h"

/* Begins it: 0, and the descriptor becomes writable when it is decided; else an errno, and `what` says what
 * was tried. The descriptor (-1: none was to be had) is the caller's in any case. EAGAIN: a unix listener's
 * queue is full, and no event will say when there is room. `local` may be NULL or empty; keepalive_ms 0: no
 * probes. */
int dial(const struct address *to, const struct address *local, uint64_t keepalive_ms, int *fd,
         const char **what);

/* TCP keep-alive probes after so long without a byte; 0: none. */
void dial_set_keepalive(int fd, uint64_t keepalive_ms);

/* What became of it: 0 or an errno. */
int dial_result(int fd, const struct address *to);

#endif
