#ifndef CARPOOL_IO_PEER_DIAG_H
#define CARPOOL_IO_PEER_DIAG_H

/* Who owns the socket at the other end of a connection, when that end is on this host: by the kernel's socket
 * table for TCP (sock_diag(7)), by SO_PEERCRED for unix sockets. Nothing here waits. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/address.h"

/* Which users this process's user namespace has. */
enum peer_users { USERS_UNKNOWN, USERS_ALL, USERS_SOME };

/* One for each loop. */
struct peer_diag {
    int fd; /* NETLINK_SOCK_DIAG; -1: not open */
    uint32_t sequence;
    enum peer_users users;
    uint32_t overflow_uid; /* what all others look like */
};

struct peer_owner {
    uint32_t uid;
    pid_t pid;       /* unix sockets: of the process that connected */
    uint64_t cgroup; /* TCP: the id of its cgroup of cgroup v2; 0: the kernel does not say */
};

enum peer_found {
    PEER_FOUND,
    PEER_GONE,    /* its socket has no owner any more, or its end cannot be distinguished from a later one */
    PEER_UNSEEN,  /* the kernel does not list it: no such support, or another network namespace */
    PEER_NO_DIAG, /* no netlink socket for it; errno says why */
};

void peer_diag_init(struct peer_diag *d);
void peer_diag_close(struct peer_diag *d);

/* The owner of the client's end of an accepted TCP connection, `local` and `peer` being its addresses as
 * accept() and getsockname() say them. One request to the kernel and one answer. `owner` is filled for
 * PEER_FOUND only. */
enum peer_found peer_diag_find(struct peer_diag *d, int fd, const struct address *local,
                               const struct address *peer, struct peer_owner *owner);

/* The process that connected to a unix listener. False: the kernel does not say. */
bool peer_credentials(int fd, struct peer_owner *owner);

/* Whether a user's id says who it is: in a user namespace that does not have all users, those that it lacks
 * look alike (user_namespaces(7)). */
bool peer_uid_is_certain(struct peer_diag *d, uint32_t uid);

#endif
