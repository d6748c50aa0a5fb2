#ifndef CARPOOL_PROXY_SPLICE_H
#define CARPOOL_PROXY_SPLICE_H

/* Large content passes by in the kernel, through a pipe, instead of being read and written (splice(2)). */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "io/pipe.h"

/* Content of less is read and written. */
#define SPLICE_LEAST (32 * 1024)

struct splice {
    struct pipe *pipe; /* NULL: not under way */
    bool impossible;   /* this kind of descriptor cannot do it, or no pipe is to be had */
    uint64_t in, out;  /* bytes so far */
};

/* What it moves between; see conn_splice_in() and conn_splice_out(). */
struct splice_ends {
    ssize_t (*take)(void *from, struct pipe *p, size_t n);
    ssize_t (*put)(void *to, struct pipe *p);
    void *from, *to;
    uint64_t left; /* bytes that may be taken now */
};

enum splice_result {
    SPLICE_DONE,    /* all that was left has passed by */
    SPLICE_STARVED, /* the source has nothing now */
    SPLICE_ENDED,   /* it has ended, or cannot do this: read it to find out */
    SPLICE_BLOCKED, /* the sink must take some first */
    SPLICE_YIELD,   /* enough for one turn */
    SPLICE_FAILED,  /* the sink takes no more */
};

/* Whether it is worth it, and possible so far. */
static inline bool splice_pays(const struct splice *s, uint64_t left)
{
    return left >= SPLICE_LEAST && !s->impossible;
}

/* Moves what can be moved. A pipe is taken when one is needed and given back when it is empty and nothing
 * comes. */
enum splice_result splice_some(struct splice *s, const struct splice_ends *ends, struct pipe_pool *pipes);

/* Bytes of it are in the pipe. */
static inline bool splice_holds(const struct splice *s)
{
    return s->pipe && s->pipe->held > 0;
}

/* Gives the pipe up, with what is in it. */
void splice_end(struct splice *s);

#endif
