#ifndef CARPOOL_HTTP_CHUNKED_H
#define CARPOOL_HTTP_CHUNKED_H

/* A strict decoder of the chunked coding (RFC 9112 7.1). It keeps a few words between calls and no bytes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define CHUNKED_MAX_EXTENSIONS (16 * 1024) /* bytes of chunk extensions a message */
#define CHUNKED_MAX_TRAILERS   (8 * 1024)  /* bytes of its trailer section */

struct chunked {
    uint8_t state;       /* private to chunked.c */
    uint8_t digits;      /* of the chunk size so far */
    uint64_t left;       /* bytes of the current chunk still to come */
    uint32_t extensions; /* bytes seen of the message's extensions */
    uint32_t trailers;   /* bytes seen of the trailer section, its empty line included */
};

enum chunked_event {
    CHUNKED_MORE,      /* everything given was used; nothing to report */
    CHUNKED_DATA,      /* *data is a run of content */
    CHUNKED_TRAILER,   /* *data is a run of the trailer section (bytes as received; the empty line ends it) */
    CHUNKED_END,       /* the message is complete; what follows belongs to the next one */
    CHUNKED_BAD,       /* malformed */
    CHUNKED_TOO_LARGE, /* beyond the limits above */
};

/* A zeroed struct is a fresh decoder. Reads from `in`, sets *used to the bytes taken (data included), and
 * returns at the first event. Call again with the rest, even when it is empty, until CHUNKED_MORE,
 * CHUNKED_END or an error. The events, and the bytes that stand in their runs, do not depend on how the
 * message was split. A trailer section that has no fields gives no CHUNKED_TRAILER; else the runs together
 * are what head_parse_trailers reads, and only that looks at their bytes but for line ends. */
enum chunked_event chunked_decode(struct chunked *c, struct slice in, size_t *used, struct slice *data);

#endif
