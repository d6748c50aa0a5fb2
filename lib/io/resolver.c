#include "io/resolver.h"

#include <ares.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/timer.h"
#include "io/dns_answer.h"
#include "io/resolv_conf.h"

#define CACHE_MAX       1024
#define FAILURE_KEPT_MS 1000
#define FILES_CHECK_MS  1000

/* A name and family, as one word of the cache: "4", "6" or "*" and the name in lower case. */
#define KEY_SIZE (1 + 255 + 1)

/* One that waits for an answer. */
struct resolver_query {
    TAILQ_ENTRY(resolver_query) link;
    struct entry *entry;
    void (*answered)(void *ctx, const struct resolver_answer *a);
    void *ctx;
};

TAILQ_HEAD(query_list, resolver_query);

/* What is known about a name.
 *
 *   ASKING ----> KNOWN ----> gone (expired, the oldest of too many, files changed)
 *      \---------------------> gone at once (an answer that may not be kept)
 */
struct entry {
    UT_hash_handle hh;
    TAILQ_ENTRY(entry) age; /* KNOWN: oldest first */
    struct resolver *resolver;
    struct channel *channel; /* ASKING: who does it */
    enum { ENTRY_ASKING, ENTRY_KNOWN } state;
    bool called;         /* c-ares has answered from within the call: from the hosts file, or by failing */
    bool stale;          /* to go as soon as nobody reads it */
    uint32_t readers;    /* callbacks that are looking at the answer */
    uint64_t good_until; /* clock_ms() */
    struct query_list waiting;
    struct resolver_answer answer;
    char key[KEY_SIZE];
};

TAILQ_HEAD(entry_list, entry);

/* A descriptor of c-ares'. */
struct watch {
    LIST_ENTRY(watch) link;
    struct channel *channel;
    struct event event;
    int fd;
};

/* c-ares with one reading of resolv.conf. When that file changes, a new one takes over, and the old one ends
 * with its last query. */
struct channel {
    LIST_ENTRY(channel) link;
    struct resolver *resolver;
    ares_channel ares;
    LIST_HEAD(, watch) watches;
    struct timer timer;
    uint32_t asking;
    bool retired;
    bool busy; /* c-ares is at work below us */
    bool
        deaf; /* a descriptor could not be watched: what waits for it would wait in vain, and so would all who
                  come while it waits */
};

struct resolver {
    struct event_base *base;
    struct channel *channel; /* NULL: c-ares could not be set up; tried again with the next query */
    LIST_HEAD(, channel) retired;
    struct entry *entries; /* by key */
    struct entry_list known;
    uint32_t known_count;
    uint64_t files_checked;
    struct stat hosts, resolv_conf;
    bool (*relieve)(void *ctx);
    void *relieve_ctx;
    char *servers; /* of resolver_set_servers() */
    int timeout_ms, tries;
};

/* ---- c-ares on the loop */

static void channel_free(struct channel *ch)
{
    struct watch *w;

    ares_destroy(ch->ares);
    while ((w = LIST_FIRST(&ch->watches))) {
        LIST_REMOVE(w, link);
        event_del(&w->event);
        free(w);
    }
    timer_release(&ch->timer);
    if (ch->retired)
        LIST_REMOVE(ch, link);
    free(ch);
}

/* When c-ares wants to be called though nothing has arrived. */
static void channel_set_timer(struct channel *ch)
{
    struct timeval tv;

    if (ch->deaf)
        timer_set(&ch->timer, 1);
    else if (!ares_timeout(ch->ares, NULL, &tv))
        timer_clear(&ch->timer);
    else
        timer_set(&ch->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
}

static void channel_process(struct channel *ch, ares_socket_t readable, ares_socket_t writable)
{
    ch->busy = true;
    ares_process_fd(ch->ares, readable, writable);
    ch->busy = false;
    if (ch->retired && ch->asking == 0)
        channel_free(ch);
    else
        channel_set_timer(ch);
}

static void channel_retire(struct resolver *r);

/* Who waits is told now, and the next question is a new one's. */
static void channel_give_up(struct channel *ch)
{
    ch->busy = true;
    if (!ch->retired)
        channel_retire(ch->resolver);
    ares_cancel(ch->ares);
    assert(ch->asking == 0);
    channel_free(ch);
}

static void channel_timer(void *ctx)
{
    struct channel *ch = ctx;

    if (ch->deaf)
        channel_give_up(ch);
    else
        channel_process(ch, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void channel_ready(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;

    clock_update();
    channel_process(w->channel, (what & EV_READ) ? fd : ARES_SOCKET_BAD,
                    (what & EV_WRITE) ? fd : ARES_SOCKET_BAD);
}

static struct watch *find_watch(struct channel *ch, int fd)
{
    struct watch *w;

    LIST_FOREACH (w, &ch->watches, link)
        if (w->fd == fd)
            return w;
    return NULL;
}

/* c-ares says which descriptors it has open and what it waits for there. */
static void channel_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct channel *ch = ctx;
    struct watch *w = find_watch(ch, fd);
    short what = (short)(EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

    if (w) {
        event_del(&w->event);
        LIST_REMOVE(w, link);
    }
    if (!readable && !writable) {
        free(w);
        return;
    }
    if (!w && !(w = calloc(1, sizeof *w))) {
        ch->deaf = true;
        return;
    }
    w->channel = ch;
    w->fd = fd;
    LIST_INSERT_HEAD(&ch->watches, w, link);
    event_assign(&w->event, ch->resolver->base, fd, what, channel_ready, w);
    ch->deaf |= event_add(&w->event, NULL) != 0;
}

static struct channel *channel_new(struct resolver *r)
{
    struct channel *ch = calloc(1, sizeof *ch);
    struct resolv_conf conf;
    struct ares_options options = {
        .sock_state_cb = channel_socket, .sock_state_cb_data = ch, .lookups = (char[]){"fb"}};

    if (!ch)
        return NULL;
    resolv_conf_read(RESOLV_CONF_PATH, &conf);
    options.timeout = r->servers ? r->timeout_ms : conf.timeout_ms;
    options.tries = r->servers ? r->tries : conf.attempts;
    options.flags = ARES_FLAG_NOALIASES;
    ch->resolver = r;
    timer_init(&ch->timer, r->base, channel_timer, ch);
    if (ares_init_options(&ch->ares, &options,
                          ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                              ARES_OPT_FLAGS) != ARES_SUCCESS) {
        free(ch);
        return NULL;
    }
    if (r->servers)
        ares_set_servers_ports_csv(ch->ares, r->servers);
    return ch;
}

static void channel_retire(struct resolver *r)
{
    struct channel *ch = r->channel;

    r->channel = NULL;
    if (!ch)
        return;
    ch->retired = true;
    LIST_INSERT_HEAD(&r->retired, ch, link);
    if (ch->asking == 0 && !ch->busy)
        channel_free(ch);
}

/* ---- the cache */

static void entry_get(struct entry *e)
{
    e->readers++;
}

static void entry_put(struct entry *e)
{
    if (--e->readers == 0 && e->stale)
        free(e);
}

/* Takes it out of the cache; frees it unless its answer is being read. */
static void entry_drop(struct entry *e)
{
    struct resolver *r = e->resolver;

    assert(e->state == ENTRY_KNOWN && !e->stale);
    entry_get(e);
    HASH_DEL(r->entries, e);
    TAILQ_REMOVE(&r->known, e, age);
    r->known_count--;
    e->stale = true;
    entry_put(e);
}

static void forget_all(struct resolver *r)
{
    struct entry *e;

    while ((e = TAILQ_FIRST(&r->known)))
        entry_drop(e); /* NOLINT(clang-analyzer-unix.Malloc): HASH_DEL and TAILQ_REMOVE take it away */
}

static void tell(struct entry *e, void (*answered)(void *, const struct resolver_answer *), void *ctx)
{
    entry_get(e);
    answered(ctx, &e->answer);
    entry_put(e);
}

/* Everybody who waits is told; whoever asks meanwhile finds it in the cache. */
static void entry_known(struct entry *e, uint64_t kept_ms)
{
    struct resolver *r = e->resolver;
    struct resolver_query *q;

    e->state = ENTRY_KNOWN;
    e->good_until = kept_ms == UINT64_MAX ? UINT64_MAX : clock_ms() + kept_ms;
    if (r->known_count == CACHE_MAX)
        entry_drop(TAILQ_FIRST(&r->known));
    TAILQ_INSERT_TAIL(&r->known, e, age);
    r->known_count++;
    entry_get(e);
    if (kept_ms == 0)
        entry_drop(e);
    while ((q = TAILQ_FIRST(&e->waiting))) {
        TAILQ_REMOVE(&e->waiting, q, link);
        q->answered(q->ctx, &e->answer);
        free(q);
    }
    entry_put(e);
}

/* ---- answers */

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct entry *e = arg;
    bool from_file = e->called && status == ARES_SUCCESS;
    uint64_t ttl, kept_ms;

    (void)timeouts;
    e->channel->asking--;
    ttl = dns_answer_set(&e->answer, status, info);
    kept_ms = status == ARES_SUCCESS ? ttl * 1000 : FAILURE_KEPT_MS;
    if (info)
        ares_freeaddrinfo(info);
    /* The hosts file has no TTL: its answers hold until it changes. */
    if (from_file)
        kept_ms = UINT64_MAX;
    if (status != ARES_SUCCESS && dns_is_localhost(e->key + 1)) {
        dns_answer_loopback(&e->answer, e->key[0]);
        kept_ms = UINT64_MAX;
    }
    log_event(LOG_DEBUG, "name resolved", LOG_S("name", e->key + 1), LOG_N("addresses", e->answer.count),
              LOG_S("error", e->answer.text),
              LOG_N("keptMs", kept_ms == UINT64_MAX ? -1 : (long long)kept_ms));
    /* What was our own trouble says nothing of the name. */
    if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED || status == ARES_ENOMEM)
        kept_ms = 0;
    entry_known(e, kept_ms);
}

/* ---- asking */

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

/* Whether a descriptor can be had. Where none is left, c-ares would take a hosts file that it cannot open for an empty
 * one, and the name would seem not to exist. */
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

static void check_files(struct resolver *r)
{
    bool hosts_changed;

    if (r->channel && clock_ms() - r->files_checked < FILES_CHECK_MS)
        return;
    if (!has_descriptor(r))
        return;
    r->files_checked = clock_ms();
    hosts_changed = file_changed(RESOLV_HOSTS_PATH, &r->hosts);
    if (file_changed(RESOLV_CONF_PATH, &r->resolv_conf) || !r->channel) {
        channel_retire(r);
        r->channel = channel_new(r);
        hosts_changed = true;
    }
    if (hosts_changed)
        forget_all(r);
}

static bool make_key(char key[KEY_SIZE], const char *name, int family)
{
    size_t n = strlen(name);

    if (n == 0 || n + 2 > KEY_SIZE)
        return false;
    key[0] = '*';
    if (family != AF_UNSPEC)
        key[0] = (char)(family == AF_INET ? '4' : '6');
    for (size_t i = 0; i < n; i++)
        key[1 + i] = (char)tolower((unsigned char)name[i]);
    key[1 + n] = '\0';
    return true;
}

static void answer_now(void (*answered)(void *, const struct resolver_answer *), void *ctx,
                       enum resolver_status status, const char *text)
{
    answered(ctx, &(struct resolver_answer){.status = status, .text = text});
}

static struct entry *entry_new(struct resolver *r, const char *key)
{
    struct entry *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->resolver = r;
    TAILQ_INIT(&e->waiting);
    memcpy(e->key, key, strlen(key) + 1);
    HASH_ADD_STR(r->entries, key, e);
    if (e->hh.tbl)
        return e;
    free(e);
    return NULL;
}

/* Sends the query out. True when c-ares answered from within (the hosts file does): then the entry is known
 * and the caller holds it, until entry_put(). */
static bool entry_ask(struct entry *e)
{
    struct channel *ch = e->resolver->channel;
    int family = e->key[0] == '4' ? AF_INET : e->key[0] == '6' ? AF_INET6 : AF_UNSPEC;
    struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};

    entry_get(e);
    e->channel = ch;
    e->called = true;
    ch->asking++;
    ares_getaddrinfo(ch->ares, e->key + 1, NULL, &hints, on_answer, e);
    channel_set_timer(ch);
    e->called = false;
    if (e->state == ENTRY_KNOWN)
        return true;
    entry_put(e);
    return false;
}

struct resolver_query *resolver_ask(struct resolver *r, const char *name, int family,
                                    void (*answered)(void *ctx, const struct resolver_answer *a), void *ctx)
{
    char key[KEY_SIZE];
    struct entry *e;
    struct resolver_query *q;

    if (!make_key(key, name, family)) {
        answer_now(answered, ctx, RESOLVER_NOT_FOUND, "the name is empty or too long");
        return NULL;
    }
    if (dns_is_localhost(key + 1) && strchr(key + 1, '.')) {
        struct resolver_answer loopback;

        dns_answer_loopback(&loopback, key[0]);
        answered(ctx, &loopback);
        return NULL;
    }
    check_files(r);
    HASH_FIND_STR(r->entries, key, e); /* NOLINT(clang-analyzer-core.*): it reads strlen(key) bytes */
    if (e && e->state == ENTRY_KNOWN && clock_ms() < e->good_until) {
        tell(e, answered, ctx);
        return NULL;
    }
    if (e && e->state == ENTRY_KNOWN) {
        entry_drop(e);
        e = NULL;
    }
    if (!e && !has_descriptor(r)) {
        answer_now(
            answered, ctx, RESOLVER_NO_RESOURCES,
            "no descriptor is left to ask with: raise the limit of open files (LimitNOFILE=, ulimit -n)");
        return NULL;
    }
    q = calloc(1, sizeof *q);
    if (q && !e && r->channel)
        e = entry_new(r, key);
    if (!q || !e) {
        free(q);
        answer_now(answered, ctx, RESOLVER_FAILED, "out of memory, or /etc/resolv.conf cannot be read");
        return NULL;
    }
    *q = (struct resolver_query){.entry = e, .answered = answered, .ctx = ctx};
    if (e->channel == NULL && entry_ask(e)) {
        free(q);
        answered(ctx, &e->answer);
        entry_put(e);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&e->waiting, q, link);
    return q;
}

void resolver_cancel(struct resolver_query *q)
{
    TAILQ_REMOVE(&q->entry->waiting, q, link);
    free(q);
}

/* ---- life */

struct resolver *resolver_new(struct event_base *base)
{
    struct resolver *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->base = base;
    TAILQ_INIT(&r->known);
    check_files(r);
    if (r->channel)
        return r;
    free(r);
    return NULL;
}

void resolver_set_relief(struct resolver *r, bool (*relieve)(void *ctx), void *ctx)
{
    r->relieve = relieve;
    r->relieve_ctx = ctx;
}

bool resolver_set_servers(struct resolver *r, const char *servers, int timeout_ms, int tries)
{
    char *copy = strdup(servers);

    if (!copy)
        return false;
    free(r->servers);
    r->servers = copy;
    r->timeout_ms = timeout_ms;
    r->tries = tries;
    channel_retire(r);
    forget_all(r);
    r->channel = channel_new(r);
    return r->channel != NULL;
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    channel_retire(r);
    while (!LIST_EMPTY(&r->retired)) {
        assert(LIST_FIRST(&r->retired)->retired);
        channel_free(LIST_FIRST(&r->retired));
    }
    forget_all(r);
    assert(!r->entries);
    free(r->servers);
    free(r);
}
