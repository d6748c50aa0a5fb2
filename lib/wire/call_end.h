#ifndef CARPOOL_WIRE_CALL_END_H
#define CARPOOL_WIRE_CALL_END_H

#include <stdbool.h>
#include <stdint.h>

/* What is known of a wire when a call on it ends. All zero means: the wire may not be used again. */
struct call_end {
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

#endif
