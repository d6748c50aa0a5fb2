#ifndef CARPOOL_ADMIN_PROCESS_H
#define CARPOOL_ADMIN_PROCESS_H

/* What the kernel says of this process. */

#include <stdint.h>

struct process_figures {
    uint64_t cpu_us;
    uint64_t open_fds, max_fds; /* max UINT64_MAX: no limit */
    uint64_t virtual_bytes, resident_bytes;
    uint64_t threads;
};

/* What cannot be read is 0. */
void process_figures(struct process_figures *out);

#endif
