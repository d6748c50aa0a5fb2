#include "io/address_memory.h"

#include "base/clock.h"

bool address_failed_lately(const struct connect_memory *m, const struct address *a)
{
    for (int i = 0; i < CONNECT_MEMORY_FAILED; i++)
        if (m->failed[i].until > clock_ms() && m->failed[i].address == address_hash(a))
            return true;
    return false;
}

void address_remember_failure(struct connect_memory *m, const struct address *a)
{
    int at = 0;

    address_forget_failure(m, a);
    for (int i = 1; i < CONNECT_MEMORY_FAILED; i++)
        if (m->failed[i].until < m->failed[at].until)
            at = i;
    m->failed[at].address = address_hash(a);
    m->failed[at].until = clock_ms() + ADDRESS_FAILED_MS;
}

void address_forget_failure(struct connect_memory *m, const struct address *a)
{
    for (int i = 0; i < CONNECT_MEMORY_FAILED; i++)
        if (m->failed[i].until != 0 && m->failed[i].address == address_hash(a))
            m->failed[i].until = 0;
}
