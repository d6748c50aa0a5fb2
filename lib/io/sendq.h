#ifndef CARPOOL_IO_SENDQ_H
#define CARPOOL_IO_SENDQ_H

/* Bytes on their way out, as pointers into memory that stays put until they are gone: no copy, one
 * writev. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/slice.h"
#include "io/conn.h"

/* Pieces of a head, of a batch of content after it, and of both. */
#define SENDQ_HEAD  6
#define SENDQ_BATCH 18
#define SENDQ_MAX   (SENDQ_HEAD + SENDQ_BATCH)

struct sendq {
    struct iovec v[SENDQ_MAX];
    uint8_t first, count; /* v[first .. first + count) is unsent */
    uint64_t sent;        /* bytes handed to the kernel since sendq_clear() */
};

enum sendq_result { SENDQ_EMPTY, SENDQ_BLOCKED, SENDQ_FAILED };

static inline void sendq_clear(struct sendq *q)
{
    q->first = q->count = 0;
    q->sent = 0;
}

static inline unsigned sendq_room(const struct sendq *q)
{
    return SENDQ_MAX - q->first - q->count;
}

/* Empty slices are dropped. There must be room. */
void sendq_push(struct sendq *q, struct slice s);

/* Writes until the queue is empty or the connection takes no more. */
enum sendq_result sendq_flush(struct sendq *q, struct conn *to);

#endif
