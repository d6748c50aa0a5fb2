#ifndef CARPOOL_TESTS_IO_DNS_H
#define CARPOOL_TESTS_IO_DNS_H

/* A DNS server on the test's own loop (UDP, 127.0.0.1), which says what it is told to. */

#include <event2/event.h>
#include <stdint.h>

#include "io/resolver.h"

#define DNS_RECORDS 4

struct dns_name {
    const char *name;
    const char *a[DNS_RECORDS], *aaaa[DNS_RECORDS];
    const char *cname; /* what the addresses belong to, if not to the name */
    uint32_t ttl, cname_ttl;
    int rcode, rcode_aaaa;      /* SERVFAIL is 2, NXDOMAIN 3; rcode is of both */
    bool silent_a, silent_aaaa; /* one that is repeated is answered once this has ended */
};

struct dns {
    const struct dns_name *names; /* up to one without a name; any other gets NXDOMAIN */
    int queries;                  /* so far, less those that were repeated */
    unsigned char last[4][512];   /* the latest ones */
    int fd;
    char servers[32]; /* for resolver_set_servers() */
    struct event *event;
};

void dns_start(struct dns *d, struct event_base *base, const struct dns_name *names);
void dns_stop(struct dns *d);

/* A resolver that asks it, with two tries, the first of 300 ms. */
struct resolver *dns_resolver(struct dns *d, struct event_base *base);
/* The same with a first try of so long. */
struct resolver *dns_resolver_patient(struct dns *d, struct event_base *base, int timeout_ms);

#endif
