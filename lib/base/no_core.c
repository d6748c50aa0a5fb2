#include "base/no_core.h"

#include <sys/prctl.h>

bool no_core(void)
{
    return prctl(PR_SET_DUMPABLE, 0) == 0;
}
