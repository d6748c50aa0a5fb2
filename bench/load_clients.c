/* The clients: each sends a request, reads the answer, compares it and goes on, on the same connection or a
 * new one. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

struct client {
    struct watch watch;
    struct ssl_st *tls; /* NULL: plain, or still before the answer to its CONNECT */
    struct ssl_session_st *session;
    enum { CONNECT_NONE, CONNECT_UNSENT, CONNECT_SENT } connect;
    struct message response;
    const char *request;
    size_t sent;
    uint64_t began_ns, done;
    bool skim;         /* this answer's bytes are counted, not compared */
    bool awaiting_end; /* the answer is there; the proxy closes next */
};

static void begin(struct load *l, struct client *c);

static void sample(struct load *l, struct client *c)
{
    l->total_done++;
    if (!l->measuring)
        return;
    l->done++;
    c->done++;
    if (l->samples == l->samples_room) {
        l->samples_room = l->samples_room ? l->samples_room * 2 : 1 << 20;
        l->latency_us10 = realloc(l->latency_us10, l->samples_room * sizeof *l->latency_us10);
        if (!l->latency_us10)
            abort();
    }
    l->latency_us10[l->samples++] = (uint32_t)((loop_clock() - c->began_ns) / 100);
}

static void hang_up(struct load *l, struct client *c)
{
    if (c->tls)
        tls_close(l, c->tls, &c->session);
    c->tls = NULL;
    if (c->watch.fd >= 0)
        close(c->watch.fd);
    c->watch.fd = -1;
    c->awaiting_end = false;
}

static void fail(struct load *l, struct client *c, const char *what)
{
    load_error(l, what);
    hang_up(l, c);
    if (l->errors < 1000) /* a proxy that is down would be asked for ever */
        begin(l, c);
}

static ssize_t give(struct client *c, const char *p, size_t n)
{
    return c->tls ? tls_send(c->tls, p, n) : send(c->watch.fd, p, n, MSG_NOSIGNAL);
}

/* False: it failed, and goes on with another one. */
static bool push(struct load *l, struct client *c)
{
    while (c->sent < l->request_size) {
        ssize_t n = give(c, c->request + c->sent, l->request_size - c->sent);
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
            return true;
        if (n < 0) {
            fail(l, c, strerror(errno));
            return false;
        }
        c->sent += (size_t)n;
    }
    return true;
}

static void answered(struct load *l, struct client *c)
{
    if (c->response.status != 200)
        load_error(l, "a status other than 200");
    else if (c->response.content != l->expected_body)
        load_error(l, "a body of another size");
    else
        sample(l, c);
    if (l->keep_alive && !c->response.close) {
        begin(l, c);
    } else if (l->wait_for_end && !l->keep_alive) {
        c->awaiting_end = true;
    } else {
        hang_up(l, c);
        begin(l, c);
    }
}

static void ended(struct load *l, struct client *c, ssize_t n)
{
    bool by_end = c->response.state == MESSAGE_LENGTH && c->response.left > UINT64_MAX / 2;

    if (c->awaiting_end) {
        hang_up(l, c);
        begin(l, c);
    } else if (n == 0 && by_end) {
        c->response.close = true;
        hang_up(l, c);
        answered(l, c);
    } else {
        fail(l, c, n == 0 ? "closed before the whole answer" : strerror(errno));
    }
}

/* Taking bytes off a TCP socket without a copy leaves the core to the proxy's own work. */
static ssize_t skim(struct client *c)
{
    size_t most = c->response.left < INT32_MAX ? (size_t)c->response.left : INT32_MAX;
    ssize_t n = recv(c->watch.fd, NULL, most, MSG_TRUNC);

    if (n > 0)
        message_skip(&c->response, (uint64_t)n);
    return n;
}

static ssize_t take(struct load *l, struct client *c, bool *malformed)
{
    if (c->skim && !c->tls && c->response.state == MESSAGE_LENGTH)
        return skim(c);
    size_t most = c->skim && !c->tls ? 4096 : sizeof l->buffer;
    ssize_t n = c->tls ? tls_recv(c->tls, l->buffer, most) : recv(c->watch.fd, l->buffer, most, 0);
    *malformed = n > 0 && (c->awaiting_end || message_feed(&c->response, l->buffer, (size_t)n) != n);
    return n;
}

/* Both are so short that they go and come in one piece. False: it is still waited for, or failed. */
static bool connected(struct load *l, struct client *c)
{
    char answer[1024];

    if (c->connect == CONNECT_UNSENT) {
        if (send(c->watch.fd, l->tunnel, strlen(l->tunnel), MSG_NOSIGNAL) < 0) {
            if (errno != EAGAIN && errno != ENOTCONN)
                fail(l, c, strerror(errno));
            return false;
        }
        c->connect = CONNECT_SENT;
    }
    ssize_t n = recv(c->watch.fd, answer, sizeof answer - 1, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    answer[n < 0 ? 0 : n] = '\0';
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0 || !strstr(answer, "\r\n\r\n")) {
        fail(l, c, "CONNECT was not answered by 200");
        return false;
    }
    c->connect = CONNECT_NONE;
    if (l->tls)
        c->tls = tls_open(l, c->watch.fd, c->session);
    return true;
}

static void ready(struct load *l, struct watch *w, uint32_t events)
{
    struct client *c = (struct client *)w;

    if (c->connect != CONNECT_NONE && !connected(l, c))
        return;
    if ((events & EPOLLOUT || c->tls || l->tunnel) && c->sent < l->request_size && !push(l, c))
        return;
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)))
        return;
    for (;;) {
        bool malformed = false;
        ssize_t n = take(l, c, &malformed);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            ended(l, c, n);
            return;
        }
        if (malformed) {
            fail(l, c, "an answer that is malformed or not the origin's");
            return;
        }
        if (c->response.state == MESSAGE_DONE) {
            answered(l, c);
            if (!c->awaiting_end || !(events & EPOLLRDHUP))
                return;
        } else if (!c->skim && !c->tls && (size_t)n < sizeof l->buffer && !(events & EPOLLRDHUP)) {
            return;
        }
    }
}

static void open_one(struct load *l, struct client *c)
{
    int on = 1;

    c->watch.fd = socket(l->proxy.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->watch.fd < 0 ||
        (connect(c->watch.fd, (struct sockaddr *)&l->proxy, l->proxy_size) != 0 && errno != EINPROGRESS)) {
        perror("load: cannot connect to the proxy");
        exit(1);
    }
    if (l->request_size > 1400 && l->proxy.ss_family != AF_UNIX)
        setsockopt(c->watch.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->watch.ready = ready;
    if (l->tunnel)
        c->connect = CONNECT_UNSENT;
    else if (l->tls)
        c->tls = tls_open(l, c->watch.fd, c->session);
    loop_watch(&l->loop, &c->watch);
}

static void begin(struct load *l, struct client *c)
{
    if (l->sent >= l->limit) {
        hang_up(l, c);
        return;
    }
    l->sent++;
    c->skim = l->check_every > 1 && l->sent % l->check_every != 0;
    size_t number = l->faithful ? (size_t)(c - l->clients) : l->next_origin++;
    c->request = l->requests[number % l->origin.listeners];
    c->sent = 0;
    c->began_ns = loop_clock();
    message_begin(&c->response, &load_response);
    if (c->watch.fd < 0)
        open_one(l, c);
    if (c->connect == CONNECT_NONE)
        push(l, c);
}

bool clients_start(struct load *l)
{
    l->clients = calloc(l->count, sizeof *l->clients);
    if (!l->clients)
        return false;
    for (unsigned i = 0; i < l->count; i++)
        l->clients[i].watch.fd = -1;
    for (unsigned i = 0; i < l->count; i++)
        begin(l, &l->clients[i]);
    return true;
}

void clients_spread(const struct load *l, uint64_t *least, uint64_t *most)
{
    *least = *most = l->count ? l->clients[0].done : 0;
    for (unsigned i = 1; i < l->count; i++) {
        uint64_t n = l->clients[i].done;
        *least = n < *least ? n : *least;
        *most = n > *most ? n : *most;
    }
}
