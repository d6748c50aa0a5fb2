#ifndef CARPOOL_PROXY_RETRY_H
#define CARPOOL_PROXY_RETRY_H

/* Decides whether a failed attempt is repeated, from the facts that are known when it failed (RFC
 * 9110 9.2.2). */

#include <stdbool.h>
#include <stdint.h>

struct failed_attempt {
    bool reused; /* its socket had carried an exchange before */
    /* An end of file, a reset, a broken pipe, or it acknowledges nothing; never a slow answer, never
     * malformed bytes */
    bool ended_by_peer;
    bool response_begun; /* a byte of the response came */
    bool request_begun;  /* a byte of the request was handed to the kernel */
    bool idempotent;
    bool replayable; /* every byte of the request can be sent again from memory */
    uint32_t repeats_left;
    bool unprocessed; /* HTTP/2: the origin certainly did nothing with it (RFC 9113 8.7) */
    /* Not processed, since the connection was ended in an orderly way after it had answered or taken
     * others */
    bool routine;
    uint32_t unprocessed_repeats_left; /* that are not routine */
};

enum retry {
    RETRY_NO,             /* the client gets 502, or is cut */
    RETRY_QUEUE,          /* to the head of the queue: any socket will do */
    RETRY_UNPROCESSED,    /* to the head of the queue, beside `retries` */
    RETRY_OWN_CONNECTION, /* the last repeat: a new connection in the failed socket's place */
};

enum retry retry_decide(const struct failed_attempt *a);

/* Why what failed on a reused socket is not repeated, to be put after what happened; "" where that needs no
 * word. */
const char *why_not_repeated(const struct failed_attempt *a);

#endif
