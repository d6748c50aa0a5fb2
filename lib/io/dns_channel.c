#include "io/dns_channel.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/timer.h"
#include "io/resolv_conf.h"

/* A descriptor of c-ares'. */
struct watch {
    LIST_ENTRY(watch) link;
    struct dns_channel *channel;
    struct event event;
    int fd;
};

struct dns_channel {
    LIST_ENTRY(dns_channel) link;
    struct event_base *base;
    ares_channel ares;
    LIST_HEAD(, watch) watches;
    struct timer timer;
    uint32_t asking;
    struct resolv_conf conf;
    bool retired;
    bool busy;      /* c-ares is at work below us */
    bool unwatched; /* a descriptor could not be watched: what waits for it would never get it */
};

struct dns_query {
    struct dns_channel *channel;
    ares_addrinfo_callback answered; /* NULL: the answer is not wanted any more */
    void *ctx;
    enum { QUERY_BEGINS, QUERY_WAITS, QUERY_ENDED } state;
};

void dns_channel_free(struct dns_channel *ch)
{
    struct watch *w;

    ares_destroy(ch->ares);
    while ((w = LIST_FIRST(&ch->watches))) {
        LIST_REMOVE(w, link);
        event_del(&w->event);
        free(w);
    }
    timer_release(&ch->timer);
    LIST_REMOVE(ch, link);
    free(ch);
}

/* When c-ares wants to be called though nothing has arrived. */
static void set_timer(struct dns_channel *ch)
{
    struct timeval tv;

    if (ch->unwatched)
        timer_set(&ch->timer, 1);
    else if (!ares_timeout(ch->ares, NULL, &tv))
        timer_clear(&ch->timer);
    else
        timer_set(&ch->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
}

/* Lets c-ares work; the channel may be gone afterwards. */
static void process(struct dns_channel *ch, ares_socket_t readable, ares_socket_t writable)
{
    bool gives_up = ch->unwatched;

    ch->busy = true;
    if (gives_up)
        ares_cancel(ch->ares);
    else
        ares_process_fd(ch->ares, readable, writable);
    ch->busy = false;
    if (ch->retired && ch->asking == 0)
        dns_channel_free(ch);
    else if (!gives_up)
        set_timer(ch);
}

static void on_timer(void *ctx)
{
    process(ctx, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;

    clock_update();
    process(w->channel, (what & EV_READ) ? fd : ARES_SOCKET_BAD, (what & EV_WRITE) ? fd : ARES_SOCKET_BAD);
}

static struct watch *find_watch(struct dns_channel *ch, int fd)
{
    struct watch *w;

    LIST_FOREACH (w, &ch->watches, link)
        if (w->fd == fd)
            return w;
    return NULL;
}

/* c-ares says which descriptors it has open and what it waits for there. */
static void on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct dns_channel *ch = ctx;
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
        ch->unwatched = true;
        return;
    }
    w->channel = ch;
    w->fd = fd;
    LIST_INSERT_HEAD(&ch->watches, w, link);
    event_assign(&w->event, ch->base, fd, what, on_ready, w);
    ch->unwatched |= event_add(&w->event, NULL) != 0;
}

/* The hosts file is read elsewhere, and answers are kept elsewhere. */
static int init(struct dns_channel *ch, const struct dns_servers *from)
{
    struct ares_options options = {
        .sock_state_cb = on_socket, .sock_state_cb_data = ch, .lookups = (char[]){"b"}};
    int mask =
        ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_FLAGS;

    if (!resolv_conf_read(RESOLV_CONF_PATH, &ch->conf))
        return ARES_ENOMEM; /* c-ares would take it for an empty file */
    options.timeout = from->servers ? from->timeout_ms : ch->conf.timeout_ms;
    options.tries = from->servers ? from->tries : ch->conf.attempts;
    options.flags = ARES_FLAG_NOALIASES;
#ifdef HAVE_STRUCT_ARES_OPTIONS_QCACHE_MAX_TTL
    options.qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    return ares_init_options(&ch->ares, &options, mask);
}

struct dns_channel *dns_channel_new(struct event_base *base, const struct dns_servers *from,
                                    struct dns_channel_list *list)
{
    struct dns_channel *ch = calloc(1, sizeof *ch);

    if (!ch)
        return NULL;
    ch->base = base;
    timer_init(&ch->timer, base, on_timer, ch);
    if (init(ch, from) != ARES_SUCCESS) {
        free(ch);
        return NULL;
    }
    if (from->servers)
        ares_set_servers_ports_csv(ch->ares, from->servers);
    LIST_INSERT_HEAD(list, ch, link);
    return ch;
}

bool dns_channel_is_usable(const struct dns_channel *ch)
{
    return !ch->unwatched;
}

const struct resolv_conf *dns_channel_conf(const struct dns_channel *ch)
{
    return &ch->conf;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct dns_query *q = arg;
    bool begins = q->state == QUERY_BEGINS;

    q->channel->asking--;
    q->state = QUERY_ENDED;
    if (q->answered)
        q->answered(q->ctx, status, timeouts, info);
    else if (info)
        ares_freeaddrinfo(info);
    if (!begins)
        free(q);
}

struct dns_query *dns_channel_ask(struct dns_channel *ch, const char *name, int family,
                                  ares_addrinfo_callback answered, void *ctx)
{
    struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    struct dns_query *q = malloc(sizeof *q);

    if (!q) {
        answered(ctx, ARES_ENOMEM, 0, NULL);
        return NULL;
    }
    *q = (struct dns_query){.channel = ch, .answered = answered, .ctx = ctx, .state = QUERY_BEGINS};
    ch->asking++;
    ares_getaddrinfo(ch->ares, name, NULL, &hints, on_answer, q);
    set_timer(ch);
    if (q->state == QUERY_ENDED) {
        free(q);
        return NULL;
    }
    q->state = QUERY_WAITS;
    return q;
}

void dns_channel_drop(struct dns_query *q)
{
    q->answered = NULL;
}

void dns_channel_retire(struct dns_channel *ch)
{
    ch->retired = true;
    if (ch->asking == 0 && !ch->busy)
        dns_channel_free(ch);
}
