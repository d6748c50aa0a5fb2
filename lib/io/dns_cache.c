#include "io/dns_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define NAMES_MAX 1024
/* How long the failure of one family is remembered while the other has addresses (RFC 8767 5). */
#define PARTIAL_FAILURE_MS 30000

struct dns_cache {
    struct dns_name *names; /* by name */
    TAILQ_HEAD(, dns_name) least_used;
};

struct dns_cache *dns_cache_new(void)
{
    struct dns_cache *c = calloc(1, sizeof *c);

    if (c)
        TAILQ_INIT(&c->least_used);
    return c;
}

bool dns_name_is_asked_for(const struct dns_name *n)
{
    return n->records[DNS_V4].question || n->records[DNS_V6].question;
}

static void forget(struct dns_cache *c, struct dns_name *n)
{
    assert(!dns_name_is_asked_for(n));
    HASH_DEL(c->names, n);
    TAILQ_REMOVE(&c->least_used, n, use);
    free(n);
}

void dns_cache_free(struct dns_cache *c)
{
    struct dns_name *n, *next;

    if (!c)
        return;
    HASH_ITER (hh, c->names, n, next)
        forget(c, n);
    free(c);
}

struct dns_name *dns_cache_find(struct dns_cache *c, const char *name)
{
    struct dns_name *n;

    HASH_FIND(hh, c->names, name, strlen(name), n);
    if (n) {
        TAILQ_REMOVE(&c->least_used, n, use);
        TAILQ_INSERT_TAIL(&c->least_used, n, use);
    }
    return n;
}

static void make_room(struct dns_cache *c)
{
    struct dns_name *n, *next;

    for (n = TAILQ_FIRST(&c->least_used); n && HASH_COUNT(c->names) >= NAMES_MAX; n = next) {
        next = TAILQ_NEXT(n, use);
        if (!dns_name_is_asked_for(n))
            forget(c, n);
    }
}

struct dns_name *dns_cache_add(struct dns_cache *c, const char *name)
{
    size_t length = strlen(name);
    struct dns_name *n;

    make_room(c);
    n = calloc(1, sizeof *n + length + 1);
    if (!n)
        return NULL;
    memcpy(n->name, name, length);
    HASH_ADD(hh, c->names, name[0], length, n);
    if (!n->hh.tbl) {
        free(n);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&c->least_used, n, use);
    return n;
}

struct dns_record *dns_name_record(struct dns_name *n, int family)
{
    return &n->records[dns_place(family)];
}

bool dns_record_is_good(const struct dns_record *r)
{
    return r->state != RECORD_UNKNOWN && clock_ms() < r->good_until_ms;
}

bool dns_name_is_good(struct dns_name *n, int family)
{
    const struct dns_record *r = dns_name_record(n, family);
    const struct dns_record *other = dns_name_record(n, family == AF_INET ? AF_INET6 : AF_INET);

    if (dns_record_is_good(r))
        return true;
    if (r->state == RECORD_UNKNOWN || r->answer.status == RESOLVER_OK ||
        other->answer.status != RESOLVER_OK || !dns_record_is_good(other))
        return false;
    return r->answer.status < RESOLVER_FAILED || clock_ms() < r->answered_ms + PARTIAL_FAILURE_MS;
}

bool dns_record_is_usable(const struct dns_record *r, uint64_t stale_ms)
{
    bool expired = clock_ms() >= r->expires_ms;

    return r->state != RECORD_UNKNOWN && r->answer.status == RESOLVER_OK &&
           (!expired || clock_ms() - r->expires_ms < stale_ms);
}

static void set(struct dns_record *r, enum dns_record_state state, const struct resolver_answer *a,
                uint64_t good_until_ms)
{
    r->state = state;
    r->answer = *a;
    r->answered_ms = clock_ms();
    r->good_until_ms = r->expires_ms = good_until_ms;
}

void dns_record_set_from_file(struct dns_record *r, const struct resolver_answer *a)
{
    set(r, RECORD_FROM_FILE, a, UINT64_MAX);
}

void dns_record_set(struct dns_record *r, const struct resolver_answer *a, uint64_t kept_ms)
{
    set(r, RECORD_ANSWERED, a, clock_ms() + kept_ms);
}

void dns_record_keep_stale(struct dns_record *r, uint64_t kept_ms)
{
    r->state = RECORD_STALE;
    r->good_until_ms = clock_ms() + kept_ms;
}

void dns_cache_expire(struct dns_cache *c)
{
    struct dns_name *n, *next;

    HASH_ITER (hh, c->names, n, next)
        for (int i = 0; i < DNS_FAMILIES; i++) {
            n->records[i].good_until_ms = 0;
            if (n->records[i].state == RECORD_FROM_FILE)
                n->records[i].state = RECORD_UNKNOWN;
        }
}
