#include "proxy_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/head.h"
#include "io/resolver.h"
#include "pool/check.h"
#include "pool/configure.h"
#include "proxy/exchange.h"
#include "proxy/tunnel.h"

static struct config *parse(const struct proxy_rig *r, const char *options, const char *file)
{
    static const struct text_list none = {0};
    char text[2048];
    bool own = strncmp(options, "host:", 5) == 0 || strncmp(options, "match:", 6) == 0;
    const char *match = own ? "" : "match: \"*.test\", ";
    int n = snprintf(text, sizeof text, "%s\nupstreams:\n  u: {%saddress: \"unix:%s\"%s%s}\n", file, match,
                     r->path, *options ? ", " : "", options);
    struct config *c = config_parse((struct slice){text, (size_t)n}, "test.yaml", &none, stderr);

    rig_assert(c);
    return c;
}

static void on_record(void *ctx, const struct exchange_record *record)
{
    struct proxy_rig *r = ctx;

    r->records++;
    r->last_status = record->status;
    r->last_was_read = !slice_eq(record->method, SLICE("-"));
    r->last_error = record->error ? record->error : "";
}

static void listen_at(struct proxy_rig *r)
{
    static unsigned number;
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    snprintf(r->path, sizeof r->path, "/tmp/carpool-rig-%ld-%u.sock", (long)getpid(), number++);
    memcpy(a.sun_path, r->path, sizeof r->path);
    unlink(r->path);
    r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    rig_assert(r->listener >= 0);
    rig_assert(bind(r->listener, (struct sockaddr *)&a, sizeof a) == 0);
    rig_assert(listen(r->listener, RIG_ORIGINS) == 0);
}

void proxy_rig_open(struct proxy_rig *r, const char *options, const char *file)
{
    struct address here;
    struct config *c;
    char error[256];

    *r = (struct proxy_rig){.last_error = "", .check_turns = true};
    http_init();
    log_configure(LOG_ERROR, LOG_TEXT, false);
    clock_update();
    r->base = event_base_new();
    rig_assert(r->base && event_base_priority_init(r->base, PRIORITY_COUNT) == 0);
    r->resolver = resolver_new(r->base);
    listen_at(r);
    c = parse(r, options, file);
    r->pool = pool_new(r->base, r->resolver, c, NULL, NULL, error, sizeof error);
    rig_assert(r->pool);
    r->proxy = proxy_new(r->base, r->pool, c, SLICE("carpool-test"));
    rig_assert(r->proxy);
    config_unref(c);
    r->proxy->record = on_record;
    r->proxy->record_ctx = r;
    rig_assert(address_from_ip(&here, SLICE("127.0.0.1"), 3128));
    r->frontend = frontend_new(NULL, &here);
}

void proxy_rig_close(struct proxy_rig *r)
{
    proxy_free(r->proxy);
    pool_free(r->pool);
    resolver_free(r->resolver);
    frontend_unref(r->frontend);
    event_base_free(r->base);
    for (unsigned i = 0; i < r->origin_count; i++)
        if (r->origins[i] >= 0)
            close(r->origins[i]);
    close(r->listener);
    unlink(r->path);
}

void proxy_rig_configure(struct proxy_rig *r, const char *options, const char *file)
{
    struct config *c = parse(r, options, file);
    char error[256];

    rig_assert(pool_configure(r->pool, c, error, sizeof error));
    proxy_configure(r->proxy, c);
    config_unref(c);
}

int proxy_rig_client(struct proxy_rig *r)
{
    struct address peer;
    int ends[2];

    rig_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    rig_assert(address_from_ip(&peer, SLICE("127.0.0.1"), 40000));
    proxy_accept(r->proxy, r->frontend, ends[0], &peer);
    return ends[1];
}

/* Every request is told of once: as a whole response, as an error, as one whose client left, or it is under
 * way. */
static void check_requests(const struct proxy_rig *r)
{
    const struct agent *a;
    const struct origin *o;
    const struct client *c;
    const struct tunnel *t;
    struct origin_stats sum = {0};
    uint64_t under_way = 0;

    TAILQ_FOREACH (a, &r->pool->agents, link) {
        origin_stats_add(&sum, &a->forgotten);
        for (o = a->origins; o; o = o->hh.next)
            origin_stats_add(&sum, &o->stats);
    }
    TAILQ_FOREACH (c, &r->proxy->clients, link)
        under_way += c->exchange && c->exchange->waiter.origin;
    TAILQ_FOREACH (t, &r->proxy->tunnels, link)
        under_way += t->state == TUNNEL_OPEN;
    rig_assert(sum.requests ==
               histogram_count(&sum.request) + origin_stats_errors(&sum) + sum.client_aborts + under_way);
}

void proxy_rig_turn(struct proxy_rig *r)
{
    int fd;

    event_base_loop(r->base, EVLOOP_NONBLOCK);
    clock_update();
    pool_check(r->pool);
    pool_end_turn(r->pool);
    if (r->check_turns)
        pool_check_turn(r->pool);
    proxy_end_turn(r->proxy);
    check_requests(r);
    while ((fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        rig_assert(r->origin_count < RIG_ORIGINS);
        r->origins[r->origin_count++] = fd;
    }
}

void proxy_rig_settle(struct proxy_rig *r)
{
    /* To connect takes three turns: the attempt, its end, the request that is told of it. */
    for (unsigned i = 0; i < 8; i++)
        proxy_rig_turn(r);
}

void proxy_rig_run(struct proxy_rig *r, int ms)
{
    uint64_t end;

    clock_update();
    end = clock_ms() + (uint64_t)ms;
    do {
        proxy_rig_turn(r);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        clock_update();
    } while (clock_ms() < end);
    for (unsigned i = 0; i < RIG_TURNS; i++)
        proxy_rig_turn(r);
}

struct exchange *proxy_rig_exchange(const struct proxy_rig *r, const struct client *c)
{
    c = c ? TAILQ_NEXT(c, link) : TAILQ_FIRST(&r->proxy->clients);
    while (c && !c->exchange)
        c = TAILQ_NEXT(c, link);
    return c ? c->exchange : NULL;
}

struct agent *proxy_rig_agent(struct proxy_rig *r)
{
    return pool_find_agent(r->pool, SLICE("u"));
}

struct origin *proxy_rig_origin(struct proxy_rig *r, const char *host)
{
    return origin_find_or_make(proxy_rig_agent(r), ORIGIN_HTTP, slice_of(host), false, 80);
}
