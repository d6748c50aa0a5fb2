#ifndef CARPOOL_PROXY_RELAY_H
#define CARPOOL_PROXY_RELAY_H

/* Content in one direction: read from one connection, its framing undone, framed anew, written to the other.
 * Memory is one buffer: while the writer is blocked nothing is read, so that a slow reader slows the
 * writer. */

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "http/chunked.h"
#include "http/framing.h"
#include "io/conn.h"
#include "io/pipe.h"
#include "proxy/sendq.h"

enum relay_format {
    RELAY_RAW,     /* as it is: the length is known, or the end of the connection ends it */
    RELAY_CHUNKED, /* chunks of our own */
    RELAY_DISCARD, /* read and thrown away */
};

struct relay {
    struct framing framing; /* of what comes */
    enum relay_format format;
    uint64_t left;          /* BODY_LENGTH: bytes still to come */
    struct chunked chunked; /* BODY_CHUNKED */
    bool ended;             /* the content has come whole; its last bytes may still be unsent */
    bool closes;            /* the sink is closed behind the content */
    bool batch;             /* the queue holds bytes of the source's buffer, or the chunk line */
    uint32_t held;          /* bytes at the front of the source's buffer that the queue points to */
    uint64_t content;       /* bytes of content taken in */
    struct sendq out;
    struct pipe *pipe; /* through which content passes by; NULL: it is read and written */
    bool no_pipe;      /* it cannot */
    char chunk_line[24];
    struct buffer *trailers;
    struct buffer *kept; /* every byte of content sent so far, framed, for a repeat; NULL: none or too many */
    uint64_t keep_limit; /* bytes of content; 0: keep nothing (any more) */
};

/* What it works on. All stay the caller's. */
struct relay_ends {
    struct conn *from;
    struct buffer *
        *in; /* what was read and not used yet; borrowed from `bodies` when needed, given back when empty */
    struct conn *to; /* ignored when the content is discarded */
    struct buffer_pool *bodies;
    struct head *scratch;    /* for trailers */
    struct pipe_pool *pipes; /* NULL: everything is read */
};

enum relay_result {
    RELAY_DONE,       /* everything was handed to the kernel */
    RELAY_STARVED,    /* more must come from the source */
    RELAY_BLOCKED,    /* the sink must take some first */
    RELAY_YIELD,      /* enough for one turn; call again soon */
    RELAY_SOURCE_EOF, /* the source ended before the content did */
    RELAY_SOURCE_FAILED,
    RELAY_SINK_FAILED,
    RELAY_MALFORMED, /* the framing is broken */
    RELAY_NO_MEMORY,
};

/* A fresh one. The caller may then push a head to `out`. */
void relay_begin(struct relay *r, struct framing framing, enum relay_format format);

/* Moves what can be moved. */
enum relay_result relay_pump(struct relay *r, const struct relay_ends *ends);

/* The content was taken from the source to its last byte, and not a byte further. */
bool relay_source_is_spent(const struct relay *r);

/* For BODY_CLOSE after RELAY_SOURCE_EOF: the content is whole. Pump again. */
void relay_finish(struct relay *r);

/* For a repeat of a request whose sent bytes were all kept: queues them again, behind the head that the caller
 * has pushed. */
void relay_push_kept(struct relay *r);

/* The sink has gone: what is queued is dropped, and what still comes is thrown away. */
void relay_discard(struct relay *r);

/* Gives its buffers back. */
void relay_end(struct relay *r);

#endif
