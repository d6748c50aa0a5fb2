/* Is the origin still there? Asked with a reason only: servers punish PINGs without one. */

#include "base/clock.h"
#include "base/minmax.h"
#include "wire/h2_internal.h"

/* The first silence is asked about after pingInterval; where answers are all that comes, with more
 * patience. */
static uint64_t patience(const struct h2 *h)
{
    static const uint64_t times[] = {1, 4, 20};
    return h->options.ping_interval_ms * times[min32(h->silent_pings, 2)];
}

void h2_ping_heard(struct h2 *h)
{
    h->heard_ms = clock_ms();
    if (!h->pinged_ms)
        return;
    h->pinged_ms = 0;
    h2_ping_release(h);
}

void h2_ping_answered(struct h2 *h)
{
    if (!h->pinged_us)
        return;
    h->wire->owner->noted(h->wire, WIRE_PING, clock_us() - h->pinged_us);
    h->pinged_us = 0;
    h->options.answers_ping = true;
}

/* What a request that is sent once only should not be sent into: a part of pingInterval. */
static bool was_silent(const struct h2 *h)
{
    return clock_ms() - h->came_ms >= (h->options.ping_interval_ms + 2) / 3;
}

/* Only to know whether this origin answers PINGs: nothing comes of it where it does not. */
static void learn_whether_answered(struct h2 *h)
{
    if (h->pinged_us || nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) != 0)
        return;
    h->pinged_us = clock_us();
}

/* One that is under way will do: clients that come and go would have many sent, which servers punish. */
static void await_answer(struct h2 *h)
{
    if (h->pinged_us)
        h->pinged_ms = clock_ms();
    else
        h2_ping_send(h);
}

bool h2_ping_comes_first(struct h2 *h)
{
    const struct h2_options *o = &h->options;
    if (h->state != H2_OPEN || !o->ping_interval_ms || !o->ping_timeout_ms || !was_silent(h))
        return false;
    if (!o->answers_ping) {
        learn_whether_answered(h);
        return false;
    }
    if (!h->pinged_ms)
        await_answer(h);
    return h->pinged_ms != 0;
}

void h2_ping_release(struct h2 *h)
{
    struct h2_stream *s;
    TAILQ_FOREACH (s, &h->streams, link)
        if (s->request == H2_REQUEST_HELD && s->blocked)
            h2_stream_ready(s, CALL_WRITABLE);
}

/* When there is something to be done about silence; 0: never. */
static uint64_t silence_due(const struct h2 *h)
{
    if (h->calls == 0 || h->state == H2_OVER || h->state == H2_GREETING)
        return 0;
    if (h->pinged_ms)
        return h->options.ping_timeout_ms ? h->pinged_ms + h->options.ping_timeout_ms : 0;
    return h->options.ping_interval_ms ? h->heard_ms + patience(h) : 0;
}

void h2_ping_arm(struct h2 *h)
{
    timer_set_at(&h->timer, timer_sooner(silence_due(h), h2_resets_due(h)));
}

void h2_ping_send(struct h2 *h)
{
    if (nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) != 0)
        return;
    h->pinged_ms = clock_ms();
    h->pinged_us = clock_us();
    h->silent_pings++;
}

void h2_ping_check(struct h2 *h)
{
    uint64_t due = silence_due(h);
    if (!due || clock_ms() < due)
        return;
    if (!h->pinged_ms) {
        h2_ping_send(h);
        return;
    }
    h->pinged_ms = 0;
    h->heard_ms = clock_ms();
    h2_drain(h, RETIRE_PING_TIMEOUT);
    /* Some load balancers answer none, and are well. */
    if (h->options.answers_ping)
        h2_over(h, RETIRE_PING_TIMEOUT, (struct h2_failure){.error = CALL_ERROR_PING});
}
