/* RST_STREAM, sparingly: servers take a client that sends many for an attack (Rapid Reset,
 * CVE-2023-44487). */

#include "base/clock.h"
#include "wire/h2_internal.h"

#define RESETS_AT_ONCE  100
#define RESETS_A_SECOND 10

/* An origin that says nothing for so long has seen them, or will see nothing more. */
#define CONFIRMED_AFTER_MS 1000

static void send_reset(struct h2_stream *s, uint32_t code)
{
    struct h2 *h = s->h2;
    s->reset = H2_RESET_SENT;
    /* What was on its way to this stream is no flood. */
    h2_guard_useful(h, s->window, 0);
    if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code) != 0)
        h2_out_of_memory(h);
    h2_due(h);
}

void h2_cancel_unsent(struct h2_stream *s)
{
    /* Said twice, it would be an RST_STREAM for a stream that the origin never heard of. */
    if (s->reset != H2_RESET_SENT && s->request != H2_REQUEST_HELD)
        send_reset(s, NGHTTP2_CANCEL);
}

void h2_abandon(struct h2_stream *s, uint32_t code)
{
    struct h2 *h = s->h2;
    if (h->state == H2_OVER)
        return; /* it goes with its session */
    if (s->head_at == H2_NOT_SERIALISED)
        h2_cancel_unsent(s);
    else if (h2_tokens_take(&h->resets, 1, RESETS_AT_ONCE, RESETS_A_SECOND))
        send_reset(s, code);
    else
        s->reset = H2_RESET_DUE; /* read to its end, if its window reaches as far */
}

void h2_resets_sent(struct h2 *h)
{
    if (h->unconfirmed++ == 0)
        h->unconfirmed_since_ms = clock_ms();
    h->room_changed = true;
}

void h2_resets_confirmed(struct h2 *h)
{
    if (h->unconfirmed == 0)
        return;
    h->unconfirmed = 0;
    h->room_changed = true;
}

void h2_resets_go_on(struct h2 *h)
{
    struct h2_stream *s;
    if (h->state == H2_OVER)
        return;
    if (clock_ms() >= h->unconfirmed_since_ms + CONFIRMED_AFTER_MS)
        h2_resets_confirmed(h);
    TAILQ_FOREACH (s, &h->streams, link) {
        if (s->reset != H2_RESET_DUE)
            continue;
        if (!h2_tokens_take(&h->resets, 1, RESETS_AT_ONCE, RESETS_A_SECOND))
            return;
        send_reset(s, NGHTTP2_CANCEL);
    }
}

void h2_resets_confirm(struct h2 *h)
{
    if (h->state == H2_OPEN && h->unconfirmed > 0 && h2_capacity(h->wire) == 0 && !h->pinged_us)
        h2_ping_send(h);
}

uint64_t h2_resets_due(const struct h2 *h)
{
    const struct h2_stream *s;
    if (h->state == H2_OVER)
        return 0;
    if (h->abandoned > 0)
        TAILQ_FOREACH (s, &h->streams, link)
            if (s->reset == H2_RESET_DUE)
                return h->resets.since_ms + 1000 / RESETS_A_SECOND;
    return h->unconfirmed > 0 ? h->unconfirmed_since_ms + CONFIRMED_AFTER_MS : 0;
}
