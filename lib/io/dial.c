#include "io/dial.h"

#include <errno.h>
#include <netinet/tcp.h>

void dial_set_keepalive(int fd, uint64_t keepalive_ms)
{
    /* The kernel counts in seconds and takes up to 32767 of them (tcp(7)). */
    int seconds = keepalive_ms < 32767000 ? (int)((keepalive_ms + 999) / 1000) : 32767;

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){seconds > 0}, sizeof(int));
    if (seconds == 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
}

int dial(const struct address *to, const struct address *local, uint64_t keepalive_ms, int *fd,
         const char **what)
{
    int family = to->sa.any.sa_family;

    *what = "cannot connect to";
    *fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return errno;
    if (family != AF_UNIX)
        setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (family != AF_UNIX && keepalive_ms > 0)
        dial_set_keepalive(*fd, keepalive_ms);
    if (local && local->length > 0 && family != AF_UNIX) {
        /* The port is chosen at connect(), when all four numbers together must be unique, not these two
         * alone. */
        setsockopt(*fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
        if (bind(*fd, &local->sa.any, local->length) != 0) {
            *what = "cannot bind to localAddress for";
            return errno;
        }
    }
    return connect(*fd, &to->sa.any, to->length) == 0 || errno == EINPROGRESS ? 0 : errno;
}

/* Linux may connect a socket to itself when there is no listener on a port that it hands out for outgoing
 * connections. */
static int is_connected_to_itself(int fd, const struct address *to)
{
    struct address own = {.length = sizeof own.sa};

    return to->sa.any.sa_family != AF_UNIX && getsockname(fd, &own.sa.any, &own.length) == 0 &&
           address_equal(&own, to);
}

int dial_result(int fd, const struct address *to)
{
    int number = 0;
    socklen_t size = sizeof number;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
        return errno;
    return number == 0 && is_connected_to_itself(fd, to) ? ECONNREFUSED : number;
}
