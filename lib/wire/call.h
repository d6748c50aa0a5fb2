#ifndef CARPOOL_WIRE_CALL_H
#define CARPOOL_WIRE_CALL_H

/* One request and its response on a wire, whatever the protocol. Embedded in the exchange that makes it.
 *
 *   wire_open() --> open --call_finish(), call_leave(), call_reset(), call_detach()--> closed
 *
 * The request goes out by call_send(), the response comes in by call_next(); both halves move on their own.
 * Nothing here blocks: `ready` says when it is worth another try. No function of this header calls `ready`. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "http/framing.h"
#include "http/head.h"
#include "wire/call_end.h"

struct call;
struct pipe;
struct wire;

/* What `ready` reports; bits. CALL_UNACKED: the request was sent and nothing of it has been acknowledged for
 * a while (pool/path.h). */
enum { CALL_READABLE = 1, CALL_WRITABLE = 2, CALL_UNACKED = 8 };

enum call_write {
    CALL_SENT,    /* every byte given was handed over: its memory is the caller's again */
    CALL_BLOCKED, /* the bytes stay where they are until CALL_WRITABLE; then call_send() without content */
    CALL_WRITE_FAILED, /* the peer takes no more; what it sent before may still be a response: read on */
};

enum call_part {
    CALL_MORE, /* nothing more to be had before what was given is consumed; if nothing is left to be: wait */
    CALL_INTERIM,  /* *head is a 1xx response, but not 101 */
    CALL_HEAD,     /* *head is the final response's head (or a 101's), call->framing says what follows */
    CALL_CONTENT,  /* *run is content */
    CALL_TRAILERS, /* *head has the trailer fields */
    CALL_END,      /* the response is complete */
    CALL_FAILED,   /* wire->loop->failure says why */
};

/* What is certain of a request whose call has failed. */
enum call_progress {
    CALL_NOT_SENT,        /* no byte of it was handed to the kernel, and none will be */
    CALL_NOT_PROCESSED,   /* the peer said that it did nothing with it (RFC 9113 8.7) */
    CALL_MAYBE_PROCESSED, /* nothing is certain */
};

enum call_error {
    CALL_ERROR_ENDED,        /* the connection ended or broke: `code` is an errno, 0 for an end of file */
    CALL_ERROR_TLS_PROTOCOL, /* TLS failed in the midst: a record that is none */
    CALL_ERROR_TLS_CERTIFICATE,
    CALL_ERROR_TLS_ALERT,      /* the peer's alert, such as its word on our certificate */
    CALL_ERROR_MALFORMED,      /* the response breaks HTTP: `text` says how */
    CALL_ERROR_REPAIRABLE,     /* it does in a way that insecureHTTPParser would let pass */
    CALL_ERROR_HEAD_TOO_LARGE, /* beyond maxHeaderSize or maxHeadersCount */
    CALL_ERROR_SPEAKS_TLS,     /* TLS records where HTTP was to come */
    CALL_ERROR_PARENT,         /* the parent proxy asks for credentials */
    CALL_ERROR_TRUNCATED, /* TLS ended without close_notify where that delimits the content (RFC 8446 6.1) */
    CALL_ERROR_REFUSED,   /* h2: REFUSED_STREAM, or above the last stream of a GOAWAY */
    CALL_ERROR_CALM,      /* h2: ENHANCE_YOUR_CALM */
    CALL_ERROR_HTTP_1_1,  /* h2: HTTP_1_1_REQUIRED */
    CALL_ERROR_RESET,     /* h2: any other RST_STREAM, `code` is its error code */
    CALL_ERROR_PING,      /* h2: the peer answered no PING */
    CALL_ERROR_NO_MEMORY,
};

struct call_failure {
    enum call_error error;
    enum call_progress progress;
    bool proven;    /* h2: the connection has answered another call */
    bool orderly;   /* h2: it ends by GOAWAY NO_ERROR */
    bool took;      /* ... which says that it took other calls before this one */
    int code;       /* of CALL_ERROR_ENDED an errno or 0, of an h2 error its code (RFC 9113 7) */
    char text[512]; /* "" where the error says it all */
};

struct call_request {
    struct slice head;      /* as it leaves in HTTP/1.1, without its Connection field and the empty line */
    struct slice authority; /* what Host says */
    struct framing framing; /* of the content: BODY_NONE, BODY_LENGTH or BODY_CHUNKED (of unknown length) */
    bool is_head;           /* HEAD: the response has no content */
    bool upgrade;           /* HTTP/1.1 only: asks for another protocol */
    bool once;              /* it may not be sent again where it may have been carried out */
    bool te_trailers;       /* the client takes trailers */
    bool last;              /* HTTP/1.1: no other call follows, say Connection: close */
    bool repair;            /* insecureHTTPParser */
};

/* A batch of content. */
struct call_content {
    const struct iovec *runs;
    unsigned count; /* at most CALL_RUNS */
    bool last;      /* the content ends with it; said once, maybe with no runs */
    /* With `last`: field lines, each with its CRLF, for content of unknown length; may be empty */
    struct slice trailers;
};

#define CALL_RUNS 12

struct call {
    struct wire *wire;                             /* NULL: closed */
    void (*ready)(struct call *c, unsigned ready); /* the owner's; called by the loop only */
    void *stream;                                  /* the wire's own */
    /* Of the response, from CALL_HEAD on; BODY_CHUNKED and BODY_CLOSE: of unknown length */
    struct framing framing;
    uint64_t sent; /* bytes of the request handed to the kernel */
    /* When a byte of it or of its response last went or came, as clock_ms(); 0: none did */
    uint64_t moved_ms;
    uint64_t first_byte_us; /* when the response's first byte came, as clock_us(); 0: none did */
    uint32_t repairs;       /* which kinds a repaired head needed: bits of http/repair.h */
};

/* Hands over a batch of content (NULL: what is blocked, or the head alone of which no content is there yet).
 * The head goes with the first one. After CALL_SENT of the batch that was `last`, the request is complete. */
enum call_write call_send(struct call *c, const struct call_content *content);

/* The next part of the response. *head and *run are good until the next call of this function, *run until it
 * is consumed. */
enum call_part call_next(struct call *c, struct head *head, struct slice *run);

/* The content that was given so far and not consumed yet, `n` bytes, went to the client (h1: frees its
 * buffer, h2: opens its window). */
void call_consumed(struct call *c, size_t n);

/* How many bytes of content may be taken by call_splice_in() now; 0: call_next() only. */
uint64_t call_spliceable(const struct call *c);

/* Content from the wire into an empty pipe, as conn_splice_in(); at most call_spliceable() bytes. */
ssize_t call_splice_in(struct call *c, struct pipe *p, size_t n);

/* Whether content may be handed over by call_splice_out() now, in place of call_send(). */
bool call_takes_pipe(const struct call *c);

/* Content of the request from a pipe, as conn_splice_out(). */
ssize_t call_splice_out(struct call *c, struct pipe *p);

/* Has `ready` called for both directions once more, after what else is ready: for an owner that stopped
 * early. */
void call_yield(struct call *c);

/* After CALL_END: closes the call and says what is known of the wire. */
void call_finish(struct call *c, struct call_end *end);

/* Its owner needs it no more, in the midst of the response. True: the wire reads what is left of it, at most
 * `limit` bytes and for a second, and then notifies its owner (wire_owner.left). False: that is not worth it,
 * or not possible; the call is as it was: reset it. */
bool call_leave(struct call *c, uint64_t limit);

/* Gives it up. h1: the wire is of no further use. h2: RST_STREAM, the wire goes on. */
void call_reset(struct call *c);

/* The connection speaks no HTTP any more (101, CONNECT): the caller takes wire->conn, and what was read of it
 * and not used, which is the caller's to give back; NULL: nothing. HTTP/1.1 only. */
struct buffer *call_detach(struct call *c);

#endif
