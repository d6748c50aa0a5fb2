#ifndef CARPOOL_WIRE_H1_INTERNAL_H
#define CARPOOL_WIRE_H1_INTERNAL_H

/* A call on an HTTP/1.1 wire, shared by the h1*.c files.
 *
 * Response:  HEAD --final head--> BODY --end of its framing--> ENDED
 *                    |                                           ^
 *                    +-- no content -----------------------------+
 * Request:   OPEN --last batch queued--> LAST --written--> SENT;  from OPEN and LAST to FAILED: the peer takes no more
 *
 * A call that its owner left in BODY has `call` NULL: what is left of the response is read and thrown away. */

#include "base/timer.h"
#include "http/body_reader.h"
#include "io/low_water.h"
#include "io/sendq.h"
#include "wire/body_writer.h"
#include "wire/h1.h"

enum h1_request { H1_REQUEST_OPEN, H1_REQUEST_LAST, H1_REQUEST_SENT, H1_REQUEST_FAILED };
enum h1_response { H1_HEAD, H1_BODY, H1_ENDED };

struct h1 {
    void *spare;        /* freelist.h */
    struct timer timer; /* outlives the call: limits the reading of what was left */
    /* From here on zero at first. */
    struct wire *wire;
    TAILQ_ENTRY(h1) yielded; /* tqe_prev NULL: it has not */
    struct call *call;       /* NULL: its owner has left */
    struct call_request asked;
    struct call_end end;

    enum h1_request request;
    int write_error; /* FAILED */
    struct sendq out;
    struct body_writer writer;

    enum h1_response response;
    struct buffer *in;       /* read from the conn, not used up yet */
    size_t scanned;          /* HEAD: of the head in `in` */
    size_t head_length;      /* of the head that was given last: it is used up with the next part */
    enum head_verdict fault; /* HEAD: what insecureHTTPParser is to repair in it; HEAD_OK: nothing */
    struct buffer *repaired; /* that head, strict */
    bool interim_close;      /* an interim response said Connection: close */
    struct body_reader body;
    uint32_t used;               /* bytes at the front of `in` that were read as content or its framing */
    uint32_t came;               /* bytes that were read, or passed by, since the conn had no more */
    size_t given;                /* bytes of content among them that were given and not consumed */
    uint64_t first_byte_ms;      /* 0: no byte of the response came */
    uint64_t skipped, skip_most; /* bytes of content, of a call that was left */
    struct low_water low_water;  /* of content that passes by */
};

/* h1_turns.c */
void h1_yield(struct h1 *h);
void h1_forget_turn(struct h1 *h);

/* h1_request.c */
void h1_queue_head(struct h1 *h);
enum call_write h1_send(struct call *c, const struct call_content *content);
bool h1_takes_pipe(const struct call *c);
ssize_t h1_splice_out(struct call *c, struct pipe *p);

/* h1_head.c: scans, reads and, where allowed, repairs the head that begins in h->in. On HEAD_OK, `*length`
 * bytes of it are the head. HEAD_INCOMPLETE: more must come. Anything else is final. */
enum head_verdict h1_read_head(struct h1 *h, struct head *head, size_t *length);
void h1_forget_head(struct h1 *h);

/* h1_response.c */
enum call_part h1_next(struct call *c, struct head *head, struct slice *run);
void h1_consumed(struct call *c, size_t n);
uint64_t h1_spliceable(const struct call *c);
ssize_t h1_splice_in(struct call *c, struct pipe *p, size_t n);
/* Frees the bytes of what was given. */
void h1_settle(struct h1 *h);
/* Of a call that was left: content is thrown away. CALL_CONTENT: enough for a turn, and more may be there;
 * else CALL_MORE, CALL_END, CALL_TRAILERS or CALL_FAILED. */
enum call_part h1_skip(struct h1 *h);

static inline struct h1 *h1_of(const struct call *c)
{
    return c->stream;
}

#endif
