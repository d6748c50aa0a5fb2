#include "base/crowd.h"

#include <malloc.h>

#include "base/clock.h"

#define CROWD_LEAST 1000
/* To give back what is taken again at once costs more than it saves. */
#define CROWD_PAUSE_MS 5000

static void give_memory_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void crowd_count(struct crowd *c, uint32_t now)
{
    if (now > c->most)
        c->most = now;
    if (now > c->most / 2 || c->most < CROWD_LEAST || clock_ms() - c->settled_ms < CROWD_PAUSE_MS)
        return;
    c->most = now;
    c->settled_ms = clock_ms();
    give_memory_back();
}
