#ifndef CARPOOL_IO_DNS_SEARCH_H
#define CARPOOL_IO_DNS_SEARCH_H

/* What the name servers say of one name: A and AAAA are two questions, and both are about the same host. A
 * name that resolv.conf's search list makes several of is looked for under one after the other; the first
 * under which either family has an address is the one. */

#include <stdbool.h>
#include <stdint.h>

#include "io/dns_channel.h"
#include "io/resolver.h"

struct dns_search;

struct dns_search_answer {
    int family;
    const struct resolver_answer *answer;
    uint64_t ttl_s;
    bool own_trouble; /* it says nothing of the name */
    unsigned under;   /* which of the names it is about */
    bool last;        /* no other family is asked for: the search is gone */
};

/* `under`: begins with this one of the names; `fixed`: and looks under no other. NULL: memory is short. */
struct dns_search *dns_search_new(struct dns_channel *ch, const char *name, unsigned under, bool fixed,
                                  void (*answered)(void *ctx, const struct dns_search_answer *a), void *ctx);

/* Asks for a family, AF_INET or AF_INET6, for which it is not asking. Each is answered once, maybe from
 * within the call. */
void dns_search_ask(struct dns_search *s, int family);

#endif
