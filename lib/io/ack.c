#include "io/ack.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

bool ack_look(int fd, struct ack_state *out)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return false;
    *out = (struct ack_state){.unacked = info.tcpi_unacked,
                              .repeated = info.tcpi_retransmits,
                              .probes = info.tcpi_probes,
                              .last_ack_ms = info.tcpi_last_ack_recv};
    return true;
}

void ack_set_probes(int fd, int count)
{
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* Who writes more than that at a time fills segments, which nothing holds back. */
#define SMALL_PART (16 * 1024)

void ack_part(int fd, uint64_t came)
{
    if (came < SMALL_PART)
        setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

bool ack_is_dead_path(int error)
{
    switch (error) {
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN: return true;
    default: return false;
    }
}
