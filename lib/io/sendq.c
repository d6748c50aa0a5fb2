#include "io/sendq.h"

#include <assert.h>

void sendq_push(struct sendq *q, struct slice s)
{
    if (s.n == 0)
        return;
    assert(sendq_room(q) > 0);
    q->v[q->first + q->count++] = (struct iovec){(void *)s.p, s.n};
}

static void advance(struct sendq *q, size_t n)
{
    q->sent += n;
    while (n > 0) {
        struct iovec *v = &q->v[q->first];
        if (n < v->iov_len) {
            v->iov_base = (char *)v->iov_base + n;
            v->iov_len -= n;
            return;
        }
        n -= v->iov_len;
        q->first++;
        q->count--;
    }
    if (q->count == 0)
        q->first = 0;
}

enum sendq_result sendq_flush(struct sendq *q, struct conn *to)
{
    while (q->count > 0) {
        ssize_t n = conn_write(to, &q->v[q->first], q->count);
        if (n == CONN_AGAIN)
            return SENDQ_BLOCKED;
        if (n < 0)
            return SENDQ_FAILED;
        advance(q, (size_t)n);
    }
    return SENDQ_EMPTY;
}
