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

void low_water_lower(struct low_water *w)
{
    TAILQ_REMOVE(&w->among->raised, w, link);
    w->among = NULL;
    set_mark(w, 1);
    w->mark = 0;
    w->conn->may_read = true; /* of less than the mark the loop has said nothing */
}

static void on_time(void *ctx)
{
    struct low_waters *l = ctx;
    struct low_water *w;
    while ((w = TAILQ_FIRST(&l->raised)) && w->due <= clock_ms())
        low_water_end(w);
    if (w)
        timer_set_at(&l->timer, w->due);
    /* Memory is short: nothing would lower the others. */
    while (!timer_will_fire(&l->timer) && (w = TAILQ_FIRST(&l->raised)))
        low_water_end(w);
}

void low_waters_init(struct low_waters *l, struct event_base *base)
{
    TAILQ_INIT(&l->raised);
    timer_init(&l->timer, base, on_time, l);
}

void low_waters_end(struct low_waters *l)
{
    timer_release(&l->timer);
}

static void append(struct low_water *w)
{
    w->due = timer_due_after(PATIENCE_MS);
    TAILQ_INSERT_TAIL(&w->among->raised, w, link);
}

static void postpone(struct low_water *w)
{
    TAILQ_REMOVE(&w->among->raised, w, link);
    append(w);
}

void low_water_moved(struct low_water *w, uint64_t n)
{
    w->burst += n;
    if (w->among)
        postpone(w);
}

/* False: memory is short, and nothing would lower it. */
static bool join(struct low_waters *l, struct low_water *w)
{
    if (TAILQ_EMPTY(&l->raised) || !timer_will_fire(&l->timer))
        timer_set(&l->timer, PATIENCE_MS);
    if (!timer_will_fire(&l->timer))
        return false;
    w->among = l;
    append(w);
    return true;
}

void low_water_await(struct low_waters *l, struct low_water *w, struct conn *c, uint64_t left)
{
    bool is_fast = w->burst >= BURST;
    w->burst = 0;
    w->conn = c;
    if (is_fast && (w->among || join(l, w)))
        set_mark(w, left < RAISED ? (int)left : RAISED);
    else
        low_water_end(w);
}
