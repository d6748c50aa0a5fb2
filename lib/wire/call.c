#include "base/clock.h"
#include "wire/wire.h"

void call_sent(struct call *c, size_t n)
{
    if (!c || n == 0)
        return;
    c->sent += n;
    c->moved_ms = clock_ms();
}

void call_received(struct call *c)
{
    if (!c)
        return;
    c->moved_ms = clock_ms();
    if (!c->first_byte_us)
        c->first_byte_us = clock_us();
}

enum call_write call_send(struct call *c, const struct call_content *content)
{
    return c->wire->ops->send(c, content);
}

enum call_part call_next(struct call *c, struct head *head, struct slice *run)
{
    return c->wire->ops->next(c, head, run);
}

void call_consumed(struct call *c, size_t n)
{
    c->wire->ops->consumed(c, n);
}

uint64_t call_spliceable(const struct call *c)
{
    return c->wire->ops->spliceable(c);
}

ssize_t call_splice_in(struct call *c, struct pipe *p, size_t n)
{
    return c->wire->ops->splice_in(c, p, n);
}

bool call_takes_pipe(const struct call *c)
{
    return c->wire->ops->takes_pipe(c);
}

ssize_t call_splice_out(struct call *c, struct pipe *p)
{
    return c->wire->ops->splice_out(c, p);
}

void call_yield(struct call *c)
{
    c->wire->ops->yield(c);
}

void call_finish(struct call *c, struct call_end *end)
{
    c->wire->ops->finish(c, end);
}

bool call_leave(struct call *c, uint64_t limit)
{
    return c->wire->ops->leave(c, limit);
}

void call_reset(struct call *c)
{
    c->wire->ops->reset(c);
}

struct buffer *call_detach(struct call *c)
{
    return c->wire->ops->detach(c);
}
