#ifndef CARPOOL_BASE_BUFFER_H
#define CARPOOL_BASE_BUFFER_H

/* Bytes on their way. A buffer is borrowed from the worker's freelist while there are bytes and given back when there
 * are none, so that an idle connection holds none. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define BUFFER_SIZE (64 * 1024)

struct buffer {
    struct buffer *next; /* on the freelist */
    uint32_t start;      /* first byte that was not consumed */
    uint32_t end;        /* behind the last byte that was read */
    uint32_t size;       /* BUFFER_SIZE, or more for a head that asked for it */
    char data[];
};

struct buffer_pool {
    struct buffer *free;
    uint32_t free_count;
    uint32_t lent;
};

/* Keeps at most this many idle buffers for the next burst. */
#define BUFFER_POOL_KEEP 64

/* An empty buffer of BUFFER_SIZE; NULL when memory is short. The caller owns it until buffer_give(). */
struct buffer *buffer_borrow(struct buffer_pool *pool);

/* Takes it back; NULL is allowed. */
void buffer_give(struct buffer_pool *pool, struct buffer *b);

/* A buffer of at least `size` bytes in whose data the unread bytes of `b` stand at the front; `b` is given back. NULL (and
 * `b` kept) when memory is short. */
struct buffer *buffer_grow(struct buffer_pool *pool, struct buffer *b, size_t size);

/* Frees the freelist. */
void buffer_pool_destroy(struct buffer_pool *pool);

static inline struct slice buffer_unread(const struct buffer *b)
{
    return b ? (struct slice){b->data + b->start, b->end - b->start} : (struct slice){"", 0};
}

static inline size_t buffer_room(const struct buffer *b)
{
    return b->size - b->end;
}

/* Marks n bytes as done; an emptied buffer starts again at its front. */
static inline void buffer_consume(struct buffer *b, size_t n)
{
    b->start += (uint32_t)n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

/* Moves the unread bytes to the front. */
void buffer_compact(struct buffer *b);

/* Copies s behind the last byte; false (and nothing copied) when it does not fit. */
bool buffer_append(struct buffer *b, struct slice s);

#endif
