#ifndef CARPOOL_TESTS_FUZZ_CALLS_H
#define CARPOOL_TESTS_FUZZ_CALLS_H

/* System calls of Carpool's own code that a target may answer itself: linked with -Wl,--wrap=NAME for each.
 * Targets call the real ones as __real_NAME. */

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

enum sys_call { SYS_RECV, SYS_SEND, SYS_SOCKET, SYS_CONNECT, SYS_GETSOCKOPT, SYS_EVENT_ADD, SYS_MEMORY };

/* NULL: the real call. Every target that sets one is the only one that runs in its process, or unsets it. */
struct calls {
    ssize_t (*recv)(int fd, void *to, size_t n, int flags);
    ssize_t (*send)(int fd, const void *from, size_t n, int flags);
    ssize_t (*sendmsg)(int fd, const struct msghdr *m, int flags);
    int (*open)(const char *path, int flags);
    int (*clock_gettime)(clockid_t id, struct timespec *ts);
    bool (*fails)(enum sys_call call); /* asked before SYS_SOCKET and those behind it; sets errno */
};

extern struct calls calls;

ssize_t __real_recv(int fd, void *to, size_t n, int flags);
ssize_t __real_send(int fd, const void *from, size_t n, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *m, int flags);
int __real_open(const char *path, int flags, ...);

#endif
