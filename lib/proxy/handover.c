#include "proxy/handover.h"

#include "proxy/inside.h"

/* In the new loop, which reads the head once more: that costs less than to carry what was found in it. */
static void arrive(struct loop_message *l)
{
    struct client *c = LOOP_MESSAGE_OF(l, struct client, message);
    struct proxy *p = c->proxy;
    caller_move(c);
    if (c->in)
        buffer_join(c->in, p->heads);
    TAILQ_INSERT_TAIL(&p->clients, c, link);
    if (!deadlines_make_room(&p->client_deadlines, ++p->client_count)) {
        client_close(c, CLIENT_CUT, false);
        return;
    }
    if (c->inside && c->inside->state == INSIDE_TUNNEL) {
        inside_arrive(c);
        return;
    }
    client_begin_reading(c);
    client_process(c);
}

bool handover_begin(struct client *c, const struct route *route)
{
    struct proxy *p = c->proxy;
    if (p->shared->count == 1)
        return false;
    unsigned to = origin_worker(route->agent, route->kind, uri_host(&route->uri), route->uri.port);
    if (to == p->pool->index)
        return false;
    client_drop_private(c);
    conn_unwatch(&c->conn);
    deadline_release(&p->client_deadlines, &c->deadline);
    p->client_count--;
    if (c->in)
        buffer_leave(c->in);
    c->requests--; /* it is counted where it is served */
    c->admitted = true;
    client_set_state(c, CLIENT_MOVING);
    TAILQ_REMOVE(&p->clients, c, link);
    p->stats.handed_over++;
    c->proxy = p->shared->members[to];
    c->message.open = arrive;
    STAILQ_INSERT_TAIL(&p->outgoing[to], &c->message, link);
    p->has_outgoing = true;
    return true;
}

void handover_flush(struct proxy *p)
{
    if (!p->has_outgoing)
        return;
    p->has_outgoing = false;
    for (unsigned i = 0; i < p->shared->count; i++)
        if (!STAILQ_EMPTY(&p->outgoing[i]))
            mailbox_post(p->shared->members[i]->mailbox, &p->outgoing[i]);
}
