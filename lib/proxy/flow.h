#ifndef CARPOOL_PROXY_FLOW_H
#define CARPOOL_PROXY_FLOW_H

/* One direction of a tunnel: bytes from one connection to the other, one buffer at a time, so that a slow
 * reader slows the writer.
 *
 *   OPEN --end of file--> ENDING ----all written, FIN----> ENDED
 *     |
 *     +------reset------> ABORTING ------all written-----> ABORTED
 *
 * From any of them to LOST, when the sink is gone: what still comes is thrown away. */

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "io/conn.h"

enum flow_state { FLOW_OPEN, FLOW_ENDING, FLOW_ENDED, FLOW_ABORTING, FLOW_ABORTED, FLOW_LOST };

struct flow {
    enum flow_state state;
    struct conn *from, *to;
    struct buffer *head;    /* an HTTP head that goes first; NULL: none, or sent */
    struct buffer *waiting; /* read and not written; NULL: nothing */
    uint64_t written;       /* bytes, the head's included */
    uint64_t head_size;
};

/* `head` and `waiting` become the flow's; both may be NULL. */
void flow_init(struct flow *f, struct conn *from, struct conn *to, struct buffer *head,
               struct buffer *waiting);

/* Moves what can be moved. The connections stay the caller's. */
void flow_pump(struct flow *f, struct buffer_pool *pool);

/* The sink is gone: drops what waits. */
void flow_lose(struct flow *f);

/* It will write nothing more. */
bool flow_is_over(const struct flow *f);

/* Nothing was read that is not written. */
bool flow_is_empty(const struct flow *f);

/* The source's connection is broken, so that it takes nothing either. Known only when everything it sent has
 * been read. */
bool flow_source_failed(const struct flow *f);

/* Bytes written, less the head. */
uint64_t flow_content(const struct flow *f);

#endif
