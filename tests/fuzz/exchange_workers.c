/* Two loops over one pool, turned one after the other by a programme: clients of either loop ask for hosts of either, go to
 * and fro, leave on the way, and meanwhile the configuration changes and both stop. Everything that may come in any order
 * comes in the order of the input. */

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "calls.h"
#include "clock.h"
#include "fuzz.h"
#include "http/head.h"
#include "io/resolver.h"
#include "pool/check.h"
#include "pool/configure.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/handover.h"

#define LOOPS   2
#define CLIENTS 6
#define ORIGINS 64
#define STEPS   200

struct loop {
    struct event_base *base;
    struct resolver *resolver;
    struct mailbox mailbox;
    struct proxy *proxy;
};

static struct {
    struct loop loops[LOOPS];
    struct pool *pools[LOOPS];
    struct proxy *proxies[LOOPS];
    struct proxy_shared shared;
    struct frontend *frontend;
    char path[64];
    int listener;
    int origins[ORIGINS];
    unsigned origin_count, limit;
    int clients[CLIENTS];
} house;

static void pass(uint64_t ms)
{
    fuzz_clock_pass(ms);
    for (unsigned i = 0; i < LOOPS; i++)
        fuzz_wake_timers(house.loops[i].base);
}

/* --- What must hold --------------------------------------------------------------------------------------- */

/* In both pools: never above the limit, but for what a reload has moved, or lowered. */
static uint32_t sockets_of(const char *key)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < LOOPS; i++) {
        const struct agent *a;
        TAILQ_FOREACH (a, &house.pools[i]->agents, link)
            for (const struct origin *o = a->origins; o; o = o->hh.next)
                if (!o->moved && strcmp(o->key, key) == 0)
                    sum += origin_sockets(o);
    }
    return sum;
}

static void check_origins(const struct pool *p)
{
    const struct agent *a;

    TAILQ_FOREACH (a, &p->agents, link) {
        for (const struct origin *o = a->origins; o; o = o->hh.next) {
            unsigned owner = origin_worker(a, ORIGIN_TUNNEL, slice_of(o->host), o->plan.port);
            fuzz_assert(o->moved == (owner != p->index));
            fuzz_assert(!o->moved || (o->free_count == 0 && !o->exact));
            fuzz_assert(o->moved || sockets_of(o->key) <= house.limit);
        }
    }
}

static void check_clients(void)
{
    const struct client *c;
    uint32_t open = 0, idle = 0, listed = 0, listed_idle = 0, moving = 0;

    for (unsigned i = 0; i < LOOPS; i++) {
        const struct proxy *p = house.proxies[i];
        const struct loop_message *l;
        open += p->stats.clients_open;
        idle += p->stats.clients_idle;
        TAILQ_FOREACH (c, &p->clients, link) {
            fuzz_assert(c->proxy == p && c->state != CLIENT_MOVING && c->state != CLIENT_DEAD);
            fuzz_assert((c->state == CLIENT_EXCHANGE) == (c->exchange != NULL));
            fuzz_assert(!c->exchange || c->exchange->client == c);
            for (const struct socket *s = c->private_sockets; s; s = s->next_kept)
                fuzz_assert(s->origin->agent->pool == p->pool);
            fuzz_assert(c->conn.watched || c->on_lasting);
            listed++;
            listed_idle += c->state == CLIENT_IDLE;
        }
        for (unsigned to = 0; to < LOOPS; to++)
            STAILQ_FOREACH (l, &p->outgoing[to], link)
                moving++;
        STAILQ_FOREACH (l, &house.loops[i].mailbox.messages, link)
            moving++;
        STAILQ_FOREACH (l, &house.loops[i].mailbox.taken, link)
            moving++;
    }
    fuzz_assert(open == house.shared.clients && idle == listed_idle && listed + moving == open);
}

static void check(void)
{
    for (unsigned i = 0; i < LOOPS; i++) {
        pool_check(house.pools[i]);
        check_origins(house.pools[i]);
    }
    check_clients();
}

/* --- Turns ------------------------------------------------------------------------------------------------ */

static void take_connections(void)
{
    int fd;

    while ((fd = accept4(house.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        if (house.origin_count < ORIGINS)
            house.origins[house.origin_count++] = fd;
        else
            close(fd);
    }
}

static void turn(unsigned index)
{
    event_base_loop(house.loops[index].base, EVLOOP_NONBLOCK);
    clock_update();
    pool_end_turn(house.pools[index]);
    pool_check_turn(house.pools[index]);
    proxy_end_turn(house.proxies[index]);
    take_connections();
    check();
}

static void turn_all(unsigned times)
{
    for (unsigned i = 0; i < times * LOOPS; i++)
        turn(i % LOOPS);
}

/* As workers_settle(). */
static void settle(void)
{
    bool moved;

    do {
        moved = false;
        for (unsigned i = 0; i < LOOPS; i++)
            handover_flush(house.proxies[i]);
        for (unsigned i = 0; i < LOOPS; i++) {
            moved = moved || !mailbox_is_empty(&house.loops[i].mailbox);
            mailbox_open_messages(&house.loops[i].mailbox);
        }
    } while (moved);
}

/* --- The house -------------------------------------------------------------------------------------------- */

static const struct {
    unsigned limit;
    const char *options;
} policies[] = {
    {2, "maxTotalSockets: Infinity, maxSockets: 2"},
    {2, "maxTotalSockets: 2, maxSockets: 2"},
    {1, "maxTotalSockets: Infinity, maxSockets: 1, maxPendingRequests: 1"},
    {3, "maxTotalSockets: 3, maxSockets: 3, retries: 0, timeouts: {pending: 1s}"},
};

static struct config *parse(unsigned which)
{
    static const struct text_list none = {0};
    const char *options = policies[which].options;
    char text[2048];
    int n = snprintf(text, sizeof text,
                     "access: {unmatched: deny, connectPorts: [443]}\nupstreams:\n"
                     "  a: {match: a.test, address: \"unix:%s\", %s}\n"
                     "  b: {match: b.test, address: \"unix:%s\", %s}\n"
                     "  s: {match: \"*.s.test\", address: \"unix:%s\", %s}\n",
                     house.path, options, house.path, options, house.path, options);
    struct config *c = config_parse((struct slice){text, (size_t)n}, "test.yaml", &none, stderr);

    fuzz_assert(c);
    return c;
}

static void configure(unsigned which)
{
    struct config *c = parse(which);
    char error[256];

    fuzz_assert(pools_configure(house.pools, LOOPS, c, error, sizeof error));
    for (unsigned i = 0; i < LOOPS; i++)
        proxy_configure(house.proxies[i], c);
    config_unref(c);
    /* What was open under a higher limit may stay open. */
    house.limit = house.limit > policies[which].limit ? house.limit : policies[which].limit;
}

static void listen_somewhere(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    snprintf(house.path, sizeof house.path, "/tmp/carpool-duo-%ld.sock", (long)getpid());
    memcpy(a.sun_path, house.path, sizeof house.path);
    unlink(house.path);
    house.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    fuzz_assert(bind(house.listener, (struct sockaddr *)&a, sizeof a) == 0 &&
                listen(house.listener, 512) == 0);
}

static void remove_path(void)
{
    unlink(house.path);
}

static void use_calls(void)
{
    calls = (struct calls){.clock_gettime = fuzz_clock};
}

static void open_once(void)
{
    signal(SIGPIPE, SIG_IGN);
    log_configure(LOG_ERROR, LOG_TEXT, false);
    http_init();
    /* Nobody speaks TLS here, and the system's certificates would be read for every input. */
    setenv("SSL_CERT_FILE", "/dev/null", 1);
    setenv("SSL_CERT_DIR", "/dev/null", 1);
    listen_somewhere();
    atexit(remove_path);
}

static void build(void)
{
    struct config *c = parse(0);
    struct address here;
    char error[256];

    clock_update();
    house.limit = policies[0].limit;
    house.origin_count = 0;
    house.shared = (struct proxy_shared){.count = LOOPS, .members = house.proxies};
    for (unsigned i = 0; i < LOOPS; i++) {
        struct loop *l = &house.loops[i];
        l->base = event_base_new();
        fuzz_assert(l->base && event_base_priority_init(l->base, PRIORITY_COUNT) == 0);
        fuzz_assert(mailbox_open(&l->mailbox, l->base, PRIORITY_ORDINARY));
        l->resolver = resolver_new(l->base);
        house.pools[i] = pool_new(l->base, l->resolver, NULL, NULL, NULL, error, sizeof error);
        house.proxies[i] = l->proxy = proxy_new(l->base, house.pools[i], c, SLICE("duo"));
        fuzz_assert(proxy_join(l->proxy, &house.shared, &l->mailbox));
    }
    config_unref(c);
    configure(0);
    fuzz_assert(address_from_ip(&here, SLICE("127.0.0.1"), 3128));
    house.frontend = frontend_new(NULL, &here);
    for (unsigned i = 0; i < CLIENTS; i++)
        house.clients[i] = -1;
}

static void hang_up(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Everybody leaves, and nobody may be left. */
static void empty(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        hang_up(&house.clients[i]);
    turn_all(4);
    for (unsigned i = 0; i < house.origin_count; i++)
        hang_up(&house.origins[i]);
    for (unsigned i = 0; i < 3; i++) {
        turn_all(4);
        pass(3600 * 1000);
    }
    turn_all(4);
    settle();
    fuzz_assert(house.shared.clients == 0);
    for (unsigned i = 0; i < LOOPS; i++) {
        fuzz_assert(proxy_is_idle(house.proxies[i]) && mailbox_is_empty(&house.loops[i].mailbox));
        fuzz_assert(house.proxies[i]->heads->lent == 0 && house.proxies[i]->bodies->lent == 0);
    }
    take_connections();
    for (unsigned i = 0; i < house.origin_count; i++)
        hang_up(&house.origins[i]);
    house.origin_count = 0;
}

static void pull_down(void)
{
    for (unsigned i = 0; i < LOOPS; i++) {
        proxy_free(house.proxies[i]);
        pool_free(house.pools[i]);
        resolver_free(house.loops[i].resolver);
        mailbox_close(&house.loops[i].mailbox);
        event_base_free(house.loops[i].base);
    }
    frontend_unref(house.frontend);
    house.frontend = NULL;
}

/* What is left are those that the upstream names, and they are empty. */
static void forget_all(struct agent *a)
{
    fuzz_assert(a->total == 0);
    while (a->origins) {
        fuzz_assert(a->origins->exact);
        origin_forget(a->origins);
    }
}

/* As if it were new, or it is: one that has stopped does not go on. */
static void tidy_up(void)
{
    struct agent *a;

    if (house.proxies[0]->stopping_since_ms) {
        pull_down();
        return;
    }
    for (unsigned i = 0; i < LOOPS; i++)
        TAILQ_FOREACH (a, &house.pools[i]->agents, link)
            agent_resume(a);
    configure(0);
    house.limit = policies[0].limit;
    pass(3600 * 1000);
    turn_all(2);
    for (unsigned i = 0; i < LOOPS; i++)
        TAILQ_FOREACH (a, &house.pools[i]->agents, link)
            forget_all(a);
}

/* --- A programme ------------------------------------------------------------------------------------------ */

static const char *const requests[] = {
    "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET http://b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n",
    "PUT http://x.s.test/ HTTP/1.1\r\nHost: x.s.test\r\nContent-Length: 3\r\n\r\nabc",
    "PUT http://y.s.test/ HTTP/1.1\r\nHost: y.s.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "GET http://z.s.test/ HTTP/1.1\r\nHost: z.s.test\r\nAuthorization: NTLM abc\r\n\r\n",
    "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM abc\r\n\r\n",
    "CONNECT b.test:443 HTTP/1.1\r\nHost: b.test\r\n\r\nearly",
    "POST http://b.test/ HTTP/1.1\r\nHost: b.test\r\nContent-Length: 100000\r\n\r\nabc",
    "HEAD http://a.test/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET http://x.s.test/ HTTP/1.1\r\nHost: x.s.test\r\nConnection: close\r\n\r\n",
    "GET http://nobody.test/ HTTP/1.1\r\nHost: nobody.test\r\n\r\n",
    "GET http://y.s.test/ HTTP/1.1\r\nHost: y.s",
    ".test\r\n\r\n",
    ("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\nGET http://b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n"
     "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\nGET http://x.s.test/ HTTP/1.1\r\nHost: x.s.test\r\n\r\n"),
};

static const char *const responses[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end",
    "HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "broken\r\n\r\n",
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void put(int fd, const char *text)
{
    ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : 0;

    (void)n;
}

static void drain(int fd)
{
    char waste[4096];

    while (fd >= 0 && read(fd, waste, sizeof waste) > 0) {
    }
}

static int *client(unsigned which)
{
    int *fd = &house.clients[which % CLIENTS], ends[2];
    struct address peer;

    if (*fd >= 0 || house.proxies[0]->stopping_since_ms || house.origin_count > ORIGINS / 2)
        return fd;
    fuzz_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    fuzz_assert(address_from_ip(&peer, SLICE("127.0.0.1"), 40000));
    *fd = ends[1];
    proxy_accept(house.proxies[which % LOOPS], house.frontend, ends[0], &peer);
    return fd;
}

static int *origin(unsigned which)
{
    static int nobody = -1;
    unsigned count = house.origin_count;

    nobody = -1;
    return count ? &house.origins[count - 1 - which % (count < 8 ? count : 8)] : &nobody;
}

static void stop(void)
{
    settle();
    for (unsigned i = 0; i < LOOPS; i++) {
        pool_stop(house.pools[i]);
        proxy_stop(house.proxies[i]);
    }
}

/* What an operator does, while both stand still. */
static void operate(unsigned what)
{
    struct agent *a = pool_find_agent(house.pools[0], what & 8 ? SLICE("s") : SLICE("a"));

    switch (what & 7) {
    case 0:
        for (; a; a = a->next_share)
            agent_pause(a);
        break;
    case 1:
        for (; a; a = a->next_share)
            agent_resume(a);
        break;
    case 2:
        for (; a; a = a->next_share)
            agent_drain(a);
        break;
    case 3:
        if (what == 255)
            stop();
        break;
    default: configure(what & 3); break;
    }
}

static void step(uint8_t op, uint8_t what)
{
    unsigned which = op >> 4;

    switch (op & 15) {
    case 0:
    case 1:
    case 2: put(*client(which), requests[what % COUNT(requests)]); break;
    case 3: turn(which % LOOPS); break;
    case 4: shutdown(*client(which), SHUT_WR); break;
    case 5: hang_up(client(which)); break;
    case 6: drain(*client(which)); break;
    case 7:
    case 8:
    case 9: put(*origin(which), responses[what % COUNT(responses)]); break;
    case 10: drain(*origin(which)); break;
    case 11: hang_up(origin(which)); break;
    case 12: operate(what); break;
    case 13: settle(); break;
    case 14: pass(what & 1 ? 100 : UINT64_C(1) << what % 20); break;
    case 15: turn_all(1); break;
    }
    check();
}

static void run(const uint8_t *data, size_t size)
{
    use_calls();
    if (!house.frontend)
        build();
    for (unsigned i = 0; i + 1 < size && i < 2 * STEPS; i += 2)
        step(data[i], data[i + 1]);
    empty();
    tidy_up();
    calls = (struct calls){0};
}

const struct fuzz_target fuzz_exchange_workers = {"exchange_workers", open_once, run};
