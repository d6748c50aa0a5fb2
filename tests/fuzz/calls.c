#include "calls.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>

struct calls calls;

ssize_t __wrap_recv(int fd, void *to, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t n, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
int __wrap_open(const char *path, int flags, ...);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_socket(int family, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t length);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __wrap_event_add(struct event *e, const struct timeval *timeout);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __real_socket(int family, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *to, socklen_t length);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __real_event_add(struct event *e, const struct timeval *timeout);
void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);

static bool fails(enum sys_call call)
{
    return calls.fails && calls.fails(call);
}

ssize_t __wrap_recv(int fd, void *to, size_t n, int flags)
{
    return calls.recv ? calls.recv(fd, to, n, flags) : __real_recv(fd, to, n, flags);
}

ssize_t __wrap_send(int fd, const void *from, size_t n, int flags)
{
    return calls.send ? calls.send(fd, from, n, flags) : __real_send(fd, from, n, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
    return calls.sendmsg ? calls.sendmsg(fd, m, flags) : __real_sendmsg(fd, m, flags);
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list list;
    int mode = 0;

    if (calls.open)
        return calls.open(path, flags);
    va_start(list, flags);
    if (flags & O_CREAT)
        mode = va_arg(list, int);
    va_end(list);
    return __real_open(path, flags, mode);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    return calls.clock_gettime ? calls.clock_gettime(id, ts) : __real_clock_gettime(id, ts);
}

int __wrap_socket(int family, int type, int protocol)
{
    return fails(SYS_SOCKET) ? -1 : __real_socket(family, type, protocol);
}

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t length)
{
    return fails(SYS_CONNECT) ? -1 : __real_connect(fd, to, length);
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    return fails(SYS_GETSOCKOPT) ? -1 : __real_getsockopt(fd, level, name, value, length);
}

int __wrap_event_add(struct event *e, const struct timeval *timeout)
{
    return fails(SYS_EVENT_ADD) ? -1 : __real_event_add(e, timeout);
}

void *__wrap_malloc(size_t n)
{
    return fails(SYS_MEMORY) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    return fails(SYS_MEMORY) ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails(SYS_MEMORY) ? NULL : __real_realloc(p, n);
}
