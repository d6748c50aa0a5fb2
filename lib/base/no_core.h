#ifndef CARPOOL_BASE_NO_CORE_H
#define CARPOOL_BASE_NO_CORE_H

#include <stdbool.h>

/* Before a key comes into memory: from now on no core of this process is written, and only root can attach to
 * it. False, with errno: the kernel does not allow it. */
bool no_core(void);

#endif
