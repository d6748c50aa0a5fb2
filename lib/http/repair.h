#ifndef CARPOOL_HTTP_REPAIR_H
#define CARPOOL_HTTP_REPAIR_H

/* insecureHTTPParser: the head of a response that breaks RFC 9112, made into one that the strict parser
 * takes, or refused. What was repaired means one thing only to the reader of the result; what the sender
 * meant by it is not certain, so the connection that needed it must carry nothing else. */

#include <stdbool.h>
#include <stdint.h>

#include "http/head.h"

/* X(id, words for people) */
#define REPAIR_LIST(X)                                   \
    X(REPAIR_BARE_LF, "lines that end with LF alone")    \
    X(REPAIR_FOLD, "fields that go on in the next line") \
    X(REPAIR_SPACE, "a space before a colon")            \
    X(REPAIR_NO_FIELD, "lines that are no fields")       \
    X(REPAIR_CONTROL, "control characters in values")    \
    X(REPAIR_DOUBLED, "a doubled Content-Length or chunked")

enum repair {
#define X(id, words) id,
    REPAIR_LIST(X)
#undef X
        REPAIR_COUNT
};

const char *repair_words(enum repair r);

/* As head_scan(), where a line ends with LF alone, too: the same end in a head that head_scan() takes.
 * HEAD_OK, HEAD_INCOMPLETE, HEAD_TOO_LARGE or HEAD_LINE_TOO_LONG. */
enum head_verdict repair_scan(struct slice data, size_t *scanned, const struct head_limits *limits,
                              size_t *length);

/* So many bytes are room enough for a head of n bytes. */
#define REPAIR_ROOM(n) (2 * (size_t)(n))

/* Writes a whole head anew; `*done` gets a bit (1 << enum repair) for each kind of repair. Returns the
 * length; 0 when a repair would have to guess at where the content ends, or at where the head does. What is
 * written may still be malformed in ways that are not repaired, or say of its framing what is refused. */
size_t repair_head(struct slice head, char *out, uint32_t *done);

/* Leaves one of several Content-Length fields or members that say the same, and one of several `chunked`.
 * True when there was anything to do: REPAIR_DOUBLED. Only what is left in h->fields counts from then on. */
bool repair_framing(struct head *h);

#endif
