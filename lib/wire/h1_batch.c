/* Content that passes by in the kernel comes in batches: while its origin sends faster than it is passed on, the
 * loop is told of BATCH bytes, or of the rest, and not of each piece. So the loop and the client wake once where
 * they woke for each piece, which cost more than moving it (doc/decisions/large-bodies.md).
 *
 * A slow origin is not waited for: what has come within PATIENCE_MS is told, and no batch is asked for until it
 * has sent a BURST without a pause again. An end of file or a reset is told at once in any case. */

#include <sys/socket.h>

#include "wire/h1_internal.h"

#define BATCH       (256 * 1024)
#define BURST       (32 * 1024)
#define PATIENCE_MS 5

static void ask_for(struct h1 *h, int least)
{
    if (h->batch == least)
        return;
    h->batch = least;
    setsockopt(h->wire->conn.fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least);
}

void h1_batch_moved(struct h1 *h, size_t n)
{
    h->burst += n;
    timer_clear(&h->timer);
}

void h1_batch_await(struct h1 *h)
{
    if (h->burst >= BURST) {
        ask_for(h, h->body.left < BATCH ? (int)h->body.left : BATCH);
        timer_set(&h->timer, PATIENCE_MS);
    } else {
        h1_batch_end(h);
    }
    h->burst = 0;
}

void h1_batch_end(struct h1 *h)
{
    if (h->batch > 0)
        ask_for(h, 1);
    h->batch = 0;
}
