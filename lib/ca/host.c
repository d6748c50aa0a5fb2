#include "ca/host.h"

#include <arpa/inet.h>

struct ca_host ca_host_of(struct slice text)
{
    struct ca_host h = {.name = text};
    char copy[INET6_ADDRSTRLEN];
    if (text.n > 1 && text.p[text.n - 1] == '.')
        h.name.n--;
    if (text.n >= sizeof copy)
        return h;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (inet_pton(AF_INET, copy, h.ip) == 1)
        h.ip_size = 4;
    else if (inet_pton(AF_INET6, copy, h.ip) == 1)
        h.ip_size = 16;
    return h;
}
