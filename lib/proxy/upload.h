#ifndef CARPOOL_PROXY_UPLOAD_H
#define CARPOOL_PROXY_UPLOAD_H

/* The request's half of an exchange: its content, from the client's buffer to the call.
 *
 *              batch taken               SENT                     the last one
 *   STARVED --------------> (call_send) ------> STARVED ... ------------------> DONE
 *                               |  ^
 *                 CALL_BLOCKED  v  | writable, or the call ends
 *                              BLOCKED                 from any but DONE to STOPPED: no more will be sent
 */

#include <stdbool.h>
#include <stdint.h>

#include "http/body_reader.h"
#include "io/low_water.h"
#include "proxy/pump.h"
#include "proxy/splice.h"
#include "wire/call.h"

struct exchange;

enum upload_state {
    UPLOAD_STARVED, /* bytes of the client are waited for */
    UPLOAD_BLOCKED, /* the origin must take some first */
    UPLOAD_DONE,    /* every byte was handed over */
    UPLOAD_STOPPED, /* no more will be sent: the origin does not listen, or the request was refused */
};

struct upload {
    enum upload_state state;
    struct body_reader reader;
    struct call_content batch; /* what was handed to the call and not sent yet; its runs are these: */
    struct iovec runs[CALL_RUNS];
    uint32_t held;       /* bytes at the front of the client's buffer to which the batch points */
    uint64_t content;    /* bytes taken in */
    uint64_t keep_limit; /* content of at most so many bytes is kept for a repeat; 0: none is (any more) */
    struct buffer *kept; /* all of it so far; NULL: none came */
    struct buffer *trailers; /* those that go on, as lines */
    struct splice splice;
    struct low_water low_water; /* of the client's conn */
};

/* Of a zeroed one: nothing of the content was read yet. */
void upload_begin(struct exchange *e);

/* A call was opened, the first or another one: what was sent before is sent again. */
void upload_restart(struct exchange *e);

/* Its call has ended, and another may follow: meanwhile no origin blocks it. */
void upload_interrupted(struct exchange *e);

/* Moves what can be moved. */
enum pump upload_pump(struct exchange *e);

/* Nothing more of it will be sent. */
void upload_stop(struct exchange *e);

/* The content was taken from the client to its last byte, and not a byte further. */
bool upload_source_is_spent(const struct upload *u);

/* Whether the whole request can be sent again from memory, as far as it was sent to `c`. */
bool upload_is_replayable(const struct upload *u, const struct call *c);

/* Gives its buffers back. */
void upload_end(struct upload *u);

#endif
