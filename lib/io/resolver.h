#ifndef CARPOOL_IO_RESOLVER_H
#define CARPOOL_IO_RESOLVER_H

/* Names to addresses without blocking: /etc/hosts, then the name servers by c-ares. Answers are kept for
 * their TTL, and many who ask for the same cause one question. One a worker. */

#include <event2/event.h>
#include <stdbool.h>

#include "base/address.h"

struct resolver;
struct resolver_query;

/* Later ones say more of what is wrong where several were asked. */
enum resolver_status {
    RESOLVER_OK,
    RESOLVER_NO_ADDRESS, /* the name exists, but has none of this family */
    RESOLVER_NOT_FOUND,
    RESOLVER_FAILED,
    RESOLVER_TIMEOUT,
    RESOLVER_NO_RESOURCES
};

#define RESOLVER_MAX_ADDRESSES 16

struct resolver_answer {
    enum resolver_status status;
    const char *text; /* what went wrong; static */
    bool yields;      /* IPv6: the name's IPv4 addresses, if there are any, go first (RFC 6724) */
    int count;
    /* Of one family, port 0, the best one first (RFC 6724) */
    struct address addresses[RESOLVER_MAX_ADDRESSES];
};

struct resolver *resolver_new(struct event_base *base);
/* No question may be waiting any more. */
void resolver_free(struct resolver *r);

/* family: AF_INET or AF_INET6; a caller that wants both asks twice. IP literals are the caller's. What is
 * known is answered from within the call, and NULL is returned; otherwise the callback comes later, once,
 * unless the query is cancelled. The answer is good during the callback. Answers are kept for their TTL (at
 * most a day); failures for a second, or for as long as the other family has addresses. The /etc/hosts file
 * is looked at again when it changed. */
struct resolver_query *resolver_ask(struct resolver *r, const char *name, int family,
                                    void (*answered)(void *ctx, const struct resolver_answer *a), void *ctx);

/* The callback will not come. The query goes on for others, and for the cache. */
void resolver_cancel(struct resolver_query *q);

/* For how long after its TTL an answer with addresses is used on while the name servers fail (SERVFAIL,
 * REFUSED, no word for 2 s), not when they say that there is none (RFC 8767). At first 0. */
void resolver_set_stale_if_error(struct resolver *r, uint64_t ms);

/* What to call when no descriptor is left for a question: true when it has closed one. */
void resolver_set_relief(struct resolver *r, bool (*relieve)(void *ctx), void *ctx);

/* For tests: asks these servers ("127.0.0.1:5353,...") instead of those of /etc/resolv.conf, each try for
 * `timeout_ms` and `tries` times. False when the text is wrong. */
bool resolver_set_servers(struct resolver *r, const char *servers, int timeout_ms, int tries);

#endif
