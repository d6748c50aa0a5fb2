#ifndef CARPOOL_PROXY_EXCHANGE_H
#define CARPOOL_PROXY_EXCHANGE_H

/* One request and its final response.
 *
 *   (head read) --> WAITING --socket--> RELAY --response complete--> (done)
 *       |             ^  |               | | |
 *       |             |  | limit, error  | | +-- 101, CONNECT --> (a tunnel: tunnel.h)
 *       |             +--|-- repeat -----+ |
 *       v                v                 +-- client gone, little left --> DRAIN --> (done)
 *     REPLY <------------+ <--- failure before the response began
 *
 * Request and response are two halves that move on their own: the request from the client's buffer to the socket (`up`), the response from the
 * socket to the client (`down`, behind its head). */

#include <stdbool.h>
#include <stdint.h>

#include "proxy/client.h"
#include "proxy/own_urls.h"
#include "proxy/relay.h"
#include "proxy/reply.h"

enum exchange_state {
    EXCHANGE_WAITING,
    EXCHANGE_RELAY,
    EXCHANGE_REPLY,
    EXCHANGE_DRAIN,
    EXCHANGE_DEAD,
};

/* What the upload waits for. */
enum upload_state {
    UPLOAD_STARVED, /* bytes of the client */
    UPLOAD_BLOCKED, /* the origin */
    UPLOAD_DONE,    /* every byte was handed to the kernel */
    UPLOAD_STOPPED, /* no more will be sent: the origin does not listen, or the request was refused */
};

struct route; /* route.h */
struct uri;

struct exchange {
    TAILQ_ENTRY(exchange) link;
    struct proxy *proxy;
    struct client *client; /* NULL: gone (DRAIN) */
    struct origin *origin; /* NULL: none was chosen */
    struct socket *socket; /* RELAY, DRAIN */
    struct waiter waiter;
    enum exchange_state state;

    /* The request. */
    bool established; /* is_connect: its 200 was sent before it had a socket */
    bool idempotent, asked_head, is_connect, asked_upgrade, te_trailers, from_http_1_0, client_persists,
        accepts_gzip;
    char protocols[64];     /* of Upgrade, when asked_upgrade */
    enum own_urls own_urls; /* rewriteScheme */
    bool private_socket;    /* connection-bound authentication was used or offered */
    struct buffer *head;    /* as it leaves, but for its Connection field */
    struct framing request_framing;
    struct relay up;
    enum upload_state upload;
    uint32_t repeats_left, retries;
    uint8_t head_pieces; /* of up.out, in the latest attempt */

    /* The response. */
    struct buffer *in; /* read from the socket, not used yet */
    size_t scanned;    /* response_head.h */
    enum head_verdict
        head_fault; /* what insecureHTTPParser is to repair in the head being read; HEAD_OK: nothing */
    struct buffer *repaired; /* that head, strict */
    bool response_begun;     /* a byte came */
    bool in_body;            /* the final head was passed on */
    bool download_blocked;   /* the client must take some first */
    enum client_close fate;  /* what the response's head said of the client's connection */
    uint8_t interim;         /* how many 1xx */
    bool interim_close;      /* one of them said Connection: close */
    struct buffer *out;      /* heads and replies on their way to the client */
    struct relay down;
    struct call_end end;
    unsigned status; /* of the final response; 0: none yet */
    enum fault fault;

    /* Time. */
    struct timer timer;
    uint64_t began_us, granted_us, first_byte_us, connect_us;
    uint64_t waited_us;                       /* for a socket: connecting or pending */
    uint64_t waiting_since_ms;                /* when it asked for the socket that it waits for */
    uint64_t moved_ms;                        /* when a byte last moved on the socket */
    uint64_t blocked_since_ms, body_grace_ms; /* time in which Carpool itself did not read from the client */
    uint64_t drained_since_ms;                /* DRAIN */
    uint64_t took_ms;                         /* when the client last took a byte, or was given the first */
    uint64_t content_out;                     /* of an own answer, or when the client left */
    bool reused;                              /* the last attempt's socket had carried an exchange */
    bool may_be_stale;                        /* ... or had been free at least */
};

/* A whole head was read into proxy->request_head; `length` bytes of c->in are it. Takes over from there. */
void exchange_begin(struct client *c, size_t length);

/* One for a CONNECT whose client was told 200 (inside.h): to be failed, or to open its tunnel. NULL: the client is closed. */
struct exchange *exchange_in_connect(struct client *c);
void exchange_open_tunnel(struct exchange *e, const struct route *route);

/* A head that could not be read: answers and closes. */
void exchange_refuse(struct client *c, enum fault fault, const char *text);

/* The client's connection is ready, c->exchange being this one. */
void exchange_client_ready(struct exchange *e, unsigned ready);

/* The client sent FIN behind its request. */
void exchange_client_fin(struct exchange *e);

/* The client is gone: reset, or closed in the middle of its request. The client is closed by this. */
void exchange_client_gone(struct exchange *e, enum client_close reason);

/* When the client will have been too slow with its body (server.requestTimeout) or in taking bytes
 * (server.timeout), as clock_ms(); 0: nothing is asked of it now. */
uint64_t exchange_client_due(const struct exchange *e, enum client_close *reason);

/* A reload changed the time limits: those that run now are counted from when that began. */
void exchange_limits_changed(struct exchange *e);

/* exchange_client_due() has come. */
void exchange_client_too_slow(struct exchange *e, enum client_close reason);

/* At a stop: cuts it. */
void exchange_cut(struct exchange *e, enum client_close reason);

/* --- Within lib/proxy: the halves of an exchange, in their own files. --- */

/* exchange.c */

/* A fresh one of this client's; NULL: memory is short. */
struct exchange *exchange_new(struct client *c);

/* A limit or a pause holds it. */
bool exchange_is_pending(const struct exchange *e);

/* ... and its client has half-closed: half a connection does not wait for a limit (server.halfClose). */
bool exchange_has_left_the_queue(const struct exchange *e);

/* What becomes of the client's connection, as it looks now: a response of known end or not, after this fault. */
enum client_close exchange_fate(const struct exchange *e, enum fault fault, bool delimited);
void exchange_fail(struct exchange *e, enum fault fault, enum retire_reason reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void exchange_arm(struct exchange *e);
/* Has the loop tell of the client, which is waited for. Where the loop does not take it, the exchange has no client when
 * this returns, or is over. */
void exchange_await_client(struct exchange *e);
void exchange_end_all(
    struct exchange *e); /* gives everything back and records it; the client is told by the caller */
void exchange_reply(struct exchange *e, const struct reply *r);

/* Its own name as Via is to have it; empty: no Via is added. */
static inline struct slice exchange_via(const struct exchange *e)
{
    return e->origin->agent->policy->via ? e->proxy->instance : (struct slice){"", 0};
}

/* How long what is left of a response is waited for when its client has gone. */
#define DRAIN_MS 1000

/* deadlines.c */
void exchange_on_timer(void *ctx);

/* record.c */
void exchange_record(const struct exchange *e);
/* For a request that is refused: keeps what its record shows of it. */
void exchange_keep_line(struct exchange *e, const struct head *h);
/* The same for a CONNECT to there whose head is gone. */
void exchange_keep_connect(struct exchange *e, const struct uri *to);
/* What is known of it so far, less the client's address; slices point into the exchange and to `target`. */
void exchange_describe(const struct exchange *e, struct exchange_record *r, char *target, size_t size);

/* attempt.c: from the queue to a socket and, when it was stale, to another one */
void attempt_acquire(struct exchange *e, enum acquire_how how);
void attempt_settled(struct waiter *p);
void attempt_blocked(struct waiter *p);             /* a limit holds it now */
void attempt_failed(struct exchange *e, int error); /* 0: an end of file; otherwise an errno */
void attempt_finished(struct exchange *e);          /* the response is complete */

/* upload.c */
void upload_start(struct exchange *e);
void upload_pump(struct exchange *e);

/* download.c */
void download_pump(struct exchange *e);

#endif
