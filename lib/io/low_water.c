#include "io/low_water.h"

#include <sys/socket.h>

#include "base/clock.h"

#define RAISED      (256 * 1024)
#define BURST       (32 * 1024)
#define PATIENCE_MS 5

/* A socket that knows no mark tells of each byte. */
static void set_mark(struct low_water *w, int mark)
{
    if (w->mark != mark)
        setsockopt(w->conn->fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark);
    w->mark = mark;
}

static void stop_waiting(struct low_water *w)
{
    if (w->among)
        TAILQ_REMOVE(&w->among->awaiting, w, link);
    w->among = NULL;
}

void low_water_end(struct low_water *w)
{
    stop_waiting(w);
    if (w->mark == 0)
        return;
    set_mark(w, 1);
    w->mark = 0;
    w->conn->may_read = true; /* of less than the mark the loop has said nothing */
}

static void on_time(void *ctx)
{
    struct low_waters *l = ctx;
    struct low_water *w;
    while ((w = TAILQ_FIRST(&l->awaiting)) && w->due <= clock_ms())
        low_water_end(w);
    if (w)
        timer_set_at(&l->timer, w->due);
}

void low_waters_init(struct low_waters *l, struct event_base *base)
{
    TAILQ_INIT(&l->awaiting);
    timer_init(&l->timer, base, on_time, l);
}

void low_waters_end(struct low_waters *l)
{
    timer_release(&l->timer);
}

void low_water_moved(struct low_water *w, uint64_t n)
{
    w->burst += n;
    stop_waiting(w);
}

/* False: memory is short. */
static bool wait_in(struct low_waters *l, struct low_water *w)
{
    w->due = timer_due_after(PATIENCE_MS);
    if (TAILQ_EMPTY(&l->awaiting))
        timer_set_at(&l->timer, w->due);
    if (!timer_will_fire(&l->timer))
        return false;
    TAILQ_INSERT_TAIL(&l->awaiting, w, link);
    w->among = l;
    return true;
}

void low_water_await(struct low_waters *l, struct low_water *w, struct conn *c, uint64_t left)
{
    uint64_t burst = w->burst;
    w->burst = 0;
    w->conn = c;
    stop_waiting(w);
    if (burst >= BURST && wait_in(l, w))
        set_mark(w, left < RAISED ? (int)left : RAISED);
    else
        low_water_end(w);
}
