#include "admin/load.h"

#include "admin/span.h"
#include "base/minmax.h"

/* A mean over less than that would say nothing. */
#define LEAST_MS 1000

static uint64_t less(uint64_t n, uint64_t by)
{
    return n > by ? n - by : 0;
}

static float higher(float a, float b)
{
    return a > b ? a : b;
}

/* Where none began, earlier ones run on; or none got a connection, and nothing is known. */
static float of_earlier(const struct span *s, uint64_t used_ms, uint64_t ms)
{
    return s->active > 0 ? (float)used_ms / (float)ms : 0;
}

/* No more than ran or waited at a time, and would have: those that got no connection. */
static float of_minute(const struct span *s, uint64_t used_ms, uint64_t timed_out, uint64_t ms)
{
    uint64_t carried = less(s->carried, timed_out), requests = less(s->requests, timed_out);
    float most = (float)s->demand + (float)less(s->requests, s->carried);

    if (carried == 0)
        return of_earlier(s, used_ms, ms);
    float load = (float)requests * ((float)used_ms / (float)carried) / (float)ms;
    return load < most ? load : most;
}

void load_add(struct load *l, const struct span *minute, uint64_t ms)
{
    uint64_t used_ms = minute->used_ms, length_ms = max64(ms, LEAST_MS);
    uint64_t timed_out_ms = l->timed_out_ms + minute->timed_out_ms;

    l->needed =
        higher(l->needed, of_minute(minute, less(used_ms, timed_out_ms), minute->timed_out, length_ms));
    l->occupied = higher(l->occupied, of_minute(minute, used_ms, 0, length_ms));
    l->timed_out_ms = less(timed_out_ms, used_ms);
}
