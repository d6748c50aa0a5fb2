#include "io/peer_diag.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The same number in all kernels; headers older than Linux 5.9 do not have it. */
#define DIAG_CGROUP_ID 21

#define OVERFLOW_UID_DEFAULT 65534

struct request {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
};

void peer_diag_init(struct peer_diag *d)
{
    *d = (struct peer_diag){.fd = -1};
}

void peer_diag_close(struct peer_diag *d)
{
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

static bool open_socket(struct peer_diag *d)
{
    if (d->fd < 0)
        d->fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    return d->fd >= 0;
}

static bool is_mapped(const struct address *a)
{
    return a->sa.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->sa.v6.sin6_addr);
}

static void put_ip(const struct address *a, __be32 out[4])
{
    if (a->sa.any.sa_family == AF_INET)
        memcpy(out, &a->sa.v4.sin_addr, sizeof a->sa.v4.sin_addr);
    else if (is_mapped(a))
        memcpy(out, &a->sa.v6.sin6_addr.s6_addr[12], 4);
    else
        memcpy(out, &a->sa.v6.sin6_addr, sizeof a->sa.v6.sin6_addr);
}

/* The client's end: what is the peer's address here is its own there. */
static void fill(struct request *r, uint32_t sequence, const struct address *local,
                 const struct address *peer)
{
    bool v4 = peer->sa.any.sa_family == AF_INET || is_mapped(peer);
    *r = (struct request){
        .header = {.nlmsg_len = sizeof *r,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST,
                   .nlmsg_seq = sequence},
        .body = {.sdiag_family = v4 ? AF_INET : AF_INET6,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = UINT32_MAX,
                 .id = {.idiag_sport = htons(address_port(peer)),
                        .idiag_dport = htons(address_port(local)),
                        .idiag_if = v4 ? 0 : peer->sa.v6.sin6_scope_id,
                        .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
    };
    put_ip(peer, r->body.id.idiag_src);
    put_ip(local, r->body.id.idiag_dst);
}

static uint64_t find_cgroup(const struct inet_diag_msg *m, size_t length)
{
    uint64_t id = 0;
    int left = (int)(length - sizeof *m);
    for (const struct rtattr *a = (const struct rtattr *)(m + 1); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == DIAG_CGROUP_ID && RTA_PAYLOAD(a) >= sizeof id)
            memcpy(&id, RTA_DATA(a), sizeof id);
    return id;
}

/* Without an established connection of these addresses the kernel looks for a listener; and of one that was
 * closed it says that root owns it. */
static bool has_owner(const struct inet_diag_msg *m, const struct request *r)
{
    return (m->idiag_state == TCP_ESTABLISHED || m->idiag_state == TCP_CLOSE_WAIT) && m->idiag_inode != 0 &&
           m->id.idiag_sport == r->body.id.idiag_sport && m->id.idiag_dport == r->body.id.idiag_dport;
}

static enum peer_found read_answer(const struct nlmsghdr *h, const struct request *r,
                                   struct peer_owner *owner)
{
    const struct inet_diag_msg *m = NLMSG_DATA(h);
    if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || h->nlmsg_len < NLMSG_LENGTH(sizeof *m))
        return PEER_UNSEEN;
    if (!has_owner(m, r))
        return PEER_GONE;
    *owner = (struct peer_owner){.uid = m->idiag_uid, .cgroup = find_cgroup(m, h->nlmsg_len - NLMSG_HDRLEN)};
    return PEER_FOUND;
}

/* The kernel answers before send() returns. What was left by an exchange that failed has another number. */
static enum peer_found ask(struct peer_diag *d, const struct request *r, struct peer_owner *owner)
{
    union {
        struct nlmsghdr header;
        char bytes[4096];
    } answer;
    if (send(d->fd, r, sizeof *r, 0) != sizeof *r)
        return PEER_NO_DIAG;
    for (;;) {
        ssize_t n = recv(d->fd, &answer, sizeof answer, 0);
        if (n < 0)
            return PEER_NO_DIAG;
        if (NLMSG_OK(&answer.header, (size_t)n) && answer.header.nlmsg_seq == r->header.nlmsg_seq)
            return read_answer(&answer.header, r, owner);
    }
}

/* Addresses of a connection that was reset may be another one's by now: only while this end stands is the
 * other one surely its peer. */
static bool still_stands(int fd)
{
    struct sockaddr_storage peer;
    socklen_t n = sizeof peer;
    return getpeername(fd, (struct sockaddr *)&peer, &n) == 0;
}

static bool peer_has_ended(int fd)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0 || info.tcpi_state != TCP_ESTABLISHED;
}

enum peer_found peer_diag_find(struct peer_diag *d, int fd, const struct address *local,
                               const struct address *peer, struct peer_owner *owner)
{
    struct request r;
    if (!open_socket(d))
        return PEER_NO_DIAG;
    fill(&r, ++d->sequence, local, peer);
    enum peer_found found = ask(d, &r, owner);
    if (found == PEER_NO_DIAG) {
        int number = errno;
        peer_diag_close(d);
        errno = number;
        return found;
    }
    if (!still_stands(fd) || (found == PEER_UNSEEN && peer_has_ended(fd)))
        return PEER_GONE;
    return found;
}

bool peer_credentials(int fd, struct peer_owner *owner)
{
    struct ucred credentials;
    socklen_t n = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &n) != 0 || n != sizeof credentials)
        return false;
    *owner = (struct peer_owner){.uid = credentials.uid, .pid = credentials.pid};
    return true;
}

/* ---- user namespaces */

/* USERS_UNKNOWN: it cannot be read now. */
static enum peer_users read_users(void)
{
    unsigned inside, outside, count;
    uint64_t sum = 0;
    FILE *f = fopen("/proc/self/uid_map", "re");
    if (!f)
        return errno == ENOENT ? USERS_ALL : USERS_UNKNOWN; /* no user namespaces */
    /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
    while (fscanf(f, "%u %u %u", &inside, &outside, &count) == 3)
        sum += count;
    fclose(f);
    return sum >= UINT32_MAX ? USERS_ALL : USERS_SOME;
}

static uint32_t read_overflow_uid(void)
{
    uint32_t uid = OVERFLOW_UID_DEFAULT;
    FILE *f = fopen("/proc/sys/kernel/overflowuid", "re");
    if (!f)
        return uid;
    if (fscanf(f, "%" SCNu32, &uid) != 1) /* NOLINT(cert-err34-c) */
        uid = OVERFLOW_UID_DEFAULT;
    fclose(f);
    return uid;
}

bool peer_uid_is_certain(struct peer_diag *d, uint32_t uid)
{
    if (d->users == USERS_UNKNOWN) {
        d->users = read_users();
        d->overflow_uid = read_overflow_uid();
    }
    return d->users == USERS_ALL || uid != d->overflow_uid;
}
