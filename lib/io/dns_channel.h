#ifndef CARPOOL_IO_DNS_CHANNEL_H
#define CARPOOL_IO_DNS_CHANNEL_H

/* c-ares on the loop, with one reading of resolv.conf: questions to the name servers only. When that file
 * changes, a new channel takes over, and the old one ends with its last question. The search list is walked
 * elsewhere (dns_search.h): c-ares would do it for each family by itself, and end at the addresses of two
 * hosts. */

#include <ares.h>
#include <event2/event.h>
#include <stdbool.h>
#include <sys/queue.h>

struct dns_channel;
struct dns_query;
LIST_HEAD(dns_channel_list, dns_channel);

/* Which servers are asked, and for how long; resolv.conf says so where `servers` is NULL. */
struct dns_servers {
    const char *servers; /* "127.0.0.1:5353,..." */
    int timeout_ms, tries;
};

/* Stands on the list until it is freed. NULL: memory is short, or resolv.conf cannot be read. */
struct dns_channel *dns_channel_new(struct event_base *base, const struct dns_servers *from,
                                    struct dns_channel_list *list);

/* False: what is asked now would wait in vain; it is time for another channel. */
bool dns_channel_is_usable(const struct dns_channel *ch);

/* What it has read. */
struct resolv_conf;
const struct resolv_conf *dns_channel_conf(const struct dns_channel *ch);

/* Asks for the addresses of one family of exactly this name, which ends with a dot. The callback comes once,
 * and the answer is the callee's to free: from within the call, then NULL is returned, or later. With
 * ARES_EDESTRUCTION when the channel is freed before. */
struct dns_query *dns_channel_ask(struct dns_channel *ch, const char *name, int family,
                                  ares_addrinfo_callback answered, void *ctx);

/* The callback will not come. */
void dns_channel_drop(struct dns_query *q);

/* No more questions but those that follow from one that is out: it frees itself when the last one is
 * answered. */
void dns_channel_retire(struct dns_channel *ch);

void dns_channel_free(struct dns_channel *ch);

#endif
