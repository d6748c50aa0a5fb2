#ifndef CARPOOL_PROXY_CLIENT_FATE_H
#define CARPOOL_PROXY_CLIENT_FATE_H

/* Does the client's connection go on after this response, and if not, why? One answer for responses, own
 * answers, failures and stops alike. */

#include <stdbool.h>

#include "proxy/close_reason.h"
#include "proxy/reply.h"

struct fate_facts {
    bool stopping;
    bool last_allowed; /* server.maxRequestsPerSocket */
    bool refused;      /* CONNECT was not done, or the client may not use Carpool */
    bool head_read;    /* the request has a head that could be read */
    bool request_read; /* the request was read to the end of its framing, and not a byte further */
    bool client_wants; /* the client's own word: persistent (RFC 9112 9.3) */
    bool delimited;    /* the end of the response shows without the end of the connection */
    enum fault fault;
};

/* CLIENT_KEPT: the next request begins where this one ended. */
enum client_close client_fate(const struct fate_facts *f);

#endif
