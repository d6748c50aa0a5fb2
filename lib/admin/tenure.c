#include "admin/tenure.h"

#include <string.h>

bool tenure_holds(const struct tenure *t, const struct agent_policy *now)
{
    return t->max_sockets == now->maxSockets && t->max_total == now->maxTotalSockets;
}

void tenure_begin(struct tenure *t, const struct agent_policy *now, uint64_t minute,
                  const struct span *running)
{
    *t = (struct tenure){.max_sockets = now->maxSockets, .max_total = now->maxTotalSockets, .minute = minute};
    memcpy(t->held, running->held, sizeof t->held);
}

void tenure_add_before(const struct tenure *t, uint64_t minute, const struct span *of_minute,
                       struct span *out)
{
    const uint32_t *held = minute == t->minute ? t->held : of_minute->held;

    for (unsigned i = 0; minute <= t->minute && i < HELD_BY_COUNT; i++)
        out->held_before[i] += held[i];
}
