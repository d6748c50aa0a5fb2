#include "io/address_order.h"

#include "base/clock.h"

/* The n-th address of one family, counted round from where it is its turn. */
static const struct address *pick(const struct resolver_answer *answer, bool v6, int count, uint32_t nth)
{
    int wanted = (int)(nth % (uint32_t)count);

    for (int i = 0; i < answer->count; i++)
        if ((answer->addresses[i].sa.any.sa_family == AF_INET6) == v6 && wanted-- == 0)
            return &answer->addresses[i];
    return &answer->addresses[0];
}

int address_order(const struct resolver_answer *answer, uint32_t rotation,
                  struct address out[RESOLVER_MAX_ADDRESSES])
{
    bool v6_first = answer->count > 0 && answer->addresses[0].sa.any.sa_family == AF_INET6;
    int count[2] = {0, 0}; /* of the first family, of the other */
    int n = 0;

    for (int i = 0; i < answer->count; i++)
        count[(answer->addresses[i].sa.any.sa_family == AF_INET6) != v6_first]++;
    for (uint32_t round = 0; n < answer->count; round++)
        for (int other = 0; other < 2; other++)
            if (round < (uint32_t)count[other])
                out[n++] = *pick(answer, v6_first != other, count[other], rotation + round);
    return n;
}

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
