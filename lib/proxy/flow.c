#include "proxy/flow.h"

/* One busy tunnel must not keep the others waiting. */
#define READS_PER_TURN 16

void flow_init(struct flow *f, struct conn *from, struct conn *to, struct buffer *head,
               struct buffer *waiting)
{
    *f = (struct flow){.from = from, .to = to, .head = head, .waiting = waiting};
    f->head_size = buffer_unread(head).n;
    from->error = 0; /* a splice that was refused is no failure */
    from->last = false;
}

bool flow_is_over(const struct flow *f)
{
    return f->state == FLOW_ENDED || f->state == FLOW_ABORTED || f->state == FLOW_LOST;
}

bool flow_is_empty(const struct flow *f)
{
    return !f->head && !f->waiting;
}

static void drop(struct buffer **b)
{
    buffer_give(*b);
    *b = NULL;
}

void flow_lose(struct flow *f)
{
    f->state = FLOW_LOST;
    drop(&f->head);
    drop(&f->waiting);
}

static size_t consume(struct buffer **b, size_t n)
{
    size_t have = buffer_unread(*b).n, part = n < have ? n : have;
    if (*b)
        buffer_consume(*b, part);
    if (part == have)
        drop(b);
    return n - part;
}

/* True: nothing waits. */
static bool write_waiting(struct flow *f)
{
    while (!flow_is_empty(f)) {
        struct slice head = buffer_unread(f->head), waiting = buffer_unread(f->waiting);
        struct iovec v[] = {{(void *)head.p, head.n}, {(void *)waiting.p, waiting.n}};
        ssize_t n = conn_write(f->to, f->head ? v : v + 1, f->head && f->waiting ? 2 : 1);
        if (n == CONN_AGAIN)
            return false;
        if (n < 0) {
            flow_lose(f);
            return true;
        }
        f->written += (size_t)n;
        consume(&f->waiting, consume(&f->head, (size_t)n));
    }
    return true;
}

/* True: something came. */
static bool read_some(struct flow *f, struct buffer_pool *pool)
{
    struct buffer *b = buffer_borrow(pool);
    ssize_t n = b ? conn_read(f->from, b->data, b->size) : CONN_ERROR;
    if (n > 0 && f->state == FLOW_OPEN) {
        b->end = (uint32_t)n;
        f->waiting = b;
        return true;
    }
    buffer_give(b);
    if (n == CONN_AGAIN || f->state == FLOW_LOST)
        return n > 0;
    f->state = n == CONN_EOF ? FLOW_ENDING : FLOW_ABORTING;
    return true;
}

/* An end of TLS may wait for room. */
static void pass_end(struct flow *f)
{
    if (f->state == FLOW_ABORTING)
        f->state = FLOW_ABORTED;
    else if (conn_shutdown_write(f->to))
        f->state = FLOW_ENDED;
}

void flow_pump(struct flow *f, struct buffer_pool *pool)
{
    unsigned reads = 0;
    while (write_waiting(f)) {
        if (f->state == FLOW_ENDING || f->state == FLOW_ABORTING)
            pass_end(f);
        if (f->state != FLOW_OPEN && f->state != FLOW_LOST)
            return;
        if (reads++ == READS_PER_TURN) {
            conn_call_again(f->from);
            return;
        }
        if (!read_some(f, pool))
            return;
    }
}

uint64_t flow_content(const struct flow *f)
{
    return f->written > f->head_size ? f->written - f->head_size : 0;
}

/* After an end of file no read meets the reset. */
bool flow_source_failed(const struct flow *f)
{
    return f->state == FLOW_ABORTED || (flow_is_over(f) && (f->from->error != 0 || conn_has_failed(f->from)));
}
