#ifndef CARPOOL_PROXY_BAD_REQUEST_H
#define CARPOOL_PROXY_BAD_REQUEST_H

/* What a client is answered whose request cannot be read or names no target: what is wrong (http/explain.h),
 * and the line, escaped and cut, so that body and log show which request it was. */

#include "config/config.h"
#include "http/head.h"
#include "http/uri.h"
#include "proxy/reply.h"

/* `data` is what has come, from the first byte of the head on. */
enum fault bad_request_of_head(const struct config *c, struct slice data, enum head_verdict v,
                               const struct head_limits *limits, char *text, size_t text_size);

enum fault bad_request_of_target(const struct config *c, struct slice target, enum uri_verdict v, char *text,
                                 size_t text_size);

#endif
