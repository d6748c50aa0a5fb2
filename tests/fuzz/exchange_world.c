#include "exchange_world.h"

#include <event2/event.h>
#include <signal.h>
#include <unistd.h>

#include "clock.h"
#include "exchange_parts.h"
#include "fuzz.h"
#include "pool/agent.h"
#include "proxy/attempt.h"
#include "proxy/client.h"
#include "proxy/exchange.h"

struct proxy_rig world_rig;

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
enum acquire_result __real_origin_acquire(struct waiter *p);
enum acquire_result __real_origin_acquire_own(struct waiter *p, struct socket *own);
void __real_waiter_cancel(struct waiter *p);
void __wrap_exchange_begin(struct client *c, size_t length);
void __wrap_exchange_refuse(struct client *c, enum fault fault, const char *text);
enum acquire_result __wrap_origin_acquire(struct waiter *p);
enum acquire_result __wrap_origin_acquire_own(struct waiter *p, struct socket *own);
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
    attempt_waiters.settled(p);
}

/* As if requests were of three callers, for queue: fair. */
static const void *caller_of(const struct waiter *p)
{
    static const char callers[3];

    return &callers[p->nth % 3];
}

/* Books are kept of who is told. */
static void own_waiters(struct pool *p)
{
    static struct waiter_owner owner;

    owner = attempt_waiters;
    owner.settled = on_settled;
    owner.caller = caller_of;
    p->waiter_owner = &owner;
}

static enum acquire_result count_queued(enum acquire_result result)
{
    books.queued += result == ACQUIRE_WAITS;
    return result;
}

enum acquire_result __wrap_origin_acquire(struct waiter *p)
{
    return count_queued(__real_origin_acquire(p));
}

enum acquire_result __wrap_origin_acquire_own(struct waiter *p, struct socket *own)
{
    return count_queued(__real_origin_acquire_own(p, own));
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
    fuzz_assert(!books.kept || (world_calls.lacked_memory ? told <= books.begun : told == books.begun));
    fuzz_assert(world_calls.lacked_memory ? told <= answered - books.answered
                                          : told == answered - books.answered);
    books.begun = books.queued = books.told = books.given_up = 0;
    books.answered = answered;
    books.records = world_rig.records;
    world_calls = (struct world_calls){0};
}

/* --- Turns -------------------------------------------------------------------------------------------------- */

static bool timers_are_late;

void world_pass(uint64_t ms)
{
    fuzz_clock_pass(ms);
    timers_are_late = true;
    fuzz_wake_timers(world_rig.base);
}

void world_open(void)
{
    static const char policy[] = "match: \"*\", retries: 2, drainLimit: 1KiB, replayLimit: 2KiB";
    static const char file[] = "access: {unmatched: deny, connectPorts: [443, 80]}";
    static bool is_open; /* replay.c has several targets, of one world */

    signal(SIGPIPE, SIG_IGN);
    calls_begin();
    if (is_open)
        proxy_rig_configure(&world_rig, policy, file);
    else
        proxy_rig_open(&world_rig, policy, file);
    own_waiters(world_rig.pool);
    is_open = true;
    calls_end();
}

int world_client(void)
{
    calls_begin();
    calls_enter_turn();
    int fd = proxy_rig_client(&world_rig);
    calls_leave_turn();
    const struct client *newest = TAILQ_LAST(&world_rig.proxy->clients, client_list);
    if (newest)
        world_trace_client(newest->conn.fd);
    return fd;
}

void world_turn(void)
{
    calls_begin();
    calls_pay();
    calls_enter_turn();
    proxy_rig_turn(&world_rig);
    calls_leave_turn();
    check_turn();
}

/* To connect takes three turns in which no byte moves: the attempt, its end, the request that is told of it.
 * A timer that is late waits for more. */
static bool settle_for(unsigned most)
{
    const unsigned enough = timers_are_late ? 4 + TIMER_LATE_TURNS : 4;
    uint64_t before;
    unsigned quiet = 0;

    timers_are_late = false;
    for (unsigned turns = 0; quiet < enough && turns < most; turns++) {
        before = world_calls.made;
        world_turn();
        quiet = world_calls.made == before && !calls_owe_any() ? quiet + 1 : 0;
    }
    return quiet == enough;
}

/* Nobody is asleep while something still moves. */
static void settle(void)
{
    if (!settle_for(1000))
        return;
    check_nobody_sleeps();
    if (!world_calls.failed) /* which may have been the one that sets a timer */
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
         round < 50 && (world_rig.proxy->stats.clients_open > 0 || !TAILQ_EMPTY(&world_rig.proxy->tunnels));
         round++) {
        world_settle();
        hang_up_origins();
    }
    fuzz_assert(world_rig.proxy->stats.clients_open == 0);
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
    calls_forget();
    checks_forget();
    calls_end();
}
