#ifndef CARPOOL_PROXY_TUNNEL_CAUSE_H
#define CARPOOL_PROXY_TUNNEL_CAUSE_H

/* Why CONNECT to an origin ends in tunnels, as it is configured now: what would have to change for https to
 * be pooled there. */

#include "pool/origin.h"

enum tunnel_cause {
    TUNNEL_BY_POLICY, /* connect is not pool */
    /* connect is pool: */
    TUNNEL_WITHOUT_CA, /* connectTls is not set */
    TUNNEL_UNSIGNED,   /* its CA does not name this host, or has expired */
    TUNNEL_BY_CONTENT, /* it may: what clients send is neither HTTP nor TLS */
};

enum tunnel_cause tunnel_cause(const struct origin *o);

#endif
