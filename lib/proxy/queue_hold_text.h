#ifndef CARPOOL_PROXY_QUEUE_HOLD_TEXT_H
#define CARPOOL_PROXY_QUEUE_HOLD_TEXT_H

/* What keeps a request waiting, in words for its answer and the log. */

#include "pool/origin.h"

#define QUEUE_HOLD_TEXT_SIZE 256

/* "all 20 connections busy (maxSockets)", "the agent is paused; to go on: carpoolctl resume api". Returns
 * `out`. */
const char *queue_hold_text(const struct origin *o, char out[QUEUE_HOLD_TEXT_SIZE]);

/* Why it may not even wait: "queue full: 3 requests waiting (maxPendingRequests), " and the same. Returns
 * `out`. */
const char *queue_full_text(const struct origin *o, char out[QUEUE_HOLD_TEXT_SIZE]);

#endif
