#ifndef CARPOOL_PROXY_DOWNLOAD_H
#define CARPOOL_PROXY_DOWNLOAD_H

/* The response's half of an exchange: interim responses, the head, then the content, from the call to the
 * client.
 *
 *   HEAD --the final head is queued--> BODY --so is the end--> LAST --its last byte was handed to the kernel--> DONE
 *
 * It waits for the client while its queue or its pipe is not empty, for the origin otherwise. */

#include <stdbool.h>
#include <stdint.h>

#include "io/sendq.h"
#include "proxy/pump.h"
#include "proxy/splice.h"
#include "wire/body_writer.h"

struct exchange;

enum download_state { DOWNLOAD_HEAD, DOWNLOAD_BODY, DOWNLOAD_LAST, DOWNLOAD_DONE };

struct download {
    enum download_state state;
    struct sendq out;        /* heads, content and own answers on their way to the client */
    struct buffer *out_head; /* what the queue's heads and own answers point into */
    struct buffer *trailers; /* those that go on, as lines */
    struct body_writer writer;
    struct splice splice;
    size_t given;     /* bytes of content in the queue that the call is to have back */
    uint64_t content; /* bytes of content taken in */
    uint8_t interim;  /* how many 1xx */
};

/* An attempt begins, the first or another one. */
void download_restart(struct download *d);

/* Moves what can be moved. */
enum pump download_pump(struct exchange *e);

/* The client must take some first. */
static inline bool download_is_blocked(const struct download *d)
{
    return d->out.count > 0 || splice_holds(&d->splice);
}

/* The client may take its end for the end of a message that is cut short: a reset says otherwise. */
bool download_end_misleads(const struct exchange *e);

/* Gives its buffers back. */
void download_end(struct download *d);

#endif
