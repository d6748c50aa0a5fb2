#include "exchange_world.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "calls.h"
#include "fuzz.h"
#include "pool/agent.h"
#include "proxy/attempt.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/tunnel.h"
#include "wire/h1_internal.h"
#include "wire/h2_internal.h"

struct proxy_rig world_rig;
struct world_trouble world_trouble;
struct world_ambush world_ambush;

/* --- Time ------------------------------------------------------------------------------------------------- */

/* It moves by a microsecond a look, so that what comes later is later, and no machine is too slow. */
static uint64_t now_us = UINT64_C(1000000000000);

static int on_clock(clockid_t id, struct timespec *ts)
{
    (void)id;
    now_us++;
    ts->tv_sec = (time_t)(now_us / 1000000);
    ts->tv_nsec = (long)(now_us % 1000000 * 1000);
    return 0;
}

/* Timers look at the clock when the loop wakes them, and those that are early sleep again (base/timer.h). */
static int wake_timer(const struct event_base *base, const struct event *e, void *ctx)
{
    (void)base;
    (void)ctx;
    if (event_pending(e, EV_TIMEOUT, NULL) && event_get_fd(e) < 0)
        event_active((struct event *)e, EV_TIMEOUT, 0);
    return 0;
}

static bool timers_are_late;

void world_pass(uint64_t ms)
{
    now_us += ms * 1000;
    timers_are_late = true;
    event_base_foreach_event(world_rig.base, wake_timer, NULL);
}

/* --- Calls that fail ---------------------------------------------------------------------------------------- */

#define OWED_MAX 64

/* Descriptors of which a call said less than the kernel would have: as if it had come just afterwards, an edge follows. */
static int owed[OWED_MAX];
static unsigned owed_count;
static bool in_turn, memory_failed, call_failed;
static uint64_t calls_made;

static void add(int *list, unsigned *count, int fd)
{
    for (unsigned i = 0; i < *count; i++)
        if (list[i] == fd)
            return;
    if (*count < OWED_MAX)
        list[(*count)++] = fd;
}

static void owe(int fd)
{
    add(owed, &owed_count, fd);
}

/* Those that could not be written to. */
static int blocked[OWED_MAX];
static unsigned blocked_count;

/* The kernel says EAGAIN to no one whose peer has gone. */
static bool is_blocked(int fd)
{
    struct pollfd look = {.fd = fd};
    if (!in_turn || !world_trouble.blocks || (poll(&look, 1, 0) == 1 && (look.revents & (POLLERR | POLLHUP))))
        return false;
    add(blocked, &blocked_count, fd);
    errno = EAGAIN;
    return true;
}

static int pay(const struct event_base *base, const struct event *e, void *ctx)
{
    (void)base;
    (void)ctx;
    for (unsigned i = 0; i < owed_count; i++)
        if (event_get_fd(e) == owed[i])
            event_active((struct event *)e, EV_READ | EV_WRITE, 0);
    return 0;
}

static void pay_all(void)
{
    for (; !world_trouble.blocks && blocked_count > 0; blocked_count--)
        owe(blocked[blocked_count - 1]);
    if (owed_count > 0)
        event_base_foreach_event(world_rig.base, pay, NULL);
    owed_count = 0;
}

static void spring_ambush(void)
{
    if (!in_turn || world_ambush.after == 0 || --world_ambush.after > 0)
        return;
    int error = errno;
    world_ambush.act(world_ambush.ctx);
    errno = error;
}

static bool fails(enum sys_call call)
{
    calls_made += call != SYS_MEMORY;
    spring_ambush();
    if (!in_turn || world_trouble.after == 0 || (call == SYS_MEMORY) != (world_trouble.error == ENOMEM) ||
        --world_trouble.after > 0)
        return false;
    memory_failed |= call == SYS_MEMORY;
    call_failed = true;
    errno = world_trouble.error;
    return true;
}

static bool says_again(int fd)
{
    if (!in_turn || world_trouble.again == 0)
        return false;
    world_trouble.again = world_trouble.again * 1664525 + 1013904223;
    if (world_trouble.again >> 30 != 0)
        return false;
    owe(fd);
    errno = EAGAIN;
    return true;
}

static ssize_t on_recv(int fd, void *to, size_t n, int flags)
{
    size_t most = world_trouble.most && world_trouble.most < n ? world_trouble.most : n;

    if (fails(SYS_RECV) || says_again(fd))
        return -1;
    ssize_t got = __real_recv(fd, to, most, flags);
    if (got == (ssize_t)most && most < n)
        owe(fd);
    if (!(flags & MSG_PEEK))
        world_trace_read(fd, to, got);
    return got;
}

static ssize_t on_send(int fd, const void *from, size_t n, int flags)
{
    size_t most = world_trouble.most && world_trouble.most < n ? world_trouble.most : n;

    if (fails(SYS_SEND) || is_blocked(fd) || says_again(fd))
        return -1;
    if (most < n)
        owe(fd);
    return __real_send(fd, from, most, flags);
}

static ssize_t on_sendmsg(int fd, const struct msghdr *m, int flags)
{
    const struct iovec *v = m->msg_iov;

    if (world_trouble.most && m->msg_iovlen > 1)
        owe(fd); /* the others are left over */
    if (world_trouble.most)
        return on_send(fd, v->iov_base, v->iov_len, flags);
    if (fails(SYS_SEND) || is_blocked(fd) || says_again(fd))
        return -1;
    return __real_sendmsg(fd, m, flags);
}

/* --- Books -------------------------------------------------------------------------------------------------- */

static struct {
    bool kept;      /* not so where the compiler sees through the calls that are counted: LTO */
    uint64_t begun; /* exchanges */
    uint64_t queued, told, given_up; /* places in a queue */
    uint64_t answered;               /* by the proxy's own count, when the books were begun */
    unsigned records;                /* of the rig, likewise */
} books;

void __real_exchange_begin(struct client *c, size_t length);
void __real_exchange_refuse(struct client *c, enum fault fault, const char *text);
enum acquire_result __real_origin_acquire(struct origin *o, struct waiter *p, enum acquire_how how);
enum acquire_result __real_origin_acquire_own(struct origin *o, struct waiter *p, enum acquire_how how,
                                              struct socket *own);
void __real_waiter_cancel(struct waiter *p);
void __wrap_exchange_begin(struct client *c, size_t length);
void __wrap_exchange_refuse(struct client *c, enum fault fault, const char *text);
enum acquire_result __wrap_origin_acquire(struct origin *o, struct waiter *p, enum acquire_how how);
enum acquire_result __wrap_origin_acquire_own(struct origin *o, struct waiter *p, enum acquire_how how,
                                              struct socket *own);
void __wrap_waiter_cancel(struct waiter *p);

void __wrap_exchange_begin(struct client *c, size_t length)
{
    books.kept = true;
    books.begun++;
    world_check_boundary(c);
    __real_exchange_begin(c, length);
}

void __wrap_exchange_refuse(struct client *c, enum fault fault, const char *text)
{
    books.begun++;
    __real_exchange_refuse(c, fault, text);
}

static void on_settled(struct waiter *p)
{
    books.told++;
    attempt_settled(p);
}

static enum acquire_result count_queued(struct waiter *p, enum acquire_result result)
{
    if (result == ACQUIRE_WAITS) {
        books.queued++;
        p->settled = on_settled;
    }
    return result;
}

/* As if clients were of three callers, for queue: fair. */
enum acquire_result __wrap_origin_acquire(struct origin *o, struct waiter *p, enum acquire_how how)
{
    static const char callers[3];

    if (how == ACQUIRE_NEW)
        p->caller = &callers[books.begun % 3];
    return count_queued(p, __real_origin_acquire(o, p, how));
}

enum acquire_result __wrap_origin_acquire_own(struct origin *o, struct waiter *p, enum acquire_how how,
                                              struct socket *own)
{
    return count_queued(p, __real_origin_acquire_own(o, p, how, own));
}

void __wrap_waiter_cancel(struct waiter *p)
{
    books.given_up += p->state != WAITER_IDLE;
    __real_waiter_cancel(p);
}

static void check_books(void)
{
    uint64_t answered = 0;

    for (size_t i = 0; i < sizeof world_rig.proxy->stats.requests_by_status / sizeof(uint64_t); i++)
        answered += world_rig.proxy->stats.requests_by_status[i];
    uint64_t told = world_rig.records - books.records;
    fuzz_assert(!books.kept || books.queued == books.told + books.given_up);
    /* Without memory some are refused before they are an exchange, and some are none. */
    fuzz_assert(!books.kept || (memory_failed ? told <= books.begun : told == books.begun));
    fuzz_assert(memory_failed ? told <= answered - books.answered : told == answered - books.answered);
    books.begun = books.queued = books.told = books.given_up = 0;
    books.answered = answered;
    books.records = world_rig.records;
    memory_failed = call_failed = false;
}

/* --- Limits ------------------------------------------------------------------------------------------------- */

#define SEEN_MAX 16

/* A reload may have lowered a limit below what is open: that may stay, and not grow. */
static struct {
    const struct origin *origin;
    uint32_t sockets, in_flight;
} seen[SEEN_MAX];

static uint32_t seen_total;

static void look_up(const struct origin *o, uint32_t *sockets, uint32_t *in_flight)
{
    *sockets = *in_flight = 0;
    for (unsigned i = 0; i < SEEN_MAX; i++) {
        if (seen[i].origin != o)
            continue;
        *sockets = seen[i].sockets;
        *in_flight = seen[i].in_flight;
    }
}

static void check_limits(void)
{
    const struct agent *a = proxy_rig_agent(&world_rig);
    const struct agent_policy *p = a->policy;
    const struct origin *o;
    unsigned n = 0;

    fuzz_assert(a->total <= p->maxTotalSockets || a->total <= seen_total);
    for (o = a->origins; o; o = o->hh.next) {
        uint32_t sockets, in_flight;
        look_up(o, &sockets, &in_flight);
        fuzz_assert(origin_sockets(o) <= p->maxSockets || origin_sockets(o) <= sockets);
        fuzz_assert(o->free_count <= p->maxFreeSockets || o->free_count <= sockets);
        fuzz_assert(o->in_flight <= p->maxSockets || o->in_flight <= in_flight);
    }
    seen_total = a->total;
    memset(seen, 0, sizeof seen);
    for (o = a->origins; o && n < SEEN_MAX; o = o->hh.next, n++) {
        seen[n].origin = o;
        seen[n].sockets = origin_sockets(o);
        seen[n].in_flight = o->in_flight;
    }
}

/* --- Clients and exchanges ------------------------------------------------------------------------------------ */

static uint32_t check_clients(void)
{
    const struct proxy *p = world_rig.proxy;
    const struct client *c;
    uint32_t idle = 0, kept = 0;
    uint64_t open = 0;

    TAILQ_FOREACH (c, &p->clients, link) {
        fuzz_assert(c->state != CLIENT_DEAD && conn_is_open(&c->conn));
        fuzz_assert((c->state == CLIENT_EXCHANGE) == (c->exchange != NULL));
        fuzz_assert((c->state == CLIENT_TUNNEL) == (c->tunnel != NULL));
        fuzz_assert(!c->exchange || c->exchange->client == c);
        /* It will be heard of. */
        fuzz_assert(c->conn.watched || c->on_lasting);
        idle += c->state == CLIENT_IDLE;
        kept += c->private_socket && !(c->exchange && c->exchange->socket == c->private_socket);
        open++;
    }
    fuzz_assert(p->stats.clients_open == open && p->stats.clients_idle == idle);
    return kept;
}

static bool carries(const struct socket *s)
{
    switch (s->state) {
    case SOCKET_ACTIVE: return true;
    case SOCKET_ROOMY:
    case SOCKET_DRAINING:
    case SOCKET_SENT_AWAY: return h2_is(&s->wire);
    default: return false;
    }
}

static uint32_t check_exchanges(void)
{
    const struct proxy *p = world_rig.proxy;
    const struct exchange *e, *other;
    uint32_t using = 0;

    TAILQ_FOREACH (e, &p->exchanges, link) {
        bool has_call = e->state == EXCHANGE_RELAY;

        fuzz_assert(e->state != EXCHANGE_DEAD && e->state != EXCHANGE_ASKING);
        fuzz_assert(has_call == (e->socket != NULL) && has_call == (e->call.wire != NULL));
        fuzz_assert(!has_call || e->call.wire == &e->socket->wire);
        fuzz_assert(e->client && e->client->exchange == e);
        fuzz_assert((e->state == EXCHANGE_WAITING) == (e->waiter.state != WAITER_IDLE));
        fuzz_assert(!e->socket || (carries(e->socket) && e->socket->origin == e->origin));
        for (other = TAILQ_NEXT(e, link); other; other = TAILQ_NEXT(other, link))
            fuzz_assert(!e->socket || other->socket != e->socket || h2_is(&e->socket->wire));
        using += e->socket != NULL;
    }
    return using;
}

static uint32_t check_tunnels(void)
{
    const struct proxy *p = world_rig.proxy;
    const struct tunnel *t;
    uint32_t using = 0, count = 0;

    TAILQ_FOREACH (t, &p->tunnels, link) {
        fuzz_assert(t->state != TUNNEL_DEAD && (t->client || t->socket));
        fuzz_assert(t->state == TUNNEL_CLOSING || (t->client && t->socket));
        fuzz_assert(!t->client || t->client->tunnel == t);
        fuzz_assert(!t->socket || (t->socket->state == SOCKET_ACTIVE && t->socket->origin == t->origin));
        using += t->socket != NULL;
        count++;
    }
    fuzz_assert(p->stats.tunnels_open == count);
    return using;
}

/* How many have begun to use it. HTTP/1.1: none where the rest of a response is read for the sake of the socket. */
static uint32_t users_of(const struct socket *s)
{
    const struct h1 *h = s->wire.session;

    if (h2_is(&s->wire))
        return s->in_use - s->unbegun;
    return h && !h->call ? 0 : 1;
}

static uint32_t users_on(const struct socket_list *list)
{
    const struct socket *s;
    uint32_t count = 0;

    TAILQ_FOREACH (s, list, link)
        count += users_of(s);
    return count;
}

/* Every socket that is in use is used by somebody, HTTP/1.1 by one alone. */
static void check_users(void)
{
    uint32_t users = check_exchanges() + check_tunnels() + check_clients(), used = 0;

    for (const struct origin *o = proxy_rig_agent(&world_rig)->origins; o; o = o->hh.next)
        used += users_on(&o->active) + users_on(&o->roomy) + users_on(&o->draining) + users_on(&o->sent_away);
    fuzz_assert(used == users);
}

/* --- Sockets that belong to one client ------------------------------------------------------------------------ */

#define PRIVATE_MAX 64

static const struct socket *private[PRIVATE_MAX];
static unsigned private_count;

static bool is_private(const struct socket *s)
{
    for (unsigned i = 0; i < private_count; i++)
        if (private[i] == s)
            return true;
    return false;
}

static bool is_active(const struct socket *s)
{
    const struct socket *one;

    for (const struct origin *o = proxy_rig_agent(&world_rig)->origins; o; o = o->hh.next)
        TAILQ_FOREACH (one, &o->active, link)
            if (one == s)
                return true;
    return false;
}

/* Whom NTLM or Negotiate has named on a socket, nobody else speaks for: it is never free again. */
static void check_private_sockets(void)
{
    const struct socket *s;
    const struct exchange *e;
    unsigned kept = 0;

    TAILQ_FOREACH (s, &proxy_rig_agent(&world_rig)->free_lru, lru)
        fuzz_assert(!is_private(s));
    for (unsigned i = 0; i < private_count; i++)
        if (is_active(private[i]))
    private[kept++] = private[i];
    private_count = kept;
    TAILQ_FOREACH (e, &world_rig.proxy->exchanges, link)
        if (e->socket && e->asked.private_socket && !is_private(e->socket) && private_count < PRIVATE_MAX)
    private[private_count++] = e->socket;
}

/* --- Edges come once ------------------------------------------------------------------------------------------ */

static bool is_owed(int fd)
{
    for (unsigned i = 0; i < owed_count; i++)
        if (owed[i] == fd)
            return true;
    return false;
}

/* Whether nothing stands in the kernel, neither bytes nor an end, that nobody will be told of. A look that takes nothing
 * away: recv() would take a reset. */
static bool is_quiet(const struct conn *s)
{
    struct pollfd look = {.fd = s->fd, .events = POLLIN};

    return s->tls || is_owed(s->fd) || poll(&look, 1, 0) == 0;
}

/* An error stands behind what can be read of it. */
static bool was_reset(const struct conn *s)
{
    struct pollfd look = {.fd = s->fd};

    return !is_owed(s->fd) && poll(&look, 1, 0) == 1 && (look.revents & POLLERR);
}

/* Nothing is left of one exchange that the next could take for its own. (A reset may be: it came with the last bytes, in one
 * event, and the next user meets it.) */
static void check_free_sockets(void)
{
    const struct socket *s;
    int unread;

    TAILQ_FOREACH (s, &proxy_rig_agent(&world_rig)->free_lru, lru) {
        unread = 0;
        if (!s->wire.conn.tls && !is_owed(s->wire.conn.fd) && !h2_is(&s->wire))
            fuzz_assert(ioctl(s->wire.conn.fd, FIONREAD, &unread) == 0 && unread == 0);
    }
}

/* What speaks HTTP/2 is read whoever waits for it, to its end. */
static void check_shared(const struct socket_list *list)
{
    const struct socket *s;

    TAILQ_FOREACH (s, list, link) {
        const struct h2 *h = h2_is(&s->wire) ? s->wire.session : NULL;
        fuzz_assert(!h || h->state == H2_OVER || is_quiet(&s->wire.conn));
    }
}

static void check_shared_sockets(void)
{
    for (const struct origin *o = proxy_rig_agent(&world_rig)->origins; o; o = o->hh.next) {
        check_shared(&o->active);
        check_shared(&o->roomy);
        check_shared(&o->free);
        check_shared(&o->draining);
        check_shared(&o->sent_away);
    }
}

static void check_flow(const struct flow *f)
{
    if (f->state == FLOW_OPEN && !f->head && !f->waiting)
        fuzz_assert(is_quiet(f->from));
    fuzz_assert(f->state != FLOW_ENDING || f->head || f->waiting);
}

/* When all is quiet, whoever can go on has gone on. */
static void check_nobody_sleeps(void)
{
    const struct client *c;
    const struct exchange *e;
    const struct tunnel *t;

    TAILQ_FOREACH (c, &world_rig.proxy->clients, link)
        if (c->state == CLIENT_IDLE || c->state == CLIENT_READING || c->state == CLIENT_LINGERING)
            fuzz_assert(is_quiet(&c->conn));
    TAILQ_FOREACH (e, &world_rig.proxy->exchanges, link) {
        if (e->state == EXCHANGE_RELAY && e->upload.state == UPLOAD_STARVED)
            fuzz_assert(is_quiet(&e->client->conn));
        /* Nobody works for who has been reset, nor waits in the queue. */
        if (!e->client->on_lasting)
            fuzz_assert(!was_reset(&e->client->conn));
        if (e->state == EXCHANGE_RELAY && !download_is_blocked(&e->download) &&
            !is_quiet(&e->socket->wire.conn)) {
            fprintf(stderr, "upload %d, download %d, may_read %d, watched %d\n", e->upload.state,
                    e->download.state, e->socket->wire.conn.may_read, e->socket->wire.conn.watched);
            fuzz_assert(!"somebody sleeps");
        }
    }
    TAILQ_FOREACH (t, &world_rig.proxy->tunnels, link) {
        check_flow(&t->up);
        check_flow(&t->down);
    }
    check_shared_sockets();
}

/* --- Turns -------------------------------------------------------------------------------------------------- */

static void use_calls(void)
{
    calls = (struct calls){
        .recv = on_recv, .send = on_send, .sendmsg = on_sendmsg, .clock_gettime = on_clock, .fails = fails};
}

void world_open(void)
{
    static const char policy[] = "match: \"*\", retries: 2, drainLimit: 1KiB, replayLimit: 2KiB";
    static const char file[] = "access: {unmatched: deny, connectPorts: [443, 80]}";
    static bool is_open; /* replay.c has several targets, of one world */

    signal(SIGPIPE, SIG_IGN);
    use_calls();
    if (is_open)
        proxy_rig_configure(&world_rig, policy, file);
    else
        proxy_rig_open(&world_rig, policy, file);
    is_open = true;
    calls = (struct calls){0};
}

int world_client(void)
{
    use_calls();
    in_turn = true;
    int fd = proxy_rig_client(&world_rig);
    in_turn = false;
    const struct client *newest = TAILQ_LAST(&world_rig.proxy->clients, client_list);
    if (newest)
        world_trace_client(newest->conn.fd);
    return fd;
}

void world_turn(void)
{
    use_calls();
    pay_all();
    in_turn = true;
    proxy_rig_turn(&world_rig);
    in_turn = false;
    check_limits();
    check_users();
    check_free_sockets();
    check_private_sockets();
}

/* To connect takes three turns in which no byte moves: the attempt, its end, the request that is told of it. A timer that
 * is late waits for more. */
static bool settle_for(unsigned most)
{
    const unsigned enough = timers_are_late ? 4 + TIMER_LATE_TURNS : 4;
    uint64_t before;
    unsigned quiet = 0;

    timers_are_late = false;
    for (unsigned turns = 0; quiet < enough && turns < most; turns++) {
        before = calls_made;
        world_turn();
        quiet = calls_made == before && owed_count == 0 ? quiet + 1 : 0;
    }
    return quiet == enough;
}

/* Nobody is asleep while something still moves. */
static void settle(void)
{
    if (!settle_for(1000))
        return;
    check_nobody_sleeps();
    if (!call_failed) /* which may have been the one that sets a timer */
        world_check_deadlines();
}

void world_settle(void)
{
    struct client *c;

    settle();
    if (TAILQ_EMPTY(&world_rig.proxy->lasting))
        return;
    /* The timer for clients whose exchange lasts would take 5 ms. */
    while ((c = TAILQ_FIRST(&world_rig.proxy->lasting)))
        client_lasts(c);
    settle();
}

static void hang_up(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void hang_up_origins(void)
{
    for (unsigned i = 0; i < world_rig.origin_count; i++)
        hang_up(&world_rig.origins[i]);
}

void world_end(int *clients, unsigned count)
{
    struct agent *a = proxy_rig_agent(&world_rig);

    world_trouble = (struct world_trouble){0};
    world_ambush.after = 0;
    agent_resume(a);
    for (unsigned i = 0; i < count; i++)
        hang_up(&clients[i]);
    for (unsigned round = 0;
         round < 50 && (world_rig.proxy->stats.clients_open > 0 ||
                        !TAILQ_EMPTY(&world_rig.proxy->exchanges) || !TAILQ_EMPTY(&world_rig.proxy->tunnels));
         round++) {
        world_settle();
        hang_up_origins();
    }
    fuzz_assert(world_rig.proxy->stats.clients_open == 0);
    fuzz_assert(TAILQ_EMPTY(&world_rig.proxy->exchanges));
    agent_drain(a);
    for (unsigned round = 0; round < 50 && a->total > 0; round++) {
        world_settle(); /* what is left of a response is read for a second */
        hang_up_origins();
    }
    fuzz_assert(a->total == 0);
    hang_up_origins();
    world_rig.origin_count = 0;
    fuzz_assert(world_rig.proxy->heads->lent == 0 && world_rig.proxy->bodies->lent == 0);
    fuzz_assert(world_rig.proxy->stats.tunnels_open == 0);
    forget_old(a, 0);
    fuzz_assert(!a->origins);
    check_books();
    owed_count = blocked_count = private_count = 0;
    calls = (struct calls){0};
}
