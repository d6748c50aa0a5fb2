#ifndef CARPOOL_HTTP_FRAMING_H
#define CARPOOL_HTTP_FRAMING_H

/* Where a message's content ends: RFC 9112 section 6, in its strict reading, since sockets are shared. */

#include <stdbool.h>
#include <stdint.h>

#include "http/head.h"

enum body_kind {
    BODY_NONE,   /* no content at all */
    BODY_LENGTH, /* exactly `length` bytes (0 is possible) */
    BODY_CHUNKED,
    BODY_CLOSE,  /* until the peer closes: responses only */
    BODY_TUNNEL, /* 101, or 2xx to CONNECT: no longer HTTP */
};

struct framing {
    enum body_kind kind;
    /* Read by the rules, but senders are known to mean something else: let nothing else use the connection */
    bool doubtful;
    uint64_t length;
};

enum framing_verdict {
    FRAMING_OK,
    FRAMING_BAD_LENGTH,         /* not digits, too big, or several that differ */
    FRAMING_LENGTH_AND_CODING,  /* both Content-Length and Transfer-Encoding */
    FRAMING_CODING_IN_1_0,      /* Transfer-Encoding in HTTP/1.0 */
    FRAMING_UNKNOWN_CODING,     /* 501 in a request */
    FRAMING_BAD_CODING,         /* chunked twice or not last, or an empty list */
    FRAMING_UNEXPECTED_CONTENT, /* said of a message that may have none: TRACE, CONNECT, 1xx */
};

/* No byte of content follows the head. */
static inline bool framing_is_empty(const struct framing *f)
{
    return f->kind == BODY_NONE || (f->kind == BODY_LENGTH && f->length == 0);
}

const char *framing_verdict_text(enum framing_verdict v);

/* For a response: which request it answers decides whether it has content. */
enum request_kind { REQUEST_PLAIN, REQUEST_HEAD, REQUEST_CONNECT };

enum framing_verdict framing_of_request(const struct head *h, struct framing *out);

/* 1xx, 204, 304 and answers to HEAD have none, whatever their fields say; `out->length` then still gives
 * Content-Length for forwarding where there is one. A 204 that announces content is `doubtful`: some servers
 * send it. A 101 is BODY_TUNNEL: whether one was asked for is the caller's to know. */
enum framing_verdict framing_of_response(const struct head *h, enum request_kind asked, struct framing *out);

#endif
