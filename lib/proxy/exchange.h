#ifndef CARPOOL_PROXY_EXCHANGE_H
#define CARPOOL_PROXY_EXCHANGE_H

/* One request and its final response.
 *
 *   (head read) --> ASKING <--settled, repeat--> WAITING
 *       |             |  |                          |
 *       |             |  +-- limit, error --+ <-----+
 *       |             v                     |
 *       |           RELAY -- failure -------+--> REPLY --> (done)
 *       +----------- | | ------------------------> ^
 *                    | +-- response complete --> (done)
 *                    +-- 101, CONNECT --> (a tunnel: tunnel.h)
 *
 * Its two halves, upload.h and download.h, move on their own; exchange_run() moves it on until it waits, and
 * alone acts on what they say. */

#include <stdbool.h>
#include <stdint.h>

#include "proxy/client.h"
#include "proxy/own_urls.h"
#include "proxy/reply.h"
#include "proxy/transfer.h"
#include "wire/wire.h"

enum exchange_state {
    EXCHANGE_ASKING, /* the pool is to be asked for a place */
    EXCHANGE_WAITING,
    EXCHANGE_RELAY, /* its call is open */
    EXCHANGE_REPLY,
    EXCHANGE_DEAD,
} __attribute__((packed));

/* What the request said, beside its framing. */
struct asked {
    bool idempotent : 1, head_only : 1, connect : 1, upgrade : 1, te_trailers : 1, from_http_1_0 : 1;
    bool persists : 1, accepts_gzip : 1;
    bool established : 1;    /* connect: its 200 was sent before it had a socket */
    bool private_socket : 1; /* connection-bound authentication was used or offered */
    enum own_urls own_urls;  /* rewriteScheme */
};

struct outcome {
    uint16_t status; /* of the final response; 0: none yet */
    enum fault fault;
    enum client_close fate; /* what the response's head said of the client's connection */
};

struct route; /* route.h */
struct uri;

struct exchange {
    struct exchange *next; /* among the dead ones */
    struct client *client; /* of which it is the only one */
    struct waiter waiter;  /* whose origin is NULL where none was chosen */
    /* NULL before its first attempt or own answer: most that waits has none */
    struct transfer *transfer;
    struct buffer *head; /* as it leaves, but for its Connection field; of its very size once it has waited */
    uint64_t began_us;   /* as clock_us() */
    struct framing framing; /* of the request */
    struct asked asked;
    enum exchange_state state;
    struct outcome outcome;
};

/* Thousands may wait: what only attempts need is in the transfer, and enums are packed. Each costs its head
 * besides. */
_Static_assert(sizeof(struct exchange) <= 136, "a request that waits stays small");

/* --- For the client's side ------------------------------------------------------------------------------- */

/* A whole head was read into proxy->request_head; `length` bytes of c->in are it. Takes over from there, and
 * may be over when this returns. */
void exchange_begin(struct client *c, size_t length);

/* For a CONNECT whose client was told 200 (inside.h): where its tunnel leads and whether it may have one, as
 * things are now. Else why not, with a sentence in `text`. */
enum fault exchange_admit_tunnel(struct client *c, struct route *route, char *text, size_t text_size);

/* An exchange for it: to be failed, or to open its tunnel. NULL: the client is closed. */
struct exchange *exchange_in_connect(struct client *c);
void exchange_open_tunnel(struct exchange *e, const struct route *route);

/* A head that could not be read: answers and closes. */
#define REFUSED_STOPPING "Carpool is stopping: connect again"
void exchange_refuse(struct client *c, enum fault fault, const char *text);

/* The client's connection is ready, c->exchange being this one. */
void exchange_client_ready(struct exchange *e, unsigned ready);

/* The client sent FIN after its request. */
void exchange_client_fin(struct exchange *e);

/* The client is gone: reset, or closed in the middle of its request. The client is closed by this. */
void exchange_client_gone(struct exchange *e, enum client_close reason);

/* Sets its client's deadline to the earliest of its limits, each counted from when that began. */
void exchange_arm(struct exchange *e);

/* That deadline has come. */
void exchange_on_deadline(struct exchange *e);

/* At the end of a stop: its client is told, if it still waits. */
void exchange_turn_away(struct exchange *e);

/* At the end of a stop, and wherever no answer is possible any more. */
void exchange_cut(struct exchange *e, enum client_close reason);

/* --- Within lib/proxy -------------------------------------------------------------------------------------
 *
 * request.c begins one, attempt.c finds its socket, deadlines.c watches its time, record.c counts and logs it,
 * exchange.c does the rest. */

/* The halves that are worth a try; bits. */
enum { EXCHANGE_UPLOAD = 1, EXCHANGE_DOWNLOAD = 2 };

/* A fresh one of this client's; NULL: memory is short, and the client is closed. */
struct exchange *exchange_new(struct client *c);

/* Moves it on until it waits or is over. Nothing of it may be on the stack. */
void exchange_run(struct exchange *e, unsigned halves);

/* A limit or a pause holds it. */
bool exchange_is_pending(const struct exchange *e);

/* ... and its client has half-closed: half a connection does not wait for a limit (server.halfClose). */
bool exchange_has_left_the_queue(const struct exchange *e);

/* server.keepAliveTimeout as it is advertised; 0: not. */
unsigned exchange_keep_alive_seconds(const struct exchange *e);

/* What becomes of the client's connection, as it looks now: a response of known end or not, after this
 * fault. */
enum client_close exchange_fate(const struct exchange *e, enum fault fault, bool delimited);

/* Gives up what it has of the upstream's side and queues an answer, or cuts the client where none has a
 * place. The caller runs it on. */
void exchange_fail(struct exchange *e, enum fault fault, enum retire_reason reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* For a pump: keeps the reason; PUMP_FAILED. */
enum pump pump_fail(struct exchange *e, enum fault fault, enum retire_reason reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Queues an own answer; the caller runs it on. */
void exchange_reply(struct exchange *e, const struct reply *r);

/* Gives back what is left; a tunnel has taken over the rest, and its record. It has no call and no socket any
 * more. */
void exchange_end_unrecorded(struct exchange *e);

/* Its agent's; its origin was chosen. */
static inline const struct agent_policy *exchange_policy(const struct exchange *e)
{
    return e->waiter.origin->agent->policy;
}

/* Its own name as Via is to have it; empty: no Via is added. */
static inline struct slice exchange_via(const struct exchange *e)
{
    return exchange_policy(e)->via ? e->client->proxy->instance : (struct slice){"", 0};
}

/* Its client must take some of the response first. */
static inline bool exchange_waits_for_client(const struct exchange *e)
{
    return e->transfer && download_is_blocked(&e->transfer->download);
}

/* The socket on which it has a place; NULL: none. */
static inline struct socket *exchange_socket(const struct exchange *e)
{
    return e->transfer ? e->transfer->socket : NULL;
}

/* It has a place on one that speaks HTTP/2. */
static inline bool exchange_is_http2(const struct exchange *e)
{
    const struct socket *s = exchange_socket(e);
    return s && s->protocol == PROTOCOL_HTTP2;
}

/* record.c */
void exchange_record(const struct exchange *e);
/* For a request that is refused: keeps what its record shows of it. */
void exchange_keep_line(struct exchange *e, const struct head *h);
/* The same for a CONNECT to there whose head is gone. */
void exchange_keep_connect(struct exchange *e, const struct uri *to);
/* The target as logs show it, in `room` if need be, and cut where that ends; "-" when it could not be
 * read. */
struct slice exchange_target(const struct exchange *e, char *room, size_t size);
/* What is known of it so far, less the client's address; slices point into the exchange and to `target`. */
void exchange_describe(const struct exchange *e, struct exchange_record *r, char *target, size_t size);

#endif
