#include "io/conn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/pipe.h"
#include "io/tls.h"

#define JOINED_BYTES 2048

void conn_open(struct conn *s, int fd)
{
    assert(fd >= 0);
    *s = (struct conn){.fd = fd, .may_read = true};
}

void conn_report(struct conn *s, unsigned ready)
{
    s->may_read |= (ready & CONN_READABLE) != 0;
    s->peer_fin |= (ready & CONN_PEER_FIN) != 0;
    if (s->on_ready)
        s->on_ready(s->ctx, ready);
}

/* How libevent 2.1 reports what epoll says: a reset (EPOLLERR) and an end both ways as readable and writable,
 * so that the next call on the descriptor meets the error; a FIN as EV_CLOSED with whatever can be read
 * before it. */
static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct conn *s = arg;
    unsigned bits = 0;

    (void)fd;
    if (what & EV_READ)
        bits |= CONN_READABLE;
    if (what & EV_WRITE)
        bits |= CONN_WRITABLE;
    if (what & EV_CLOSED)
        bits |= CONN_READABLE | CONN_PEER_FIN;
    if (s->tls && tls_is_crossed(s))
        bits |= CONN_READABLE | CONN_WRITABLE;
    if (event_get_priority(&s->event) != s->priority)
        event_priority_set(&s->event, s->priority);
    clock_update();
    conn_report(s, bits);
}

bool conn_watch(struct conn *s, struct event_base *base, int priority, void (*on_ready)(void *, unsigned),
                void *ctx)
{
    assert(s->fd >= 0 && !s->watched);
    conn_set_owner(s, on_ready, ctx);
    s->priority = (uint8_t)priority;
    if (event_assign(&s->event, base, s->fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event,
                     s) != 0)
        return false;
    event_priority_set(&s->event, priority);
    s->watched = event_add(&s->event, NULL) == 0;
    if (s->watched)
        s->may_read = conn_buffered(s) > 0; /* of which the loop knows nothing */
    return s->watched;
}

void conn_unwatch(struct conn *s)
{
    if (s->watched)
        event_del(&s->event);
    s->watched = false;
    s->may_read = true;
}

void conn_set_priority(struct conn *s, int priority)
{
    assert(s->watched);
    s->priority = (uint8_t)priority;
    /* Refused while the event waits in its old queue; on_event() does it then. */
    event_priority_set(&s->event, priority);
}

/* errno into what conn calls return. */
static ssize_t failed(struct conn *s)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return CONN_AGAIN;
    s->error = errno;
    return CONN_ERROR;
}

static ssize_t given_up(struct conn *s)
{
    s->error = s->given_up;
    return CONN_ERROR;
}

static ssize_t write_failed(struct conn *s)
{
    if (s->error != EPIPE)
        s->write_error = s->error;
    return CONN_ERROR;
}

/* What the kernel calls the end. */
static ssize_t end_of(struct conn *s)
{
    if (s->write_error == 0)
        return CONN_EOF;
    s->error = s->write_error;
    return CONN_ERROR;
}

/* What a read says of what is left. */
static ssize_t note_read(struct conn *s, ssize_t got, bool emptied)
{
    if (got == CONN_EOF)
        s->peer_fin = true;
    /* Also where it was false: what is read may have come a moment ago, and be reported later. */
    s->may_read = got > 0 && (!emptied || s->peer_fin);
    s->heard |= got > 0;
    return got;
}

ssize_t conn_read(struct conn *s, void *to, size_t n)
{
    ssize_t got;

    assert(s->fd >= 0 && n > 0);
    if (s->given_up)
        return given_up(s);
    if (s->tls) {
        got = tls_read(s, to, n);
        if (got == CONN_EOF && s->eof_without_notify)
            got = end_of(s);
        return note_read(s, got, tls_is_drained(s));
    }
    do
        got = recv(s->fd, to, n, 0);
    while (got < 0 && errno == EINTR);
    return note_read(s, got > 0 ? got : got == 0 ? end_of(s) : failed(s), (size_t)got < n);
}

/* Puts small pieces together: copying them costs less than a call that takes a list. 0: they are too
 * large. */
static size_t join(char *to, size_t room, const struct iovec *v, int count)
{
    size_t n = 0;

    for (int i = 0; i < count; i++) {
        if (v[i].iov_len > room - n)
            return 0;
        if (v[i].iov_len > 0)
            memcpy(to + n, v[i].iov_base, v[i].iov_len);
        n += v[i].iov_len;
    }
    return n;
}

ssize_t conn_write(struct conn *s, const struct iovec *v, int count)
{
    const int flags = s->last ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
    char joined[JOINED_BYTES];
    struct iovec one = {.iov_base = joined};
    ssize_t put;

    assert(s->fd >= 0 && count > 0);
    if (s->given_up)
        return given_up(s);
    if (s->tls) {
        put = tls_write(s, v, count);
        return put == CONN_ERROR ? write_failed(s) : put;
    }
    if (count > 1 && (one.iov_len = join(joined, sizeof joined, v, count)) > 0) {
        v = &one;
        count = 1;
    }
    do {
        if (count == 1) {
            put = send(s->fd, v->iov_base, v->iov_len, flags);
        } else {
            struct msghdr message = {.msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)count};
            put = sendmsg(s->fd, &message, flags);
        }
    } while (put < 0 && errno == EINTR);
    return put >= 0 ? put : failed(s) == CONN_AGAIN ? CONN_AGAIN : write_failed(s);
}

ssize_t conn_splice_in(struct conn *s, struct pipe *p, size_t n)
{
    ssize_t got;

    /* In a full pipe, AGAIN would say nothing of the connection. */
    assert(s->fd >= 0 && n > 0 && p->held == 0);
    if (s->given_up)
        return given_up(s);
    do
        got = splice(s->fd, NULL, p->in, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return note_read(s, got < 0 ? failed(s) : end_of(s), false);
    p->held += (size_t)got;
    return note_read(s, got, false);
}

ssize_t conn_splice_out(struct conn *s, struct pipe *p)
{
    ssize_t put;

    assert(s->fd >= 0 && p->held > 0);
    if (s->given_up)
        return given_up(s);
    do
        put = splice(p->out, NULL, s->fd, NULL, p->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (put < 0 && errno == EINTR);
    if (put < 0)
        return failed(s) == CONN_AGAIN ? CONN_AGAIN : write_failed(s);
    p->held -= (size_t)put;
    return put;
}

bool conn_say_end(struct conn *s)
{
    assert(s->fd >= 0);
    return !s->tls || tls_shutdown(s);
}

bool conn_shutdown_write(struct conn *s)
{
    if (!conn_say_end(s))
        return false;
    shutdown(s->fd, SHUT_WR);
    return true;
}

static bool is_empty(struct conn *s)
{
    char byte;
    ssize_t got;

    if (s->tls)
        return tls_is_quiet(s);
    do
        got = recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return got < 0 && failed(s) == CONN_AGAIN;
}

bool conn_is_quiet(struct conn *s)
{
    assert(s->fd >= 0);
    if (s->given_up || !is_empty(s))
        return false;
    s->may_read = false;
    return true;
}

bool conn_has_failed(const struct conn *s)
{
    int error = 0;
    socklen_t n = sizeof error;

    assert(s->fd >= 0);
    return s->given_up || getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0;
}

bool conn_has_hung_up(const struct conn *s)
{
    struct pollfd p = {.fd = s->fd};

    assert(s->fd >= 0);
    return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

size_t conn_buffered(const struct conn *s)
{
    return s->tls ? tls_buffered(s) : 0;
}

bool conn_has_part(const struct conn *s)
{
    return s->tls && tls_has_part(s);
}

bool conn_awaits_ticket(const struct conn *s)
{
    return s->tls && tls_awaits_ticket(s);
}

size_t conn_unsent(const struct conn *s)
{
    int n;

    assert(s->fd >= 0);
    return ioctl(s->fd, SIOCOUTQ, &n) == 0 && n > 0 ? (size_t)n : 0;
}

void conn_limit_unsent(struct conn *s, int bytes)
{
    assert(s->fd >= 0);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

void conn_give_up(struct conn *s, int error)
{
    s->given_up = error;
    conn_report(s, CONN_READABLE | CONN_WRITABLE);
}

void conn_close(struct conn *s, bool reset)
{
    if (s->fd < 0)
        return;
    reset |= s->given_up != 0; /* or the kernel would go on sending for minutes */
    conn_unwatch(s);
    if (reset)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    else if ((s->tls || s->last) && !conn_shutdown_write(s))
        shutdown(s->fd, SHUT_WR); /* close() would drop what waits if bytes of the peer were never read */
    tls_free(s->tls);
    s->tls = NULL;
    close(s->fd);
    s->fd = -1;
}
