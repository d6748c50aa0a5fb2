#include "proxy/splice.h"

#include "io/conn.h"

/* Pipes full a turn: one busy pair must not keep the others waiting, and what waits meanwhile grows cold
 * (doc/decisions/large-bodies.md). */
#define SPLICES_PER_TURN 1

void splice_end(struct splice *s)
{
    pipe_give(s->pipe);
    s->pipe = NULL;
}

static enum splice_result empty_pipe(struct splice *s, const struct splice_ends *ends)
{
    while (s->pipe->held > 0) {
        ssize_t n = ends->put(ends->to, s->pipe);
        if (n == CONN_AGAIN)
            return SPLICE_BLOCKED;
        if (n <= 0)
            return SPLICE_FAILED;
        s->out += (uint64_t)n;
    }
    return SPLICE_DONE;
}

enum splice_result splice_some(struct splice *s, const struct splice_ends *ends, struct pipe_pool *pipes)
{
    uint64_t left = ends->left;
    if (!s->pipe && !(s->pipe = pipe_take(pipes))) {
        s->impossible = true;
        return SPLICE_ENDED;
    }
    for (unsigned rounds = 0;; rounds++) {
        enum splice_result put = empty_pipe(s, ends);
        if (put != SPLICE_DONE)
            return put;
        if (left == 0)
            break;
        if (rounds == SPLICES_PER_TURN)
            return SPLICE_YIELD;
        ssize_t n = ends->take(ends->from, s->pipe, left < s->pipe->size ? (size_t)left : s->pipe->size);
        if (n <= 0) {
            splice_end(s);
            s->impossible = n == CONN_ERROR;
            return n == CONN_AGAIN ? SPLICE_STARVED : SPLICE_ENDED;
        }
        left -= (uint64_t)n;
        s->in += (uint64_t)n;
    }
    splice_end(s);
    return SPLICE_DONE;
}
