#include "io/this_host.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Errors of a connect that say that nothing can be reached there, this host included. */
static bool is_unreachable(int number)
{
    return number == ENETUNREACH || number == EHOSTUNREACH || number == EADDRNOTAVAIL ||
           number == EAFNOSUPPORT || number == EINVAL;
}

bool this_host_source(const struct address *target, struct address *source)
{
    int fd = socket(target->sa.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    source->length = sizeof source->sa;
    bool found = connect(fd, &target->sa.any, target->length) == 0 &&
                 getsockname(fd, &source->sa.any, &source->length) == 0;
    int number = errno;
    close(fd);
    errno = number;
    return found;
}

bool this_host_has(const struct address *a)
{
    struct address source;
    if (address_is_loopback(a) || address_is_any(a))
        return true;
    if (!this_host_source(a, &source))
        return !is_unreachable(errno);
    address_set_port(&source, address_port(a));
    return address_equal(&source, a);
}
