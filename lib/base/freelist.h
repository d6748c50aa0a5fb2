#ifndef CARPOOL_BASE_FREELIST_H
#define CARPOOL_BASE_FREELIST_H

/* What is kept for the next burst instead of freed. Of what stands on it, the first pointer is the list's and
 * the rest stays as it is. */

#include <stdbool.h>
#include <stdint.h>

struct freelist {
    void *first;
    uint32_t count;
};

/* NULL: there is none, and the caller allocates. */
static inline void *freelist_take(struct freelist *l)
{
    void *p = l->first;
    if (p) {
        l->first = *(void **)p;
        l->count--;
    }
    return p;
}

/* False: `most` are kept already, and the caller frees it. */
static inline bool freelist_keep(struct freelist *l, void *p, uint32_t most)
{
    if (l->count >= most)
        return false;
    *(void **)p = l->first;
    l->first = p;
    l->count++;
    return true;
}

#endif
