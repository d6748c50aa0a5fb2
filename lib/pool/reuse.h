#ifndef CARPOOL_POOL_REUSE_H
#define CARPOOL_POOL_REUSE_H

/* May this socket carry another exchange? One checklist decides, and what is unknown closes: a mistake
 * here mixes up two apps' messages (RFC 9112 9.3). */

#include <stdbool.h>
#include <stdint.h>

#include "pool/retire.h"

/* What the exchange that ends knows about the wire. A zeroed struct refuses. */
struct exchange_end {
    bool request_complete;  /* every byte of the request was handed to the kernel */
    bool response_complete; /* the response ended where its own framing said */
    bool self_delimiting;   /* not by the end of the connection */
    bool origin_persistent; /* HTTP/1.1 without close, or HTTP/1.0 with an explicit keep-alive */
    bool told_close;        /* our request said Connection: close */
    bool repaired;          /* a head had to be repaired: what else is wrong with this sender? */
    bool drained;           /* the last read emptied the socket: nothing is left over */
    bool peer_ended;        /* not drained, since the origin's end of file or reset is what is left */
    bool has_hint_timeout, has_hint_max;
    uint64_t hint_timeout_ms, hint_max;
};

/* What the pool knows. */
struct reuse_limits {
    bool keep_alive; /* the policy's */
    bool wanted;     /* not drained since it was opened, and within limits that were lowered */
    bool stopping;
    uint32_t exchanges;          /* carried, the ending one included */
    uint32_t max_requests;       /* COUNT_INFINITE: no limit */
    uint64_t age_ms, max_age_ms; /* max 0: no limit */
    bool has_hint_max;           /* what an earlier response of this socket said of the exchanges left */
    uint64_t hint_left;
    bool has_hint_timeout;
    uint64_t hint_timeout_ms, hint_buffer_ms;
};

/* RETIRE_NONE: it may be used again. */
enum retire_reason reuse_refusal(const struct exchange_end *end, const struct reuse_limits *l);

#endif
