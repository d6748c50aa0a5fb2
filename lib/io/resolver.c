#include "io/resolver.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/timer.h"
#include "io/dns_answer.h"
#include "io/dns_cache.h"
#include "io/dns_channel.h"
#include "io/dns_hosts.h"
#include "io/dns_search.h"
#include "io/resolv_conf.h"

#define NAME_SIZE       256
#define FAILURE_KEPT_MS 1000
#define FILES_CHECK_MS  1000
/* After so long without a word from the name servers, an expired answer will do. */
#define PATIENCE_MS 2000

/* One that waits for an answer. */
struct resolver_query {
    TAILQ_ENTRY(resolver_query) link;
    struct query_list *list;
    void (*answered)(void *ctx, const struct resolver_answer *a);
    void *ctx;
};

TAILQ_HEAD(query_list, resolver_query);

/* One that is out to the name servers, for one family. */
struct dns_question {
    struct dns_inquiry *inquiry;
    struct dns_record *record; /* of the inquiry's name; points back */
    uint64_t asked_ms;
    struct timer patience; /* while those wait who could have an expired answer */
    struct query_list waiting;
};

/* What is out about one name. */
struct dns_inquiry {
    struct resolver *resolver;
    struct dns_channel *channel; /* who asks */
    struct dns_search *search;
    struct dns_name *name; /* points back; NULL: other servers were asked meanwhile */
    struct dns_question *questions[DNS_FAMILIES];
};

struct resolver {
    struct event_base *base;
    struct dns_cache *cache;
    struct dns_hosts *hosts;
    struct dns_channel *channel; /* NULL: c-ares could not be set up; tried again with the next question */
    struct dns_channel_list channels;
    uint64_t files_checked_ms;
    struct stat hosts_stat, resolv_conf_stat;
    uint64_t stale_if_error_ms;
    bool (*relieve)(void *ctx);
    void *relieve_ctx;
    struct dns_servers servers;
    char *servers_text; /* of resolver_set_servers() */
};

/* ---- what the answers come from */

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* True when the file is another one than last time. A missing file is like an empty one. */
static bool file_changed(const char *path, struct stat *known)
{
    struct stat now;
    bool same;

    if (stat(path, &now) != 0)
        now = (struct stat){0};
    same = same_file(&now, known);
    *known = now;
    return !same;
}

/* Whether a descriptor can be had. Where none is left, c-ares would take a hosts file that it cannot open for
 * an empty one, and the name would seem not to exist. */
static bool has_descriptor(struct resolver *r)
{
    int fd;

    do {
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd >= 0) {
            close(fd);
            return true;
        }
        if (errno != EMFILE && errno != ENFILE)
            return true;
    } while (r->relieve && r->relieve(r->relieve_ctx));
    return false;
}

static void renew_channel(struct resolver *r)
{
    if (r->channel)
        dns_channel_retire(r->channel);
    r->channel = dns_channel_new(r->base, &r->servers, &r->channels);
}

static void check_files(struct resolver *r)
{
    bool usable = r->channel && dns_channel_is_usable(r->channel);
    bool hosts_changed, servers_changed;

    if (usable && clock_ms() - r->files_checked_ms < FILES_CHECK_MS)
        return;
    if (!has_descriptor(r))
        return;
    r->files_checked_ms = clock_ms();
    hosts_changed = file_changed(RESOLV_HOSTS_PATH, &r->hosts_stat);
    servers_changed = file_changed(RESOLV_CONF_PATH, &r->resolv_conf_stat);
    if (servers_changed || !usable)
        renew_channel(r);
    if (hosts_changed || servers_changed)
        dns_cache_expire(r->cache);
}

/* ---- answers */

static void give_answer(const struct resolver_answer *answer,
                        void (*answered)(void *, const struct resolver_answer *), void *ctx)
{
    /* The one that is notified may ask again, and the record may change meanwhile. */
    struct resolver_answer copy = *answer;

    answered(ctx, &copy);
}

static void tell_failure(enum resolver_status status, const char *text,
                         void (*answered)(void *, const struct resolver_answer *), void *ctx)
{
    answered(ctx, &(struct resolver_answer){.status = status, .text = text});
}

/* Empties the list first: the one that is notified may ask again or cancel another's query. */
static void tell_all(struct query_list *waiting, const struct resolver_answer *answer)
{
    struct query_list now = TAILQ_HEAD_INITIALIZER(now);
    struct resolver_answer copy = *answer;
    struct resolver_query *q;

    TAILQ_CONCAT(&now, waiting, link);
    TAILQ_FOREACH (q, &now, link)
        q->list = &now;
    while ((q = TAILQ_FIRST(&now))) {
        TAILQ_REMOVE(&now, q, link);
        q->answered(q->ctx, &copy);
        free(q);
    }
}

/* The name servers fail, and an expired answer is what there is. */
static void use_on(const struct dns_question *q, const char *why)
{
    struct dns_record *r = q->record;

    if (r->state != RECORD_STALE)
        log_event(LOG_WARN, "the name servers fail: an expired answer stays in use (dns.staleIfError)",
                  LOG_S("name", q->inquiry->name->name), LOG_S("error", why));
    dns_record_keep_stale(r, FAILURE_KEPT_MS);
}

/* resolv.conf has changed since: what these servers say is for those who wait for it only. */
static bool is_outdated(const struct dns_inquiry *i)
{
    return i->channel != i->resolver->channel;
}

static void take_answer(struct dns_question *q, const struct dns_search_answer *a)
{
    const struct resolver_answer *answer = a->answer;
    const struct dns_inquiry *i = q->inquiry;
    struct dns_record *r = q->record;
    bool failed = answer->status >= RESOLVER_FAILED;

    log_event(LOG_DEBUG, "name resolved", LOG_S("name", i->name->name),
              LOG_N("family", a->family == AF_INET ? 4 : 6), LOG_N("addresses", answer->count),
              LOG_S("error", answer->text), LOG_N("ttlS", (long long)a->ttl_s));
    if (r->state == RECORD_FROM_FILE) /* the name was written there meanwhile */
        return;
    if (r->state == RECORD_STALE && !failed)
        log_event(LOG_INFO, "the name servers answer again", LOG_S("name", i->name->name));
    if (failed && dns_record_is_usable(r, i->resolver->stale_if_error_ms))
        use_on(q, answer->text);
    else if (answer->status == RESOLVER_OK)
        dns_record_set(r, answer, is_outdated(i) ? 0 : a->ttl_s * 1000);
    else
        dns_record_set(r, answer, a->own_trouble ? 0 : FAILURE_KEPT_MS);
}

static void on_answer(void *ctx, const struct dns_search_answer *a)
{
    struct dns_inquiry *i = ctx;
    struct dns_question **at = &i->questions[dns_place(a->family)], *q = *at;
    struct dns_record *r = q->record;

    *at = NULL;
    if (i->name) {
        take_answer(q, a);
        i->name->under = a->under;
        r->question = NULL;
        timer_release(&q->patience);
    }
    if (a->last && i->name)
        i->name->inquiry = NULL;
    bool known = i->name != NULL;
    if (a->last)
        free(i);
    tell_all(&q->waiting, known ? &r->answer : a->answer);
    free(q);
}

static void on_patience_over(void *ctx)
{
    struct dns_question *q = ctx;

    if (!dns_record_is_usable(q->record, q->inquiry->resolver->stale_if_error_ms))
        return;
    use_on(q, "no answer within 2 s");
    tell_all(&q->waiting, &q->record->answer);
}

/* ---- asking */

/* The one that is under way, or a new one. NULL: memory is short. Where the other family's addresses are
 * known, those of the same host are wanted. */
static struct dns_inquiry *find_inquiry(struct resolver *r, struct dns_name *n, int family)
{
    const struct dns_record *other = dns_name_record(n, family == AF_INET ? AF_INET6 : AF_INET);
    bool fixed = other->answer.status == RESOLVER_OK && dns_record_is_good(other);
    struct dns_inquiry *i;

    if (n->inquiry)
        return n->inquiry;
    i = r->channel ? calloc(1, sizeof *i) : NULL;
    if (!i)
        return NULL;
    *i = (struct dns_inquiry){.resolver = r, .channel = r->channel, .name = n};
    i->search = dns_search_new(r->channel, n->name, fixed ? n->under : 0, fixed, on_answer, i);
    if (!i->search) {
        free(i);
        return NULL;
    }
    n->inquiry = i;
    return i;
}

/* Sends a question out, or has its answer at once. False: memory is short. */
static bool send_question(struct resolver *r, struct dns_name *n, int family)
{
    struct dns_question *q = calloc(1, sizeof *q);
    struct dns_inquiry *i = q ? find_inquiry(r, n, family) : NULL;

    if (!i) {
        free(q);
        return false;
    }
    q->inquiry = i;
    q->record = dns_name_record(n, family);
    q->asked_ms = clock_ms();
    TAILQ_INIT(&q->waiting);
    timer_init(&q->patience, r->base, on_patience_over, q);
    q->record->question = q;
    i->questions[dns_place(family)] = q;
    dns_search_ask(i->search, family);
    return true;
}

static struct resolver_query *wait_for(struct dns_question *question,
                                       void (*answered)(void *, const struct resolver_answer *), void *ctx)
{
    struct resolver_query *q = malloc(sizeof *q);
    bool usable = dns_record_is_usable(question->record, question->inquiry->resolver->stale_if_error_ms);

    if (!q)
        return NULL;
    *q = (struct resolver_query){.list = &question->waiting, .answered = answered, .ctx = ctx};
    TAILQ_INSERT_TAIL(&question->waiting, q, link);
    if (usable && !timer_is_set(&question->patience))
        timer_set_at(&question->patience, question->asked_ms + PATIENCE_MS);
    return q;
}

/* Whether the hosts file has it: then no server is asked, for either family. */
static bool ask_file(struct resolver *r, struct dns_name *n, const char *name)
{
    struct resolver_answer v4, v6;

    if (!dns_hosts_find(r->hosts, name, &v4, &v6)) {
        if (!dns_is_localhost(name))
            return false;
        dns_answer_loopback(&v4, AF_INET);
        dns_answer_loopback(&v6, AF_INET6);
    }
    dns_record_set_from_file(dns_name_record(n, AF_INET), &v4);
    dns_record_set_from_file(dns_name_record(n, AF_INET6), &v6);
    return true;
}

/* A question asked now does not wait for the servers of before. */
static void let_go_of_outdated(struct dns_name *n)
{
    struct dns_inquiry *i = n->inquiry;

    if (!i || !is_outdated(i))
        return;
    for (int place = 0; place < DNS_FAMILIES; place++) {
        if (i->questions[place])
            timer_release(&i->questions[place]->patience);
        n->records[place].question = NULL;
    }
    i->name = NULL;
    n->inquiry = NULL;
}

/* In the hosts file, unless that was done a moment ago, or by a question. False: memory is short. */
static bool find_answer(struct resolver *r, struct dns_name *n, struct dns_record *record, const char *name,
                        int family)
{
    let_go_of_outdated(n);
    if (record->question || (!dns_name_is_asked_for(n) && ask_file(r, n, name)))
        return true;
    return send_question(r, n, family);
}

/* The name is new, or what is known of it is no longer good. */
static struct resolver_query *ask_anew(struct resolver *r, const char *name, int family,
                                       void (*answered)(void *, const struct resolver_answer *), void *ctx)
{
    struct dns_name *n = dns_cache_find(r->cache, name);
    struct dns_record *record;
    struct resolver_query *q;

    if (!n)
        n = dns_cache_add(r->cache, name);
    record = n ? dns_name_record(n, family) : NULL;
    if (!n || !find_answer(r, n, record, name, family)) {
        tell_failure(RESOLVER_FAILED, "out of memory, or /etc/resolv.conf cannot be read", answered, ctx);
        return NULL;
    }
    /* Servers that failed the last time are not waited for again. */
    if (!record->question || record->state == RECORD_FROM_FILE ||
        (record->state == RECORD_STALE && dns_record_is_usable(record, r->stale_if_error_ms))) {
        give_answer(&record->answer, answered, ctx);
        return NULL;
    }
    q = wait_for(record->question, answered, ctx);
    if (!q)
        tell_failure(RESOLVER_FAILED, "out of memory", answered, ctx);
    return q;
}

static bool to_lower(char out[NAME_SIZE], const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n >= NAME_SIZE)
        return false;
    for (size_t i = 0; i <= n; i++)
        out[i] = (char)tolower((unsigned char)name[i]);
    return true;
}

/* Names below localhost need no cache. */
static bool is_below_localhost(const char *name)
{
    return dns_is_localhost(name) && strchr(name, '.');
}

struct resolver_query *resolver_ask(struct resolver *r, const char *name, int family,
                                    void (*answered)(void *ctx, const struct resolver_answer *a), void *ctx)
{
    char lower[NAME_SIZE];
    struct resolver_answer loopback;
    struct dns_name *n;

    assert(family == AF_INET || family == AF_INET6);
    if (!to_lower(lower, name)) {
        tell_failure(RESOLVER_NOT_FOUND, "the name is empty or too long", answered, ctx);
        return NULL;
    }
    if (is_below_localhost(lower)) {
        dns_answer_loopback(&loopback, family);
        answered(ctx, &loopback);
        return NULL;
    }
    check_files(r);
    n = dns_cache_find(r->cache, lower);
    if (n && dns_name_is_good(n, family)) {
        give_answer(&dns_name_record(n, family)->answer, answered, ctx);
        return NULL;
    }
    if (!has_descriptor(r)) {
        tell_failure(
            RESOLVER_NO_RESOURCES,
            "no descriptor is left to ask with: raise the limit of open files (LimitNOFILE=, ulimit -n)",
            answered, ctx);
        return NULL;
    }
    return ask_anew(r, lower, family, answered, ctx);
}

void resolver_cancel(struct resolver_query *q)
{
    TAILQ_REMOVE(q->list, q, link);
    free(q);
}

/* ---- life */

struct resolver *resolver_new(struct event_base *base)
{
    struct resolver *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->base = base;
    r->cache = dns_cache_new();
    r->hosts = dns_hosts_new();
    if (r->cache && r->hosts)
        check_files(r);
    if (r->channel)
        return r;
    resolver_free(r);
    return NULL;
}

void resolver_set_relief(struct resolver *r, bool (*relieve)(void *ctx), void *ctx)
{
    r->relieve = relieve;
    r->relieve_ctx = ctx;
}

void resolver_set_stale_if_error(struct resolver *r, uint64_t ms)
{
    r->stale_if_error_ms = ms;
}

bool resolver_set_servers(struct resolver *r, const char *servers, int timeout_ms, int tries)
{
    char *copy = strdup(servers);

    if (!copy)
        return false;
    free(r->servers_text);
    r->servers_text = copy;
    r->servers = (struct dns_servers){copy, timeout_ms, tries};
    renew_channel(r);
    dns_cache_expire(r->cache);
    return r->channel != NULL;
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    while (!LIST_EMPTY(&r->channels))
        dns_channel_free(LIST_FIRST(&r->channels));
    dns_cache_free(r->cache);
    dns_hosts_free(r->hosts);
    free(r->servers_text);
    free(r);
}
