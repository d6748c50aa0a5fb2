#ifndef CARPOOL_WIRE_BODY_WRITER_H
#define CARPOOL_WIRE_BODY_WRITER_H

/* Frames content anew: runs in, pieces of a sendq out (RFC 9112 7.1). */

#include <stdbool.h>
#include <sys/uio.h>

#include "io/sendq.h"

struct body_writer {
    /* In chunks of our own; else as it is: its length is known, or the connection's end ends it */
    bool chunked;
    char line[20]; /* the chunk's first line, while the queue points to it */
};

/* Queues a batch, with `last` the end of the content after it. The runs and the trailer lines stay where they
 * are until the queue is empty, and so does the writer, which may queue another batch then only. */
void body_writer_push(struct body_writer *w, struct sendq *q, const struct iovec *runs, unsigned count,
                      bool last, struct slice trailers);

#endif
