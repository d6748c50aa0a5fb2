#ifndef CARPOOL_PROXY_RECORD_H
#define CARPOOL_PROXY_RECORD_H

/* What one exchange was, recorded once when it has ended: the access log's line. All slices are good during
 * the call only. */

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/slice.h"
#include "config/config.h"

/* A longer target is cut. A request line fits where server.maxHeaderSize is as it comes. */
#define RECORD_TARGET_SIZE (17 * 1024)

struct exchange_record {
    const struct address *client;
    const char *caller;           /* NULL: callers is off */
    struct slice method;          /* "-" when it could not be read */
    struct slice target;          /* absolute URI as forwarded, "tunnel://host:port", or "-" */
    unsigned status;              /* of the response that the client got or began to get; 0: none */
    uint64_t bytes_in, bytes_out; /* of the contents */
    struct slice agent;           /* "" when none was chosen */
    const char *protocol;         /* to the origin, of the last attempt: "h2", "http/1.1"; NULL: none */
    bool reused;                  /* the last attempt went over a socket that had carried an exchange */
    uint64_t pending_us, connect_us, ttfb_us, total_us;
    uint32_t retries;
    const char *error; /* the Proxy-Status word; NULL when there is none */
};

/* As much of a target, or of a line with one, as may stand in a log (accessLog.query). */
struct slice record_shown(const struct config *c, struct slice target);

#endif
