#ifndef CARPOOL_IO_RESOLVER_H
#define CARPOOL_IO_RESOLVER_H

/* Names to addresses with c-ares, without blocking: /etc/hosts, TTL, one query for many askers. One a worker.
 */

#include <event2/event.h>
#include <stdbool.h>

#include "base/address.h"

struct resolver;
struct resolver_query;

enum resolver_status {
    RESOLVER_OK,
    RESOLVER_NOT_FOUND,
    RESOLVER_TIMEOUT,
    RESOLVER_FAILED,
    RESOLVER_NO_RESOURCES
};

#define RESOLVER_MAX_ADDRESSES 16

struct resolver_answer {
    enum resolver_status status;
    const char *text; /* c-ares' word for what went wrong; static */
    int count;
    struct address addresses[RESOLVER_MAX_ADDRESSES]; /* port 0; in the resolver's order (RFC 6724), families
                                                         not yet interleaved */
};

struct resolver *resolver_new(struct event_base *base);
/* Nobody may wait any more. */
void resolver_free(struct resolver *r);

/* family: AF_UNSPEC, AF_INET or AF_INET6. IP literals are the caller's. An answer that is in the cache comes
 * from within the call and NULL is returned; otherwise the callback comes later, once, unless the query is
 * cancelled. The answer belongs to the resolver and is good during the callback. Answers are kept for their
 * TTL (at most a day); failures for a second or two. The /etc/hosts file is looked at again when it changed.
 */
struct resolver_query *resolver_ask(struct resolver *r, const char *name, int family,
                                    void (*answered)(void *ctx, const struct resolver_answer *a), void *ctx);

/* The callback will not come. The query goes on for others, and for the cache. */
void resolver_cancel(struct resolver_query *q);

/* What to call when no descriptor is left for a question: true when it has closed one. */
void resolver_set_relief(struct resolver *r, bool (*relieve)(void *ctx), void *ctx);

/* For tests: asks these servers ("127.0.0.1:5353,...") instead of those of /etc/resolv.conf, each try for
 * `timeout_ms` and `tries` times. False when the text is wrong. */
bool resolver_set_servers(struct resolver *r, const char *servers, int timeout_ms, int tries);

#endif
