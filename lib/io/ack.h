#ifndef CARPOOL_IO_ACK_H
#define CARPOOL_IO_ACK_H

/* What the kernel knows of the peer's kernel: whether what was sent is acknowledged (TCP_INFO). A peer that
 * is slow, or takes nothing since its window is closed, does acknowledge; one that is gone does not. */

#include <stdbool.h>
#include <stdint.h>

struct ack_state {
    uint32_t unacked;     /* segments that were sent and are not acknowledged */
    uint32_t repeated;    /* how often the first of them was sent again */
    uint32_t probes;      /* of keep-alive or a closed window, sent one after another without an answer */
    uint64_t last_ack_ms; /* since the peer acknowledged anything at all */
};

/* False: it is no TCP socket, and nothing is known. */
bool ack_look(int fd, struct ack_state *out);

/* So many keep-alive probes in a row without an answer end the connection (ETIMEDOUT); they are sent as
 * dial_set_keepalive() says. */
void ack_set_probes(int fd, int count);

/* A message has begun, `came` bytes of it have come, and the next read would block. A small part is acknowledged
 * at once, which the kernel puts off for up to 40 ms on a connection that is used again: a peer with Nagle's
 * algorithm (RFC 9293 3.7.4) sends the next part only then. */
void ack_part(int fd, uint64_t came);

/* Whether an errno says that the peer is not reached any more, as opposed to an end that it made. */
bool ack_is_dead_path(int error);

#endif
