#ifndef CARPOOL_HTTP_HEAD_H
#define CARPOOL_HTTP_HEAD_H

/* The head of one message: found, checked byte by byte, and cut into slices of the buffer it stands in. */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/fields.h"

#define HEAD_MAX_FIELDS 1000

struct head {
    /* Request. */
    struct slice method, target;
    /* Response. */
    uint16_t status;
    struct slice reason;
    /* Both. */
    uint8_t minor;  /* of HTTP/1.x; a minor above 1 is read as 1 */
    uint32_t count; /* of fields */
    /* Bit (1 << enum field_id) for each known field that occurs: looking for an absent one is free */
    uint64_t present;
    struct field fields[HEAD_MAX_FIELDS];
};

struct head_limits {
    uint32_t max_size;  /* bytes of the whole head */
    uint32_t max_count; /* fields, at most HEAD_MAX_FIELDS */
};

/* What reading a head found: the status that answers such a request (a response is 502), whether repair.h can
 * mend it in a response, and a sentence. HEAD_INCOMPLETE: more bytes are needed. Connection options count as
 * fields, too. */
#define HEAD_VERDICT_LIST(X)                                                                            \
    X(HEAD_OK, 200, false, "the head is well-formed")                                                   \
    X(HEAD_INCOMPLETE, 400, false, "the head is incomplete (RFC 9112 2.1)")                             \
    X(HEAD_LINE_TOO_LONG, 414, false, "the first line is longer than maxHeaderSize (RFC 9112 3)")       \
    X(HEAD_TOO_LARGE, 431, false, "the head has more bytes than maxHeaderSize (RFC 9110 5.4)")          \
    X(HEAD_TOO_MANY_FIELDS, 431, false, "the head has more fields than maxHeadersCount (RFC 9110 5.4)") \
    X(HEAD_BAD_VERSION, 505, false, "the version is not HTTP/1.x (RFC 9110 2.5)")                       \
    X(HEAD_BARE_LF, 400, true, "a line ends with LF alone (RFC 9112 2.2)")                              \
    X(HEAD_BARE_CR, 400, true, "a CR stands without LF (RFC 9112 2.2)")                                 \
    X(HEAD_BAD_START_LINE, 400, false, "the first line is malformed (RFC 9112 3 and 4)")                \
    X(HEAD_BAD_FIELD_NAME, 400, true, "a field name is not a token followed by a colon (RFC 9112 5.1)") \
    X(HEAD_BAD_FIELD_VALUE, 400, true, "a field value has a control character (RFC 9110 5.5)")          \
    X(HEAD_OBS_FOLD, 400, true, "a field line begins with white space (RFC 9112 5.2)")                  \
    X(HEAD_PARSERS_DISAGREE, 400, false, "two parsers read the head differently")

enum head_verdict {
#define X(id, status, repairable, text) id,
    HEAD_VERDICT_LIST(X)
#undef X
};

/* Once a process, before the first head is read: http-parser's limit of a head's size is the process's, not
 * the parser's, and must not come before max_size. */
void http_init(void);

/* The columns of the list. */
unsigned head_verdict_status(enum head_verdict v);
bool head_verdict_is_repairable(enum head_verdict v);
const char *head_verdict_text(enum head_verdict v);

/* Looks for the end of a head that starts at data.p. `*scanned` is where the last call stopped (0 at first):
 * nothing before it is looked at again, so the bytes may arrive one by one. Nothing after limits->max_size
 * is looked at at all; the limits may change between two calls. Leading empty lines of a request are the
 * caller's to skip. On HEAD_OK, `*length` is the head's, its empty line included. Any verdict but OK and
 * INCOMPLETE is final; the same bytes give the same verdict however they were split. */
enum head_verdict head_scan(struct slice data, size_t *scanned, const struct head_limits *limits,
                            size_t *length);

/* Reads a whole head as found by head_scan: exactly its bytes. Slices in `out` point into `data`. No
 * allocation; of `out`, the fields from out->count on are not touched. */
enum head_verdict head_parse_request(struct slice data, const struct head_limits *limits, struct head *out);
enum head_verdict head_parse_response(struct slice data, const struct head_limits *limits, struct head *out);

/* Reads a trailer section: the lines between the last chunk and the empty line, which is included (RFC
 * 9112 7.1.2). */
enum head_verdict head_parse_trailers(struct slice data, const struct head_limits *limits, struct head *out);

/* The first field with this name, or NULL. */
const struct field *head_find(const struct head *h, enum field_id id);

/* How many there are. */
uint32_t head_count(const struct head *h, enum field_id id);

static inline bool head_has(const struct head *h, enum field_id id)
{
    return (h->present >> id) & 1;
}

#endif
