#ifndef CARPOOL_ADMIN_REQUEST_H
#define CARPOOL_ADMIN_REQUEST_H

/* One request to the admin listener, read as its bytes come: by the proxy's own scanner and parser, as
 * strictly, and with what the routes and the guard look at. Allocates nothing. */

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "http/chunked.h"
#include "http/framing.h"
#include "http/head.h"

#define REQUEST_MAX_HEAD    (16 * 1024)
#define REQUEST_MAX_CONTENT (16 * 1024) /* read and thrown away: no route wants any */

/* A connection with room for so many bytes can take any request: its head, and its content piece by piece. */
#define REQUEST_ROOM (REQUEST_MAX_HEAD + 4 * 1024)

enum admin_method { ADMIN_GET, ADMIN_POST, ADMIN_OTHER }; /* HEAD is GET whose body is not sent */

enum request_progress {
    REQUEST_INCOMPLETE,
    REQUEST_COMPLETE,
    REQUEST_BAD, /* `status` and `problem` say why; nothing after it can be read */
};

/* Zeroed at first. */
struct request {
    enum admin_method method;
    bool is_head;
    bool persistent; /* the client may ask again on this connection (RFC 9112 9.3) */
    bool is_http_1_0;
    bool expects_continue; /* wants 100 (Continue) before its content; the caller clears it */
    /* Into the bytes that were read; p == NULL: absent. */
    struct slice path; /* without the query, percent-encoded as it came */
    struct slice host; /* of the target, where that is absolute */
    struct slice origin;
    unsigned status;
    const char *problem;
    /* request.c's own */
    size_t skipped;
    size_t scanned;
    size_t head_length; /* 0: the head is not whole yet */
    struct framing framing;
    struct chunked chunked;
    size_t content;
};

/* Reads on. `bytes` are the *n unused bytes of the connection, at the same place in every call; content is
 * taken out of them. A final verdict stands until request_end(). `scratch` is used within the call only. */
enum request_progress request_read(struct request *r, struct head *scratch, char *bytes, size_t *n);

/* Moves what follows a complete request to the front, for the next one. */
void request_end(struct request *r, char *bytes, size_t *n);

#endif
