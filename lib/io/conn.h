#ifndef CARPOOL_IO_CONN_H
#define CARPOOL_IO_CONN_H

/* Bytes in and out of one descriptor, plain or TLS below the same five calls. Nothing here blocks.
 * A connection says when it may be tried again: it is registered once, edge-triggered, for both directions,
 * and its owner keeps reading until CONN_AGAIN. */

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct pipe; /* io/pipe.h */
struct tls;  /* io/tls.h */

/* What a call returns instead of a count. */
enum {
    CONN_EOF = 0,
    CONN_AGAIN = -1, /* try when the connection is ready */
    CONN_ERROR = -2, /* see `error` */
};

/* What became possible; bits. */
enum conn_ready {
    CONN_READABLE = 1,
    CONN_WRITABLE = 2,
    CONN_PEER_FIN = 4, /* an end of file follows what can be read */
    /* Not what became possible: nothing that was written lately has been acknowledged (pool/path.h) */
    CONN_UNACKED = 8,
};

struct conn {
    int fd;          /* -1: closed */
    int error;       /* errno of the last CONN_ERROR; EPROTO for a TLS failure */
    struct tls *tls; /* NULL: plain. Owned. */
    struct event event;
    uint8_t priority;
    bool watched;
    bool may_read; /* a read is worth its call: the loop reported something, and no read emptied it since */
    bool peer_fin; /* an end of file follows what can be read, or was read */
    bool heard;    /* bytes were read since this was cleared */
    /* The owner's: nothing but the end follows what is written now, and at once: so that one packet carries
     * both */
    bool last;
    bool eof_without_notify; /* TLS ended without close_notify: a truncation is possible (RFC 8446 6.1) */
    int given_up;            /* conn_give_up(): what every call says; 0: it goes on */
    /* How a write failed. The kernel reports an error once: what was received can be read still, but the end
     * of file after it is none. 0: no write did, or only since the peer takes no more (EPIPE): then its end
     * came before, and is one */
    int write_error;
    void (*on_ready)(void *ctx, unsigned ready);
    void *ctx;
};

/* Takes the descriptor over, which is non-blocking and close-on-exec already. Not watched yet. */
void conn_open(struct conn *s, int fd);

/* Registers it with the loop: edge-triggered, both directions and the peer's FIN in one registration, for the
 * connection's life. What is there already is reported in the next turn. False when the loop refuses (no
 * memory, no descriptor). */
bool conn_watch(struct conn *s, struct event_base *base, int priority, void (*on_ready)(void *, unsigned),
                void *ctx);

/* Takes it off its loop, so that another one can have it. What the kernel would have reported is reported by
 * the next registration. */
void conn_unwatch(struct conn *s);

/* Who is notified from now on, NULL: no one, and may_read remembers; no system call. Not from another event's
 * callback of the same connection while it is queued. */
static inline void conn_set_owner(struct conn *s, void (*on_ready)(void *, unsigned), void *ctx)
{
    s->on_ready = on_ready;
    s->ctx = ctx;
}

/* What the loop calls: notes what became possible, and notifies the owner. */
void conn_report(struct conn *s, unsigned ready);

/* 0 first. Changes which events of a turn come first, without a system call. */
void conn_set_priority(struct conn *s, int priority);

/* Up to n bytes; > 0, CONN_EOF, CONN_AGAIN or CONN_ERROR: also for an error that a write has met before.
 * Clears may_read when it has emptied the descriptor: by CONN_AGAIN, or by a short count (of TLS: when
 * OpenSSL's own read was short and it keeps nothing), but not where an end of file follows. (A reset that
 * came with the bytes may follow them all the same: libevent reports it with them, and not again.) */
ssize_t conn_read(struct conn *s, void *to, size_t n);

/* Writes from the front of the list; a short count (0 < n) means that the next call would say CONN_AGAIN, or
 * CONN_ERROR: in either case the connection is reported when that call is worth it.
 * After CONN_AGAIN the same bytes must come first in the next call, and no fewer: TLS may have begun a
 * record with them. */
ssize_t conn_write(struct conn *s, const struct iovec *v, int count);

/* Whether its bytes may be handed on within the kernel: not where they must be encrypted. */
static inline bool conn_can_splice(const struct conn *s)
{
    return !s->tls;
}

/* Up to n bytes into an empty pipe, as conn_read(). CONN_ERROR with EINVAL: this kind of descriptor cannot do
 * it, and nothing was taken. */
ssize_t conn_splice_in(struct conn *s, struct pipe *p, size_t n);

/* From the pipe, as conn_write(). */
ssize_t conn_splice_out(struct conn *s, struct pipe *p);

/* Where TLS is spoken: says that nothing follows (close_notify), without which the peer takes an end for a
 * cut. False: there is no room for it; to be called again when the connection is writable. */
bool conn_say_end(struct conn *s);

/* Sends FIN, and close_notify before it. False: as above, and there is no FIN yet. */
bool conn_shutdown_write(struct conn *s);

/* A non-blocking look before a request that could not be repeated: true when nothing is there to be read,
 * neither bytes of the application nor an end of file nor an error, which is in `error` then (a read says end
 * of file after that). TLS tickets and key updates are taken in. Clears may_read when it says true. */
bool conn_is_quiet(struct conn *s);

/* Nothing is left to be read, and the loop will report what comes. Makes no system call: conn_is_quiet()
 * looks. (A read ends where TCP's urgent data or a Unix socket's descriptors came between bytes: what follows
 * them is left until more comes, or until the next read or look. Neither reaches us: the urgent byte is not
 * part of the stream, and the kernel closes descriptors that a read does not ask for.) */
static inline bool conn_is_drained(const struct conn *s)
{
    return s->watched && !s->may_read && !s->peer_fin;
}

/* Nothing is left to be read but part of a record of TLS, most likely of data, whose rest is still to come.
 * False for plain ones. */
bool conn_has_part(const struct conn *s);

/* That part may be of a ticket: a server of TLS 1.3 sends some before its first data, and large ones in
 * parts. */
bool conn_awaits_ticket(const struct conn *s);

/* An error, such as a reset, follows what can still be read: the peer is gone. */
bool conn_has_failed(const struct conn *s);

/* Both directions are over. A unix socket knows so when its peer closes; over TCP that looks like a FIN. */
bool conn_has_hung_up(const struct conn *s);

/* What TLS has taken off the descriptor and that was not read yet, bytes or an end: no event will come for
 * it. 0 for plain ones. */
size_t conn_buffered(const struct conn *s);

/* Bytes that were written and that the peer has not acknowledged yet, its FIN included; no event reports it.
 * 0 when the kernel does not say. */
size_t conn_unsent(const struct conn *s);

/* There is room for a write only while the kernel holds less than so many bytes that it has not sent. A kind of
 * socket that cannot do it stays as it is. */
void conn_limit_unsent(struct conn *s, int bytes);

/* Has on_ready() called once more for both directions, after what else is ready: for an owner that stopped
 * early. The connection is watched. The loop's turn ends here, since it would go on for as long as it finds
 * an event that is active; what is left of it comes first in the next one. */
static inline void conn_call_again(struct conn *s)
{
    event_active(&s->event, EV_READ | EV_WRITE, 0);
    event_base_loopbreak(event_get_base(&s->event));
}

/* Its peer is gone without a word: from now on every call fails with this errno. The owner is notified. */
void conn_give_up(struct conn *s, int error);

/* Closes; with `reset` by RST, so that the peer cannot take what it has for a whole message. Idempotent. A
 * close_notify that finds no room is not sent: see conn_say_end(). */
void conn_close(struct conn *s, bool reset);

static inline bool conn_is_open(const struct conn *s)
{
    return s->fd >= 0;
}

#endif
