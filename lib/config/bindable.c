#include "config/bindable.h"

#include <errno.h>
#include <unistd.h>

static int try_to_bind(const struct address *a)
{
    struct address any_port = *a;
    int fd = socket(a->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), number = 0;
    if (fd < 0)
        return errno;
    address_set_port(&any_port, 0);
    if (a->sa.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
    if (bind(fd, &any_port.sa.any, any_port.length) != 0)
        number = errno;
    close(fd);
    return number;
}

const char *bindable_problem(const struct address *a)
{
    if (a->sa.any.sa_family == AF_UNIX)
        return NULL;
    if (a->sa.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->sa.v6.sin6_addr))
        return "an IPv4 address inside an IPv6 one cannot be listened at: write it as an IPv4 address";
    switch (try_to_bind(a)) {
    case EADDRNOTAVAIL: return "it is no address of this host: 'ip address' shows those that are";
    case EINVAL: return "the system does not let anybody listen there (a link-local address, for one)";
    case EAFNOSUPPORT: return "this host does not have IPv6";
    }
    return NULL; /* no word on the address: to listen may still fail, and then says why */
}
