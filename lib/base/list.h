#ifndef CARPOOL_BASE_LIST_H
#define CARPOOL_BASE_LIST_H

/* <sys/queue.h>, and the walk that lets its element be taken off, which glibc's copy lacks. */

#include <sys/queue.h>

#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, next) \
    for ((var) = TAILQ_FIRST(head); (var) && ((next) = TAILQ_NEXT(var, field), 1); (var) = (next))
#endif

#endif
