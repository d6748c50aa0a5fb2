/* Calls that stopped early, so that others have a turn. One of them goes on in each turn of the loop, in the
 * order in which they stopped: so what is ready for somebody else waits for one of them at most, however many
 * there are. */

#include "base/clock.h"
#include "wire/h1_internal.h"

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct wire_loop *loop = arg;
    struct h1 *h = TAILQ_FIRST(&loop->yielded);

    (void)fd;
    (void)what;
    if (!h)
        return;
    h1_forget_turn(h);
    if (!TAILQ_EMPTY(&loop->yielded))
        event_active(&loop->turn, EV_TIMEOUT, 0);
    /* The loop would go on for as long as it finds an event that is active, and look for no others. */
    event_base_loopbreak(loop->base);
    clock_update();
    conn_report(&h->wire->conn, CONN_READABLE | CONN_WRITABLE);
}

void h1_init_turns(struct wire_loop *loop)
{
    TAILQ_INIT(&loop->yielded);
    event_assign(&loop->turn, loop->base, -1, 0, on_turn, loop);
}

void h1_yield(struct h1 *h)
{
    struct wire_loop *loop = h->wire->loop;
    if (h->yielded.tqe_prev)
        return;
    TAILQ_INSERT_TAIL(&loop->yielded, h, yielded);
    event_active(&loop->turn, EV_TIMEOUT, 0);
}

void h1_forget_turn(struct h1 *h)
{
    if (!h->yielded.tqe_prev)
        return;
    TAILQ_REMOVE(&h->wire->loop->yielded, h, yielded);
    h->yielded.tqe_prev = NULL;
}
