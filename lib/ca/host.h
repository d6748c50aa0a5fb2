#ifndef CARPOOL_CA_HOST_H
#define CARPOOL_CA_HOST_H

/* A host as certificates know it: a name without the dot that may end it, or the bytes of an IP address. */

#include <stddef.h>

#include "base/slice.h"

#define CA_IP_MAX 16

struct ca_host {
    struct slice name; /* of the text that it was made of */
    unsigned char ip[CA_IP_MAX];
    size_t ip_size; /* 4, 16, or 0: it is a name */
};

/* Of a name, or an IP address without brackets. */
struct ca_host ca_host_of(struct slice text);

#endif
