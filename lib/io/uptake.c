#include "io/uptake.h"

#include "base/clock.h"
#include "base/minmax.h"

/* How exact the limit is for a peer that has stopped to take bytes. */
#define LOOKS_IN_A_LIMIT 8
/* A turn of the loop may last for some milliseconds: the process was not stopped. */
#define LEAST_LATE_MS 100

uint64_t uptake_plan(struct uptake *u, uint64_t moved_ms, uint64_t limit_ms)
{
    uint64_t since_ms = max64(u->looked_ms, moved_ms);
    uint64_t due_ms = max64(since_ms + limit_ms / LOOKS_IN_A_LIMIT + 1, clock_ms());
    u->due_ms = limit_ms ? due_ms : 0;
    return u->due_ms;
}

bool uptake_look(struct uptake *u, const struct conn *c, uint64_t moved_ms, uint64_t limit_ms)
{
    const struct uptake before = *u;
    *u = (struct uptake){.looked_ms = clock_ms(), .unsent = conn_unsent(c)};
    if (!before.looked_ms || before.looked_ms < moved_ms)
        return before.due_ms &&
               u->looked_ms > before.due_ms + max64(limit_ms / LOOKS_IN_A_LIMIT, LEAST_LATE_MS);
    return u->unsent < before.unsent;
}
