/* What came against what was of any use: libnghttp2 itself stops almost no flood. */

#include "base/clock.h"
#include "base/minmax.h"
#include "wire/h2_internal.h"

/* As libnghttp2 1.67 counts them; a server that is a little odd does not come near. */
#define GLITCHES_AT_ONCE  1000
#define GLITCHES_A_SECOND 33

/* Frames of unknown kinds and those of streams that have ended call no callback: so bytes count, too. */
#define USELESS_MOST  (2 * 1024 * 1024)
#define USELESS_TIMES 8

/* So small pieces of an upload may be acknowledged, and so many of those that were sent be left. */
#define REPLIED_TO_EACH 512
#define REPLIES_MOST    65536

bool h2_tokens_take(struct h2_tokens *t, uint32_t n, uint32_t most, uint32_t a_second)
{
    uint64_t now = clock_ms(), since = t->since_ms;
    uint64_t back = since ? (now - since) * a_second / 1000 : most;
    if (back > 0) {
        t->left = back >= most - t->left ? most : t->left + (uint32_t)back;
        t->since_ms = since ? since + back * 1000 / a_second : now;
    }
    if (t->left == most)
        t->since_ms = now;
    if (t->left < n)
        return false;
    t->left -= n;
    return true;
}

void h2_guard_glitch(struct h2 *h, uint32_t weight)
{
    if (!h2_tokens_take(&h->glitches, weight, GLITCHES_AT_ONCE, GLITCHES_A_SECOND))
        h->flooded = true;
}

void h2_guard_useful(struct h2 *h, size_t bytes, uint32_t frames)
{
    h->useful += bytes;
    if (h->glitches.since_ms)
        h->glitches.left = min32(h->glitches.left + frames, GLITCHES_AT_ONCE);
}

/* Some give a window back as they read, the connection's and the stream's; some measure with each frame that
 * comes. */
void h2_guard_sent(struct h2 *h, size_t bytes)
{
    size_t more = h->replies_due + 2 * (bytes / REPLIED_TO_EACH) + 4;
    h->replies_due = more < REPLIES_MOST ? (uint32_t)more : REPLIES_MOST;
    h->useful += bytes / 64 + 8;
}

void h2_guard_reply(struct h2 *h)
{
    if (h->replies_due > 0)
        h->replies_due--;
    else
        h2_guard_glitch(h, 1);
}

bool h2_guard_flooded(const struct h2 *h)
{
    return h->flooded || h->taken_in > h->useful * USELESS_TIMES + USELESS_MOST;
}
