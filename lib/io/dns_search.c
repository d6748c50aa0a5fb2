#include "io/dns_search.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "io/dns_answer.h"
#include "io/resolv_conf.h"

enum { PART_V4, PART_V6, PARTS };

/* What is asked about one family.
 *
 *            asked              none under this name, and the other family is still asked
 *   OFF -------------> ASKED ------------------------------------------------------------> HELD
 *    ^                   |  ^                                                               |
 *    |                   |  +-- none for either: the next name -----------------------------+
 *    +---- answered -----+------------------------------------------------------------------+
 */
struct part {
    struct dns_search *search;
    int family;
    enum { PART_OFF, PART_ASKED, PART_HELD } state;
    struct dns_query *query; /* ASKED */
    bool exists;             /* a name that was looked under has no address of this family, but exists */
};

struct dns_search {
    struct dns_channel *channel;
    void (*answered)(void *ctx, const struct dns_search_answer *a);
    void *ctx;
    unsigned under;
    bool fixed;    /* there are addresses under this name, or it is not known: no other is looked under */
    unsigned busy; /* calls below which it may not be freed */
    bool over;     /* it is referred to no more */
    struct part parts[PARTS];
    char name[];
};

struct dns_search *dns_search_new(struct dns_channel *ch, const char *name, unsigned under, bool fixed,
                                  void (*answered)(void *ctx, const struct dns_search_answer *a), void *ctx)
{
    size_t size = strlen(name) + 1;
    struct dns_search *s = calloc(1, sizeof *s + size);

    if (!s)
        return NULL;
    s->channel = ch;
    s->answered = answered;
    s->ctx = ctx;
    s->under = under;
    s->fixed = fixed;
    s->parts[PART_V4] = (struct part){.search = s, .family = AF_INET};
    s->parts[PART_V6] = (struct part){.search = s, .family = AF_INET6};
    memcpy(s->name, name, size);
    return s;
}

static struct part *other_part(struct part *p)
{
    return &p->search->parts[p->family == AF_INET ? PART_V6 : PART_V4];
}

static void leave(struct dns_search *s)
{
    if (--s->busy == 0 && s->over)
        free(s);
}

static void deliver(struct part *p, const struct resolver_answer *answer, uint64_t ttl_s, bool own_trouble)
{
    struct dns_search *s = p->search;

    if (p->query)
        dns_channel_drop(p->query);
    p->query = NULL;
    p->state = PART_OFF;
    s->over = other_part(p)->state == PART_OFF;
    s->answered(s->ctx, &(struct dns_search_answer){.family = p->family,
                                                    .answer = answer,
                                                    .ttl_s = ttl_s,
                                                    .own_trouble = own_trouble,
                                                    .under = s->under,
                                                    .last = s->over});
}

/* It has none, under no name. */
static void deliver_none(struct part *p)
{
    struct resolver_answer none;

    if (p->state == PART_OFF)
        return;
    dns_answer_set(&none, p->family, p->exists ? ARES_ENODATA : ARES_ENOTFOUND, NULL);
    deliver(p, &none, 0, false);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info);

static void ask(struct part *p)
{
    struct dns_search *s = p->search;
    char name[RESOLV_NAME_SIZE];
    struct dns_query *q;

    p->state = PART_ASKED;
    p->query = NULL;
    resolv_conf_candidate(dns_channel_conf(s->channel), s->name, s->under, name);
    q = dns_channel_ask(s->channel, name, p->family, on_answer, p);
    if (q)
        p->query = q;
}

/* Neither family has an address under this name. */
static void go_to_next_name(struct dns_search *s)
{
    char name[RESOLV_NAME_SIZE];
    bool wanted[PARTS];

    if (!resolv_conf_candidate(dns_channel_conf(s->channel), s->name, s->under + 1, name)) {
        for (int i = 0; i < PARTS; i++)
            deliver_none(&s->parts[i]);
        return;
    }
    s->under++;
    for (int i = 0; i < PARTS; i++) {
        struct part *p = &s->parts[i];
        wanted[i] = p->state != PART_OFF;
        if (p->query)
            dns_channel_drop(p->query);
        p->query = NULL;
    }
    for (int i = 0; i < PARTS; i++)
        if (wanted[i] && !s->parts[i].query && s->parts[i].state != PART_OFF)
            ask(&s->parts[i]);
}

/* No address of this family under this name. Where there is no name at all, nothing is waited for; servers
 * that say so of AAAA alone, though there is an A, are known (RFC 4074 4.2). */
static void take_none(struct part *p, enum resolver_status status)
{
    struct dns_search *s = p->search;
    bool no_name = status == RESOLVER_NOT_FOUND && p->family == AF_INET;

    p->exists |= status == RESOLVER_NO_ADDRESS;
    if (s->fixed)
        deliver_none(p);
    else if (other_part(p)->state == PART_ASKED && !no_name)
        p->state = PART_HELD;
    else
        go_to_next_name(s);
}

static void take(struct part *p, int status, const struct ares_addrinfo *info)
{
    struct dns_search *s = p->search;
    struct resolver_answer answer;
    uint64_t ttl_s = dns_answer_set(&answer, p->family, status, info);

    p->query = NULL;
    if (answer.status == RESOLVER_NO_ADDRESS || answer.status == RESOLVER_NOT_FOUND) {
        take_none(p, answer.status);
        return;
    }
    s->fixed = true;
    deliver(p, &answer, ttl_s, dns_is_own_trouble(status));
    /* It waited for what this one would say: there is a host, or it is not known. */
    if (other_part(p)->state == PART_HELD)
        deliver_none(other_part(p));
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct part *p = arg;
    struct dns_search *s = p->search;

    (void)timeouts;
    s->busy++;
    take(p, status, info);
    if (info)
        ares_freeaddrinfo(info);
    leave(s);
}

void dns_search_ask(struct dns_search *s, int family)
{
    struct part *p = &s->parts[family == AF_INET ? PART_V4 : PART_V6];

    s->busy++;
    p->exists = false;
    ask(p);
    leave(s);
}
