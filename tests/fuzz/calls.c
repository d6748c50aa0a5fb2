#include "calls.h"

#include <fcntl.h>
#include <stdarg.h>

struct calls calls;

ssize_t __wrap_recv(int fd, void *to, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t n, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
int __wrap_open(const char *path, int flags, ...);

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
