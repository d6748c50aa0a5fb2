#ifndef CARPOOL_IO_PIPE_H
#define CARPOOL_IO_PIPE_H

/* Pipes through which the kernel hands bytes from one socket to another without a copy (splice(2)). One is
 * taken for a transfer and given back empty; one in which bytes are left is closed, so that nothing of one
 * exchange can come out in another. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pipe_pool;

struct pipe {
    struct pipe_pool *pool;
    struct pipe *next; /* among the idle ones */
    int in, out;
    size_t size; /* bytes that it is meant to hold */
    size_t held; /* bytes in it */
};

struct pipe_pool {
    struct pipe *idle;
    uint32_t idle_count;
    uint32_t lent;
};

/* An empty one, the caller's until pipe_give(). NULL when too many are in use already, or the system gives no
 * (large enough) one: copy then. */
struct pipe *pipe_take(struct pipe_pool *pool);

/* Gives it back; NULL is allowed. */
void pipe_give(struct pipe *p);

/* Closes the idle ones. */
void pipe_pool_destroy(struct pipe_pool *pool);

#endif
