#ifndef CARPOOL_IO_DNS_CACHE_H
#define CARPOOL_IO_DNS_CACHE_H

/* What is known of names: a record for each family, good for its TTL, and usable for a while longer where the
 * name servers fail. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/hash.h"
#include "io/resolver.h"

struct dns_cache;
struct dns_question; /* resolver.c */
struct dns_inquiry;  /* the same */

/*
 *              answered               the servers fail, and it had addresses
 *   UNKNOWN -------------> ANSWERED ---------------------------------------> STALE
 *      |  ^                 |    ^                                             |
 *      |  | the file changed|    +------------------ answered -----------------+
 *      v  |                 v
 *   FROM_FILE <----- the hosts file has it
 */
enum dns_record_state { RECORD_UNKNOWN, RECORD_ANSWERED, RECORD_STALE, RECORD_FROM_FILE };

struct dns_record {
    enum dns_record_state state;
    struct dns_question *question; /* out to the name servers, in any state; NULL: none is */
    struct resolver_answer answer; /* the last one that is worth reporting */
    uint64_t answered_ms, good_until_ms, expires_ms; /* expires: the end of its TTL */
};

enum { DNS_V4, DNS_V6, DNS_FAMILIES };

struct dns_name {
    UT_hash_handle hh;         /* by name */
    TAILQ_ENTRY(dns_name) use; /* in the order in which they were looked for last */
    struct dns_record records[DNS_FAMILIES];
    struct dns_inquiry *inquiry; /* of what is asked for; NULL: nothing is */
    unsigned under;              /* which name of the search list the latest answer was about */
    char name[];
};

/* NULL: memory is short. */
struct dns_cache *dns_cache_new(void);
/* Nothing may be asked any more. */
void dns_cache_free(struct dns_cache *c);

/* Names are compared in lower case. NULL: nothing is known of it. */
struct dns_name *dns_cache_find(struct dns_cache *c, const char *name);

/* Makes room by forgetting those that were not looked for for longest. NULL: memory is short. */
struct dns_name *dns_cache_add(struct dns_cache *c, const char *name);

/* Where a family's things stand; AF_INET or AF_INET6, here and below. */
static inline int dns_place(int family)
{
    return family == AF_INET ? DNS_V4 : DNS_V6;
}

struct dns_record *dns_name_record(struct dns_name *n, int family);

/* A question for either family is out. */
bool dns_name_is_asked_for(const struct dns_name *n);

/* Good: it may be used without asking. */
bool dns_record_is_good(const struct dns_record *r);

/* The same, and what one family lacks is good for as long as the other's addresses are, and so is what
 * failed, for half a minute of that. */
bool dns_name_is_good(struct dns_name *n, int family);

/* It may be used when the servers fail: it has addresses, which expired less than `stale_ms` ago. */
bool dns_record_is_usable(const struct dns_record *r, uint64_t stale_ms);

/* Keeps an answer: forever, or for its TTL. */
void dns_record_set_from_file(struct dns_record *r, const struct resolver_answer *a);
void dns_record_set(struct dns_record *r, const struct resolver_answer *a, uint64_t kept_ms);

/* The question failed, or got no word: the answer that is there is used for `kept_ms` more. */
void dns_record_keep_stale(struct dns_record *r, uint64_t kept_ms);

/* Everything is asked for again: what came from the file is forgotten, the rest has expired. */
void dns_cache_expire(struct dns_cache *c);

#endif
