#include "base/memory_trim.h"

#include <malloc.h>

#include "base/clock.h"

#define WORTH_TRIMMING 1000
/* To give back what is taken again at once costs more than it saves. */
#define PAUSE_MS 5000

static void give_memory_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void memory_trim_count(struct memory_trim *t, uint32_t now)
{
    if (now > t->most)
        t->most = now;
    if (now > t->most / 2 || t->most < WORTH_TRIMMING || clock_ms() - t->settled_ms < PAUSE_MS)
        return;
    t->most = now;
    t->settled_ms = clock_ms();
    give_memory_back();
}
