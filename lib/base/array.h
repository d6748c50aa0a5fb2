#ifndef CARPOOL_BASE_ARRAY_H
#define CARPOOL_BASE_ARRAY_H

#include <stddef.h>
#include <stdlib.h>

#define ARRAY_FIRST_ROOM 16

/* An array (NULL at first) of *room elements of `size` bytes each, so that it has room for `needed`, twice as
 * many where it grows. It may have moved. NULL, and all is as it was, when memory is short. */
static inline void *array_reserve(void *array, size_t *room, size_t needed, size_t size)
{
    size_t grown = *room ? 2 * *room : ARRAY_FIRST_ROOM, bytes;
    if (needed <= *room)
        return array;
    if (grown < needed)
        grown = needed;
    void *moved = __builtin_mul_overflow(grown, size, &bytes) ? NULL : realloc(array, bytes);
    if (moved)
        *room = grown;
    return moved;
}

#endif
