#ifndef CARPOOL_BASE_MEMORY_TRIM_H
#define CARPOOL_BASE_MEMORY_TRIM_H

/* Memory goes back to the system when most of those who took it are gone. Left alone, glibc keeps what
 * thousands of clients had for the sake of one block above theirs that is still in use. */

#include <stdint.h>

struct memory_trim {
    uint32_t most; /* since memory was given back */
    uint64_t settled_ms;
};

/* `now` is how many there are. It may be asked often. */
void memory_trim_count(struct memory_trim *t, uint32_t now);

#endif
