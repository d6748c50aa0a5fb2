/* bench/floor: what a user-space proxy costs at least. One epoll loop that reads and writes on either side
 * and does nothing else: no parsing, no timers, no checks; it counts bytes to know where a message ends, as
 * all requests and all answers of a scenario are of one size. Upstream connections stay open.
 *
 * usage: floor LISTEN_PORT|unix:PATH ORIGIN_PORT REQUEST_SIZE ANSWER_SIZE [short] */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUFFER (64 * 1024)

struct end {
    int fd;
    bool watched, is_client;
    struct end *other; /* who it exchanges with now */
    struct end *next;  /* among the spare ones */
    size_t left;       /* still to come from here of this message */
    char *held;        /* read from here and not taken by the other one yet */
    size_t held_size, held_sent;
};

struct relay {
    int epoll, listening;
    unsigned origin_port;
    size_t request_size, answer_size;
    bool close_after;
    struct end *free_upstreams, *spare_clients, *dead_clients;
    char buffer[BUFFER];
};

static void watch(struct relay *r, struct end *e)
{
    struct epoll_event v = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = e};

    if (!e->watched)
        epoll_ctl(r->epoll, EPOLL_CTL_ADD, e->fd, &v);
    e->watched = true;
}

static struct end *new_end(struct end **spare, int fd, bool is_client)
{
    struct end *e = *spare;

    if (e)
        *spare = e->next;
    else if (!(e = calloc(1, sizeof *e)))
        abort();
    char *held = e->held;
    *e = (struct end){.fd = fd, .is_client = is_client, .held = held};
    return e;
}

static struct end *take_upstream(struct relay *r)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)r->origin_port)};
    struct end *none = NULL, *e = r->free_upstreams;
    int on = 1, fd;

    if (e) {
        r->free_upstreams = e->next;
        return e;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return NULL;
    }
    e = new_end(&none, fd, false);
    watch(r, e);
    return e;
}

/* Clients are freed after the batch of events that may name them. */
static void drop(struct relay *r, struct end *e)
{
    if (e->fd < 0)
        return;
    close(e->fd);
    e->fd = -1;
    if (e->is_client) {
        e->next = r->dead_clients;
        r->dead_clients = e;
        return;
    }
    for (struct end **p = &r->free_upstreams; *p; p = &(*p)->next)
        if (*p == e) {
            *p = e->next;
            break;
        }
}

static void part(struct relay *r, struct end *e)
{
    struct end *other = e->other;

    drop(r, e);
    if (other) {
        other->other = NULL;
        drop(r, other);
    }
}

static bool hold(struct end *e, const char *p, size_t n)
{
    if (!e->held && !(e->held = malloc(BUFFER)))
        abort();
    memcpy(e->held, p, n);
    e->held_size = n;
    e->held_sent = 0;
    return true;
}

/* Sends what is held; true when nothing is any more. */
static bool flush(struct end *from, struct end *to)
{
    while (from->held_size > from->held_sent) {
        ssize_t n = send(to->fd, from->held + from->held_sent, from->held_size - from->held_sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return false;
        from->held_sent += (size_t)n;
    }
    from->held_size = from->held_sent = 0;
    return true;
}

static void answered(struct relay *r, struct end *upstream)
{
    struct end *client = upstream->other;

    upstream->other = client->other = NULL;
    upstream->next = r->free_upstreams;
    r->free_upstreams = upstream;
    client->left = r->request_size;
    if (r->close_after)
        drop(r, client);
    else
        watch(r, client);
}

static void move(struct relay *r, struct end *from)
{
    if (from->other && !flush(from, from->other))
        return;
    for (;;) {
        if (from->other && from->left == 0) {
            if (!from->is_client)
                answered(r, from);
            return;
        }
        ssize_t n = recv(from->fd, r->buffer, BUFFER, MSG_DONTWAIT), sent;
        if (n < 0 && errno == EAGAIN) {
            watch(r, from);
            return;
        }
        if (n <= 0 || (!from->other && !from->is_client)) {
            part(r, from);
            return;
        }
        if (!from->other) {
            if (!(from->other = take_upstream(r))) {
                drop(r, from);
                return;
            }
            from->other->other = from;
            from->other->left = r->answer_size;
        }
        from->left -= (size_t)n < from->left ? (size_t)n : from->left;
        sent = send(from->other->fd, r->buffer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) {
            part(r, from);
            return;
        }
        if (sent < n) {
            sent = sent < 0 ? 0 : sent;
            hold(from, r->buffer + sent, (size_t)(n - sent));
            watch(r, from->other);
            return;
        }
    }
}

static void accept_all(struct relay *r)
{
    int fd;

    while ((fd = accept4(r->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct end *e = new_end(&r->spare_clients, fd, true);
        e->left = r->request_size;
        move(r, e);
    }
}

static int listen_on(const char *where)
{
    struct sockaddr_un u = {.sun_family = AF_UNIX};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_unix = strncmp(where, "unix:", 5) == 0;
    int on = 1, fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (is_unix) {
        snprintf(u.sun_path, sizeof u.sun_path, "%s", where + 5);
    } else {
        a.sin_port = htons((uint16_t)atoi(where));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (bind(fd, is_unix ? (struct sockaddr *)&u : (struct sockaddr *)&a, is_unix ? sizeof u : sizeof a) !=
            0 ||
        listen(fd, 4096) != 0) {
        perror("floor: cannot listen");
        exit(1);
    }
    return fd;
}

static void on_event(struct relay *r, struct end *e, uint32_t events)
{
    if (!e) {
        accept_all(r);
        return;
    }
    if (e->fd >= 0 && (events & EPOLLOUT) && e->other && e->other->held_size > e->other->held_sent)
        move(r, e->other);
    if (e->fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) &&
        !(e->is_client && e->other && e->left == 0))
        move(r, e);
}

int main(int argc, char **argv)
{
    static struct relay r;
    struct epoll_event events[512], v = {.events = EPOLLIN};

    if (argc < 5) {
        fprintf(stderr, "usage: floor LISTEN_PORT|unix:PATH ORIGIN_PORT REQUEST_SIZE ANSWER_SIZE [short]\n");
        return 2;
    }
    r.epoll = epoll_create1(EPOLL_CLOEXEC);
    r.listening = listen_on(argv[1]);
    r.origin_port = (unsigned)atoi(argv[2]);
    r.request_size = strtoull(argv[3], NULL, 10);
    r.answer_size = strtoull(argv[4], NULL, 10);
    r.close_after = argc > 5;
    epoll_ctl(r.epoll, EPOLL_CTL_ADD, r.listening, &v);
    for (;;) {
        int n = epoll_wait(r.epoll, events, 512, -1);
        for (int i = 0; i < n; i++)
            on_event(&r, events[i].data.ptr, events[i].events);
        for (struct end *e; (e = r.dead_clients);) {
            r.dead_clients = e->next;
            e->next = r.spare_clients;
            r.spare_clients = e;
        }
    }
}
