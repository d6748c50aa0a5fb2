#ifndef CARPOOL_IO_CONNECTOR_H
#define CARPOOL_IO_CONNECTOR_H

/* From a name to an established connection: resolve, race the addresses 250 ms apart (RFC 8305), shake hands.
 * At most one comes out; the losers are closed at once. */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "io/conn.h"
#include "io/relief.h"
#include "io/tls.h"

struct connector;
struct resolver;
struct address_list; /* config/config.h */
struct parent_proxy; /* the same */

/* Why a connection could not be made; lib/proxy says what the client is answered. */
enum connect_error {
    CONNECT_OK,
    CONNECT_DNS_ERROR,
    CONNECT_DNS_TIMEOUT,
    CONNECT_REFUSED,
    CONNECT_UNROUTABLE,
    CONNECT_PROHIBITED,
    CONNECT_LOOP,
    CONNECT_TIMEOUT,
    CONNECT_TLS_PROTOCOL,
    CONNECT_TLS_CERTIFICATE,
    CONNECT_TLS_ALERT,
    CONNECT_TERMINATED,
    CONNECT_PARENT_REFUSED,
    CONNECT_NOT_HTTP2,
    CONNECT_NO_RESOURCES,
} __attribute__((packed));

/* Where and how to connect. Everything it points to must stay until the connector has ended. */
struct connect_plan {
    const char *host; /* a name or an IP address without brackets; used when `entries` is empty */
    uint16_t port;
    const struct address_list *entries; /* the upstream's `address`, or NULL */
    const struct parent_proxy *parent;  /* connect there instead; not together with `entries`. NULL: none */
    bool tunnel;                        /* through the parent, by CONNECT to host and port */
    int family;                         /* AF_UNSPEC, AF_INET, AF_INET6 */
    const struct address *local;        /* bind here; NULL or length 0: do not */
    uint64_t timeout_ms;                /* for the whole; 0: none */
    uint64_t keepalive_ms;              /* TCP keep-alive probe delay; 0: none */
    struct tls_context *tls;            /* NULL: plain */
    const char *servername;
    struct tls_sessions *sessions;
    bool offer_h2;                 /* before HTTP/1.1, by TLS */
    bool speaks_h2;                /* without TLS: it is known to */
    struct connect_memory *memory; /* the origin's: rotation and recent failures; not NULL */
    /* Asked about the very address of each attempt: CONNECT_OK, CONNECT_PROHIBITED or CONNECT_LOOP. `named`
     * is true for an address, a path or a name's address of `entries`, and for the parent's, which is the
     * operator's word (then only loops matter). What a parent is to reach is asked about where it is an
     * address. NULL: all are allowed. */
    enum connect_error (*permit)(void *ctx, const struct address *a, bool named);
    void *permit_ctx;
    /* Asked when descriptors run short. NULL: nothing can be done. */
    enum relief (*relieve)(void *ctx);
    void *relieve_ctx;
};

/* What an origin remembers between connects: whose turn it is, and who failed within the last 10 s. Zeroed at
 * first. */
#define CONNECT_MEMORY_FAILED 8
struct connect_memory {
    uint32_t rotation;
    struct {
        uint64_t address; /* address_hash() */
        uint64_t until;   /* clock_ms() */
    } failed[CONNECT_MEMORY_FAILED];
};

struct connect_result {
    enum connect_error error;
    char text[256];   /* a sentence for body and log; empty when OK */
    struct conn conn; /* OK: open, unwatched, owned by the callback */
    struct address peer;
    uint64_t took_us;
    bool tls_resumed;
    bool speaks_h2; /* the offer was taken, or it is known to */
};

/* Begins. The callback comes exactly once, never from within this call, unless cancelled; the connector is
 * gone when it is called. NULL when memory is short. */
struct connector *connector_start(struct event_base *base, struct resolver *resolver,
                                  const struct connect_plan *plan,
                                  void (*done)(void *ctx, struct connect_result *r), void *ctx);

/* Another limit for the whole, from when it began; 0: none. */
void connector_set_timeout(struct connector *c, uint64_t timeout_ms);

/* Ends it without a callback; its sockets are closed. */
void connector_cancel(struct connector *c);

#endif
