#ifndef CARPOOL_ADMIN_CONNECTIONS_H
#define CARPOOL_ADMIN_CONNECTIONS_H

/* The connections to the admin API: one request after the other, and answers of megabytes that leave as their
 * clients take them. Strangers and short memory cannot make them many, long-lived or large:
 *
 *   READING --request complete--> QUEUED --its turn--> SENDING --all taken--> READING,
 *                                           |              ^                  or LINGERING after the last answer
 *                                           +--> WAITING --+
 *
 * READING has 10 s in all. One that is QUEUED is answered in each turn of the loop. WAITING is for an answer
 * that takes a while, a reload's, at most ten minutes. SENDING ends when nothing is taken for 10 s, and when an
 * answer takes much longer than its size explains. LINGERING throws away what still comes, for 1 s, so that no
 * reset destroys the answer. */

#include <event2/event.h>

#include "admin/request.h"
#include "admin/routes.h"
#include "base/address.h"

/* When all are in use, a new one takes the place of the one that has said no request for longest, if that
 * has had a second to do so; else it gets 503. */
#define CONNECTIONS_MAX 64

/* Bytes of answers that clients have not taken yet. What does not fit gets 503, but for a single answer. */
#define CONNECTIONS_MAX_HELD (64 * 1024 * 1024)

struct connections;

/* Answers a request that came well formed. `out` is zeroed. May call connections_end(). */
typedef void connections_answer(void *ctx, const struct request *r, const struct address *peer,
                                struct admin_answer *out);

/* NULL when memory is short. */
struct connections *connections_new(struct event_base *base, connections_answer *answer, void *ctx);

/* Takes over an accepted descriptor, non-blocking and close-on-exec; `listener` is only compared. */
void connections_take(struct connections *s, const void *listener, int fd, const struct address *peer);

/* Answers those that wait for this number or a lower one. */
void connections_answer_waiting(struct connections *s, uint64_t number,
                                void (*answer)(void *ctx, struct admin_answer *out), void *ctx);

/* Ends those that came by this listener: at once, or after the answer that is being given. */
void connections_end(struct connections *s, const void *listener);

/* Closes all of them. NULL is allowed. */
void connections_free(struct connections *s);

#endif
