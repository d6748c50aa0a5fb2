#include "proxy/client_fate.h"

/* The first row that fits:
 *
 *   stopping                                    shutdown
 *   the last request that is allowed            maxRequestsPerSocket
 *   the client was too slow with its head       headersTimeout
 *   ... with its body                           requestTimeout
 *   a fault after which nothing is certain      bad-request
 *   refused                                     bad-request
 *   the request was not read to its end         connection-close: what follows may be its rest
 *   the client asked for close                  connection-close
 *   the response ends with the connection       connection-close
 *   otherwise                                   the connection goes on                                     */
enum client_close client_fate(const struct fate_facts *f)
{
    if (f->stopping)
        return CLIENT_SHUTDOWN;
    if (f->last_allowed)
        return CLIENT_MAX_REQUESTS;
    if (f->fault == FAULT_CLIENT_TOO_SLOW)
        return f->head_read ? CLIENT_REQUEST_TIMEOUT : CLIENT_HEADERS_TIMEOUT;
    if (f->fault != FAULT_NONE && fault_closes(f->fault))
        return CLIENT_BAD_REQUEST;
    if (f->refused)
        return CLIENT_BAD_REQUEST;
    if (!f->request_read || !f->client_wants || !f->delimited)
        return CLIENT_CONNECTION_CLOSE;
    return CLIENT_KEPT;
}
