#ifndef CARPOOL_POOL_PATH_H
#define CARPOOL_POOL_PATH_H

/* Peers that are gone without FIN or RST: their host, or a NAT's or load balancer's entry.
 *
 * Active sockets from which nothing came for a second are looked at four times per second at most: whether
 * the peer's kernel acknowledges what was sent, and answers probes (io/ack.h). Who does not for timeouts.ack
 * is given up (conn_give_up(), ETIMEDOUT). The owner of a socket of which nothing was acknowledged for a
 * second, through two retransmissions, is notified (CONN_UNACKED), so that what can be repeated safely is
 * repeated at once.
 *
 * The other free sockets that lead to the same address are DOUBTED then: they carry no request until their
 * peer has acknowledged a keep-alive probe. Free sockets are probed by the kernel; those whose peer answers
 * none of three probes are retired as dead. */

#include <stdint.h>

struct socket;

/* What is known of a socket's path. */
struct socket_path {
    uint64_t quiet_since_us;   /* nothing was read since, or since its exchange began */
    uint64_t look_ms;          /* not before */
    uint64_t unacked_since_ms; /* as far as it was looked at; 0: all is acknowledged */
    uint64_t doubted_ms;       /* ASIDE_DOUBTED: since */
    uint8_t probes;            /* how many may stay unanswered; 0: as the system has it */
};

/* An exchange begins on this socket: from now on it is looked after. */
void path_begin_exchange(struct socket *s);

/* It has been idle for a moment: three unanswered probes end it from now on. */
void path_watch_idle(struct socket *s);

/* The kernel has ended it since probes were not answered: that path is dead since then at the latest. */
uint64_t path_dead_since(const struct socket *s);

/* The path of this socket is dead since `since_ms` at the latest. */
void path_died(struct socket *dead, uint64_t since_ms);

/* Used by pool.c: the timer's. */
void path_sweep(void *ctx);

#endif
