#include "pool_rig.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/resolver.h"
#include "pool/check.h"
#include "pool/configure.h"
#include "unit.h"

static struct config *parse(const struct pool_rig *r, const char *options)
{
    static const struct text_list none = {0};
    char text[1024], address[ADDRESS_TEXT_SIZE];
    struct config *c;
    bool own = strncmp(options, "host:", 5) == 0 || strncmp(options, "match:", 6) == 0;
    int n = snprintf(text, sizeof text, "callers: user\nupstreams:\n  u: {%saddress: \"%s\"%s%s}\n",
                     own ? "" : "match: \"*.test\", ", address_format(&r->origin, address),
                     *options ? ", " : "", options);

    c = config_parse((struct slice){text, (size_t)n}, "test.yaml", &none, stderr);
    ck_assert_ptr_nonnull(c);
    return c;
}

void pool_rig_listen(struct pool_rig *r, bool on)
{
    int yes = 1;

    if (!on) {
        close(r->listener);
        r->listener = -1;
        return;
    }
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(r->listener, 0);
    setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    ck_assert_int_eq(bind(r->listener, &r->origin.sa.any, r->origin.length), 0);
    ck_assert_int_eq(listen(r->listener, 64), 0);
    ck_assert_int_eq(getsockname(r->listener, &r->origin.sa.any, &r->origin.length), 0);
}

void pool_rig_open(struct pool_rig *r, const char *options)
{
    char error[256];
    struct config *c;

    *r = (struct pool_rig){.listener = -1};
    clock_update();
    r->base = event_base_new();
    ck_assert_ptr_nonnull(r->base);
    ck_assert_int_eq(event_base_priority_init(r->base, PRIORITY_COUNT), 0);
    r->resolver = resolver_new(r->base);
    ck_assert(address_from_ip(&r->origin, SLICE("127.0.0.1"), 0));
    pool_rig_listen(r, true);
    c = parse(r, options);
    r->pool = pool_new(r->base, r->resolver, c, NULL, NULL, error, sizeof error);
    ck_assert_msg(r->pool != NULL, "%s", error);
    config_unref(c);
}

void pool_rig_close(struct pool_rig *r)
{
    pool_rig_let_go(r);
    pool_free(r->pool);
    resolver_free(r->resolver);
    event_base_free(r->base);
    for (unsigned i = 0; i < r->count; i++)
        if (r->connections[i] >= 0)
            close(r->connections[i]);
    if (r->listener >= 0)
        close(r->listener);
}

void pool_rig_configure(struct pool_rig *r, const char *options)
{
    char error[256];
    struct config *c = parse(r, options);

    ck_assert_msg(pool_configure(r->pool, c, error, sizeof error), "%s", error);
    config_unref(c);
    pool_check(r->pool);
}

static void accept_all(struct pool_rig *r)
{
    int fd;

    while (r->listener >= 0 && (fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        ck_assert_uint_lt(r->count, RIG_CONNECTIONS);
        r->connections[r->count++] = fd;
    }
}

void pool_rig_events(struct pool_rig *r)
{
    event_base_loop(r->base, EVLOOP_NONBLOCK);
    clock_update();
    accept_all(r);
    pool_check(r->pool);
}

void pool_rig_turn(struct pool_rig *r)
{
    pool_rig_events(r);
    pool_end_turn(r->pool);
    pool_check_turn(r->pool);
}

void pool_rig_run(struct pool_rig *r, int ms)
{
    uint64_t end;

    clock_update();
    end = clock_ms() + (uint64_t)ms;
    do {
        pool_rig_turn(r);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        clock_update();
    } while (clock_ms() < end);
    for (unsigned i = 0; i < RIG_TURNS; i++)
        pool_rig_turn(r);
}

struct agent *pool_rig_agent(struct pool_rig *r)
{
    return pool_find_agent(r->pool, SLICE("u"));
}

struct origin *pool_rig_origin(struct pool_rig *r, const char *host)
{
    struct origin *o = origin_find_or_make(pool_rig_agent(r), ORIGIN_HTTP, slice_of(host), false, 80);

    ck_assert_ptr_nonnull(o);
    for (unsigned i = 0; i < r->held_count; i++)
        if (r->held[i] == o)
            return o;
    ck_assert_uint_lt(r->held_count, RIG_ORIGINS);
    r->held[r->held_count++] = o;
    origin_hold(o);
    return o;
}

void pool_rig_let_go(struct pool_rig *r)
{
    while (r->held_count > 0)
        origin_let_go(r->held[--r->held_count]);
}

struct call_end pool_rig_good_end(void)
{
    return (struct call_end){.request_complete = true,
                             .response_complete = true,
                             .self_delimiting = true,
                             .origin_persistent = true,
                             .drained = true};
}

void pool_rig_hang_up(struct pool_rig *r, unsigned nth)
{
    ck_assert_uint_lt(nth, r->count);
    if (r->connections[nth] >= 0)
        close(r->connections[nth]);
    r->connections[nth] = -1;
}
