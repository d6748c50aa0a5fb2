#include "io/pipe.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What one is asked to hold, and what it must hold to be worth its calls. Each time one is emptied a client
 * that waits must be woken, so large ones cost least (doc/decisions/large-bodies.md). The system limits what
 * all pipes of a user may hold (/proc/sys/fs/pipe-user-pages-soft) and gives smaller ones beyond. */
#define PIPE_SIZE       (512 * 1024)
#define PIPE_SIZE_LEAST (64 * 1024)
/* Two descriptors each: beyond this many at a time, most of which wait for slow clients, bytes are copied. */
#define PIPES_LENT_MAX 64
#define PIPES_KEPT     16

static struct pipe *open_pipe(struct pipe_pool *pool)
{
    int ends[2];
    struct pipe *p = malloc(sizeof *p);

    if (!p)
        return NULL;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        free(p);
        return NULL;
    }
    int size = fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE);
    if (size < 0)
        size = fcntl(ends[1], F_GETPIPE_SZ);
    *p = (struct pipe){.pool = pool, .out = ends[0], .in = ends[1], .size = size < 0 ? 0 : (size_t)size};
    return p;
}

static void close_pipe(struct pipe *p)
{
    close(p->in);
    close(p->out);
    free(p);
}

struct pipe *pipe_take(struct pipe_pool *pool)
{
    struct pipe *p = pool->idle;

    if (pool->lent >= PIPES_LENT_MAX)
        return NULL;
    if (p) {
        pool->idle = p->next;
        pool->idle_count--;
    } else if (!(p = open_pipe(pool))) {
        return NULL;
    }
    if (p->size < PIPE_SIZE_LEAST) {
        close_pipe(p);
        return NULL;
    }
    p->next = NULL;
    pool->lent++;
    return p;
}

void pipe_give(struct pipe *p)
{
    if (!p)
        return;
    struct pipe_pool *pool = p->pool;
    assert(pool->lent > 0);
    pool->lent--;
    if (p->held > 0 || pool->idle_count >= PIPES_KEPT) {
        close_pipe(p);
        return;
    }
    p->next = pool->idle;
    pool->idle = p;
    pool->idle_count++;
}

void pipe_pool_destroy(struct pipe_pool *pool)
{
    struct pipe *p;

    while ((p = pool->idle)) {
        pool->idle = p->next;
        close_pipe(p);
    }
    pool->idle_count = 0;
}
