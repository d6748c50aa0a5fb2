#ifndef CARPOOL_TESTS_HTTP_MESSAGE_H
#define CARPOOL_TESTS_HTTP_MESSAGE_H

/* Reads messages with all of lib/http, as the proxy does, from bytes that arrive in pieces. */

#include "http/chunked.h"
#include "http/framing.h"
#include "http/head.h"
#include "http/uri.h"

enum message_side { REQUESTS, RESPONSES };

/* Where reading a connection's bytes came to. */
enum message_end {
    MESSAGE_MORE,    /* in the middle of a message, or before the first */
    MESSAGE_WHOLE,   /* at the end of one */
    MESSAGE_TUNNEL,  /* what follows is no HTTP */
    MESSAGE_REFUSED, /* malformed */
};

struct message_log {
    enum message_end end;
    const char *why;   /* of a refusal */
    uint32_t messages; /* that are complete */
    size_t used;       /* bytes up to the end or the refusal; with MESSAGE_MORE those that were given */
    uint64_t content;  /* bytes of content, of all messages */
    uint64_t digest;   /* of all content and trailers */
};

/* Reads `bytes` as if `step` arrived at a time; 0: a piece for each byte that ends with LF or CR. `asked`
 * is what responses answer. */
void message_read(struct slice bytes, size_t step, enum message_side side, enum request_kind asked,
                  struct message_log *log);

#endif
