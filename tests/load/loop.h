#ifndef CARPOOL_TESTS_LOAD_LOOP_H
#define CARPOOL_TESTS_LOAD_LOOP_H

/* What the loads of bench/ and of tests/soak/ share: one epoll loop, and sockets of loopback. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Each program's own: it begins with its struct loop. */
struct load;

struct loop {
    int epoll;
    uint64_t now_ns; /* when this turn's events came */
};

/* What epoll points to. */
struct watch {
    int fd; /* -1: none, its events of this turn are dropped */
    void (*ready)(struct load *l, struct watch *w, uint32_t events);
};

uint64_t loop_clock(void);
void loop_open(struct loop *loop);
/* All events, by edge. */
void loop_watch(struct loop *loop, struct watch *w);
/* Its descriptor goes on without it. */
void loop_unwatch(struct loop *loop, struct watch *w);
/* One turn, which waits for so long at most. */
void loop_turn(struct load *l, int64_t wait_ns);

struct sockaddr_in loopback(unsigned port);
/* Listens on this port, 0: any; which one it is. When it cannot, the process ends and says why. */
unsigned loop_listen(struct loop *loop, struct watch *w, unsigned port);
/* The next connection, or -1. */
int loop_accept(const struct watch *listener);

#endif
