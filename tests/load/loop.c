#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

uint64_t loop_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void loop_open(struct loop *loop)
{
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->now_ns = loop_clock();
}

void loop_watch(struct loop *loop, struct watch *w)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = w};

    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, w->fd, &e) != 0) {
        perror("load: epoll_ctl");
        exit(1);
    }
}

void loop_unwatch(struct loop *loop, struct watch *w)
{
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, w->fd, NULL);
}

void loop_turn(struct load *l, int64_t wait_ns)
{
    struct loop *loop = (struct loop *)l;
    struct timespec timeout = {wait_ns / 1000000000, wait_ns % 1000000000};
    struct epoll_event events[512];
    int n = epoll_pwait2(loop->epoll, events, 512, &timeout, NULL);

    if (n < 0 && errno != EINTR)
        abort();
    loop->now_ns = loop_clock();
    for (int i = 0; i < n; i++) {
        struct watch *w = events[i].data.ptr;
        if (w->fd >= 0)
            w->ready(l, w, events[i].events);
    }
}

struct sockaddr_in loopback(unsigned port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
}

unsigned loop_listen(struct loop *loop, struct watch *w, unsigned port)
{
    struct sockaddr_in a = loopback(port);
    socklen_t size = sizeof a;

    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(w->fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(w->fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(w->fd, 4096) != 0 ||
        getsockname(w->fd, (struct sockaddr *)&a, &size) != 0) {
        perror("load: the origin cannot listen");
        exit(1);
    }
    loop_watch(loop, w);
    return ntohs(a.sin_port);
}

int loop_accept(const struct watch *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}
