#ifndef CARPOOL_BASE_BUFFER_H
#define CARPOOL_BASE_BUFFER_H

/* Bytes on their way. A buffer is borrowed from the worker's freelist while there are bytes and given back
 * when there are none, so that an idle connection holds none. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define BUFFER_SIZE      (80 * 1024) /* for content: a read or write moves as much as pays, 64 KiB with a head */
#define BUFFER_HEAD_SIZE (4 * 1024) /* for heads: what a waiting exchange holds on to */

struct buffer_pool;

struct buffer {
    struct buffer_pool *pool; /* where it goes back to */
    struct buffer *next;      /* on the freelist, and its holder's to chain it by */
    uint32_t start;           /* first byte that was not consumed */
    uint32_t end;             /* after the last byte that was read */
    uint32_t size;            /* its pool's, or more where buffer_grow() made it */
    char data[];
};

struct buffer_pool {
    uint32_t size; /* of each buffer: set once, before the first is borrowed */
    struct buffer *free;
    uint32_t free_count;
    uint32_t lent;
};

/* Keeps at most this many idle buffers for the next burst. */
#define BUFFER_POOL_KEEP 64

/* An empty buffer of the pool's size; NULL when memory is short. The caller owns it until buffer_give(). */
struct buffer *buffer_borrow(struct buffer_pool *pool);

/* Gives it back to its pool; NULL is allowed. */
void buffer_give(struct buffer *b);

/* A buffer of at least `size` bytes in whose data the unread bytes of `b` stand at the front; `b` is given
 * back. NULL (and `b` kept) when memory is short. */
struct buffer *buffer_grow(struct buffer *b, size_t size);

/* Used by buffer_reserve(). */
bool buffer_enlarge(struct buffer **b, size_t more);

/* One just large enough, for what stays unread for long: its unread bytes move, and `b` is given back, for
 * the next who reads. NULL stays NULL, and `b` stays where memory is short. */
struct buffer *buffer_fit(struct buffer *b);

/* Takes it out of its pool's books, to be put into those of a pool of another thread: what happens in between
 * is the caller's care. */
void buffer_leave(struct buffer *b);
void buffer_join(struct buffer *b, struct buffer_pool *pool);

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

/* Room for `more` bytes: *b becomes one of twice the size, or more, where it has less. False, and *b stays,
 * when memory is short. */
static inline bool buffer_reserve(struct buffer **b, size_t more)
{
    return more <= buffer_room(*b) || buffer_enlarge(b, more);
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

/* One to read into, with room for a byte at least: borrowed where *b is NULL, and its unread bytes at the
 * front. False, and *b stays or is empty, when memory is short. */
static inline bool buffer_make_room(struct buffer **b, struct buffer_pool *pool)
{
    if (!*b && !(*b = buffer_borrow(pool)))
        return false;
    buffer_compact(*b);
    return buffer_reserve(b, 1);
}

/* Gives it back when it has no unread bytes. */
static inline void buffer_give_if_empty(struct buffer **b)
{
    if (!*b || buffer_unread(*b).n > 0)
        return;
    buffer_give(*b);
    *b = NULL;
}

/* Copies s after the last byte; false (and nothing copied) when it does not fit. */
static inline bool buffer_append(struct buffer *b, struct slice s)
{
    if (s.n > buffer_room(b))
        return false;
    if (s.n > 0)
        memcpy(b->data + b->end, s.p, s.n);
    b->end += (uint32_t)s.n;
    return true;
}

#endif
