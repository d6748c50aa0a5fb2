#ifndef CARPOOL_PROXY_RESPONSE_HEAD_H
#define CARPOOL_PROXY_RESPONSE_HEAD_H

/* The head of a response: found, read and, where insecureHTTPParser allows it, repaired. */

#include "proxy/exchange.h"

/* Reads the head that begins in e->in into proxy->response_head. On HEAD_OK, `*length` bytes of e->in are it; what was
 * read is good until response_head_done(). HEAD_INCOMPLETE: more must come. Anything else is final. */
enum head_verdict response_head_read(struct exchange *e, const struct head_limits *limits, size_t *length);

/* Its bytes are consumed, or the attempt is over: the next one begins from nothing. */
void response_head_done(struct exchange *e);

#endif
