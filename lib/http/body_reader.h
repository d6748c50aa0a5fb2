#ifndef CARPOOL_HTTP_BODY_READER_H
#define CARPOOL_HTTP_BODY_READER_H

/* Undoes the framing of a message's content: bytes in, runs of content out (RFC 9112 6). */

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "http/chunked.h"
#include "http/framing.h"

/* What a trailer section may have, in whatever protocol it comes. */
extern const struct head_limits body_trailer_limits;

struct body_reader {
    struct framing framing;
    uint64_t left; /* BODY_LENGTH: bytes still to come */
    struct chunked chunked;
    bool ended;              /* the content was read to its last byte */
    struct buffer *trailers; /* the trailer section as it came; NULL: none */
};

enum body_event {
    BODY_MORE, /* all that was given was used */
    BODY_RUN,
    BODY_END, /* the message is complete: what follows belongs to the next one */
    BODY_MALFORMED,
    BODY_NO_MEMORY,
};

/* A fresh one. */
void body_reader_begin(struct body_reader *b, struct framing framing);

/* Takes `*used` bytes of `in`, up to the next event; `*run` points into `in`. Trailers are kept in a buffer
 * of `buffers`. BODY_CLOSE has no BODY_END: its sender's end of file is that. */
enum body_event body_read(struct body_reader *b, struct buffer_pool *buffers, struct slice in, size_t *used,
                          struct slice *run);

/* `n` bytes of content, of BODY_LENGTH and at most what is left, went another way. */
void body_reader_skip(struct body_reader *b, size_t n);

/* The trailer fields that came, after BODY_END; none: *out has no field. False: they are malformed. Good
 * until body_reader_end(). */
bool body_reader_trailers(const struct body_reader *b, struct head *out);

/* What is wrong with content that is BODY_MALFORMED or has malformed trailers: "chunked content is ...". */
const char *body_reader_fault(const struct body_reader *b);

/* Gives its buffer back. */
void body_reader_end(struct body_reader *b);

/* The trailer fields that are passed on, as lines (RFC 9110 6.5.1). False: no room. */
bool trailers_append(struct buffer *to, const struct head *trailers);

#endif
