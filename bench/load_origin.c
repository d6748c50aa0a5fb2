/* The origin: answers every request with the same bytes, at once or after a fixed time. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

struct origin_socket {
    struct watch watch;
    struct message request;
    size_t answered; /* bytes of the answer that were sent */
    bool answering;
    uint64_t due_ns;
    struct origin_socket *next; /* in the queue of those that wait for their time */
    bool queued, closed;
};

static void finish(struct load *l, struct origin_socket *s)
{
    if (s->watch.fd >= 0) {
        close(s->watch.fd);
        s->watch.fd = -1;
        l->origin.open_now--;
    }
    s->closed = true;
    if (!s->queued)
        free(s);
}

/* False: the socket is gone. */
static bool answer(struct load *l, struct origin_socket *s)
{
    struct origin *o = &l->origin;

    while (s->answered < o->answer_size) {
        ssize_t n = send(s->watch.fd, o->answer + s->answered, o->answer_size - s->answered, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0) {
            finish(l, s);
            return false;
        }
        s->answered += (size_t)n;
    }
    s->answering = false;
    if (s->request.close) {
        finish(l, s);
        return false;
    }
    message_begin(&s->request, &load_request);
    return true;
}

static void put_in_queue(struct load *l, struct origin_socket *s)
{
    struct origin *o = &l->origin;

    s->due_ns = l->loop.now_ns + o->delay_ns;
    s->next = NULL;
    s->queued = true;
    if (o->due_last)
        o->due_last->next = s;
    else
        o->due_first = s;
    o->due_last = s;
}

int64_t origin_tick(struct load *l)
{
    struct origin *o = &l->origin;

    while (o->due_first) {
        struct origin_socket *s = o->due_first;
        if (s->due_ns > l->loop.now_ns)
            return (int64_t)(s->due_ns - l->loop.now_ns);
        o->due_first = s->next;
        if (!o->due_first)
            o->due_last = NULL;
        s->queued = false;
        if (s->closed) {
            free(s);
            continue;
        }
        if (l->measuring) {
            o->worked_ns += loop_clock() - s->due_ns + o->delay_ns;
            o->works++;
        }
        answer(l, s);
    }
    return -1;
}

static bool read_request(struct load *l, struct origin_socket *s, size_t n)
{
    if (s->answering || message_feed(&s->request, l->buffer, n) != (ssize_t)n) {
        load_error(l, "the origin got a request that it cannot read");
        finish(l, s);
        return false;
    }
    if (s->request.state != MESSAGE_DONE)
        return true;
    s->answering = true;
    s->answered = 0;
    if (l->origin.delay_ns) {
        put_in_queue(l, s);
        return true;
    }
    return answer(l, s);
}

static void socket_ready(struct load *l, struct watch *w, uint32_t events)
{
    struct origin_socket *s = (struct origin_socket *)w;

    if ((events & EPOLLOUT) && s->answering && !s->queued && !answer(l, s))
        return;
    while (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t n = recv(w->fd, l->buffer, sizeof l->buffer, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            finish(l, s);
            return;
        }
        if (!read_request(l, s, (size_t)n) || (size_t)n < sizeof l->buffer)
            return;
    }
}

static void listener_ready(struct load *l, struct watch *w, uint32_t events)
{
    struct origin *o = &l->origin;
    int fd;

    (void)events;
    while ((fd = loop_accept(w)) >= 0) {
        struct origin_socket *s = calloc(1, sizeof *s);
        if (!s)
            abort();
        s->watch = (struct watch){fd, socket_ready};
        message_begin(&s->request, &load_request);
        loop_watch(&l->loop, &s->watch);
        o->opened++;
        if (++o->open_now > o->open_most)
            o->open_most = o->open_now;
    }
}

bool origin_compose(struct origin *o, enum answer_kind kind, size_t body_size)
{
    const size_t chunk = 4096;
    char *p = malloc(body_size + body_size / chunk * 16 + 1024);
    size_t at = 0;

    if (!p)
        return false;
    o->answer = p;
    p += sprintf(p, "HTTP/1.1 200 OK\r\nServer: load\r\nDate: Sat, 21 Nov 2026 05:00:00 GMT\r\n"
                    "Content-Type: application/octet-stream\r\nCache-Control: no-store\r\n");
    p += kind == ANSWER_CHUNKED ? sprintf(p, "Transfer-Encoding: chunked\r\n\r\n")
                                : sprintf(p, "Content-Length: %zu\r\n\r\n", body_size);
    while (at < body_size) {
        size_t step = body_size - at < chunk ? body_size - at : chunk;
        if (kind == ANSWER_CHUNKED)
            p += sprintf(p, "%zx\r\n", step);
        memcpy(p, pattern_at(at), step);
        p += step;
        at += step;
        if (kind == ANSWER_CHUNKED)
            p += sprintf(p, "\r\n");
    }
    if (kind == ANSWER_CHUNKED)
        p += sprintf(p, "0\r\n\r\n");
    o->answer_size = (size_t)(p - o->answer);
    return true;
}

void origin_start(struct load *l)
{
    struct watch *listeners = calloc(l->origin.listeners, sizeof *listeners);

    if (!listeners)
        abort();
    for (unsigned i = 0; i < l->origin.listeners; i++) {
        listeners[i].ready = listener_ready;
        loop_listen(&l->loop, &listeners[i], l->origin.first_port + i);
    }
}
