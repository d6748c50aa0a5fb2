#include "base/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* With AddressSanitizer, a slice that outlives its buffer is found on the free list, too. */
#ifdef __SANITIZE_ADDRESS__
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifdef IS_SANITIZED
#include <sanitizer/asan_interface.h>
static void forbid(struct buffer *b)
{
    memset(b->data, 0xDD, b->size);
    ASAN_POISON_MEMORY_REGION(b->data, b->size);
}

static void allow(struct buffer *b)
{
    ASAN_UNPOISON_MEMORY_REGION(b->data, b->size);
}
#else
static inline void forbid(struct buffer *b)
{
    (void)b;
}

static inline void allow(struct buffer *b)
{
    (void)b;
}
#endif

static struct buffer *lend(struct buffer_pool *pool, struct buffer *b)
{
    b->pool = pool;
    b->next = NULL;
    b->start = b->end = 0;
    pool->lent++;
    return b;
}

static struct buffer *allocate(struct buffer_pool *pool, size_t size)
{
    struct buffer *b = malloc(offsetof(struct buffer, data) + size);

    if (!b)
        return NULL;
    b->size = (uint32_t)size;
    return lend(pool, b);
}

struct buffer *buffer_borrow(struct buffer_pool *pool)
{
    struct buffer *b = pool->free;

    assert(pool->size > 0);
    if (!b)
        return allocate(pool, pool->size);
    pool->free = b->next;
    pool->free_count--;
    allow(b);
    return lend(pool, b);
}

void buffer_give(struct buffer *b)
{
    if (!b)
        return;
    struct buffer_pool *pool = b->pool;
    assert(pool->lent > 0);
    pool->lent--;
    if (b->size != pool->size || pool->free_count >= BUFFER_POOL_KEEP) {
        free(b);
        return;
    }
    forbid(b);
    b->next = pool->free;
    pool->free = b;
    pool->free_count++;
}

void buffer_leave(struct buffer *b)
{
    assert(b->pool->lent > 0);
    b->pool->lent--;
    b->pool = NULL;
}

void buffer_join(struct buffer *b, struct buffer_pool *pool)
{
    assert(!b->pool);
    pool->lent++;
    b->pool = pool;
}

struct buffer *buffer_grow(struct buffer *b, size_t size)
{
    struct buffer_pool *pool = b->pool;
    struct slice unread = buffer_unread(b);
    struct buffer *grown;

    assert(size >= unread.n);
    if (size > UINT32_MAX)
        return NULL;
    grown = size <= pool->size ? buffer_borrow(pool) : allocate(pool, size);
    if (!grown)
        return NULL;
    memcpy(grown->data, unread.p, unread.n);
    grown->end = (uint32_t)unread.n;
    buffer_give(b);
    return grown;
}

bool buffer_enlarge(struct buffer **b, size_t more)
{
    size_t twice = 2 * (size_t)(*b)->size, needed;
    if (__builtin_add_overflow(buffer_unread(*b).n, more, &needed))
        return false;
    struct buffer *larger = buffer_grow(*b, needed > twice ? needed : twice);
    *b = larger ? larger : *b;
    return larger != NULL;
}

struct buffer *buffer_fit(struct buffer *b)
{
    struct slice unread = buffer_unread(b);
    struct buffer *fit = b && unread.n < b->size ? allocate(b->pool, unread.n) : NULL;
    if (!fit)
        return b;
    buffer_append(fit, unread);
    buffer_give(b);
    return fit;
}

void buffer_pool_destroy(struct buffer_pool *pool)
{
    struct buffer *b;

    while ((b = pool->free)) {
        pool->free = b->next;
        allow(b);
        free(b);
    }
    pool->free_count = 0;
}

void buffer_compact(struct buffer *b)
{
    if (b->start == 0)
        return;
    memmove(b->data, b->data + b->start, b->end - b->start);
    b->end -= b->start;
    b->start = 0;
}
