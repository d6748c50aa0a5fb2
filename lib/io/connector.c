#include "io/connector.h"

#include <assert.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/timer.h"
#include "config/config.h"
#include "io/address_order.h"
#include "io/connect_error.h"
#include "io/dial.h"
#include "io/resolver.h"

#define ATTEMPTS_MAX 64
/* RFC 8305 5: the Connection Attempt Delay. */
#define ATTEMPT_DELAY_MS 250
/* RFC 8305 3: with addresses of one name in hand, how long those of another are waited for. */
#define RESOLUTION_DELAY_MS 50
/* A unix listener whose queue is full says so at once and gives no event when there is room. */
#define QUEUE_FULL_DELAY_MS 20
/* A step of a handshake takes half a millisecond: of a burst, the loop takes so many a turn and looks after
 * other sockets in between. */
#define HANDSHAKE_STEPS_A_TURN 8

/* An address and the connection that is tried there. */
struct attempt {
    struct connector *connector;
    enum { ATTEMPT_UNTRIED, ATTEMPT_CONNECTING, ATTEMPT_FAILED } state;
    struct address address;
    bool named;    /* it comes from the upstream's `address` */
    uint32_t rank; /* lower is sooner */
    uint64_t began_ms;
    int fd; /* CONNECTING */
    struct event event;
};

/* A name that is being resolved. */
struct lookup {
    struct connector *connector;
    struct resolver_query *query; /* NULL: answered */
    const char *name;
    uint16_t port;
    bool named;
    uint32_t rank, rotation; /* of its first address; where its addresses begin */
};

/*
 *                  addresses               first to connect
 *   RESOLVING ----------------> RACING ------------------------> HANDSHAKE --> ENDED --> done()
 *       |                       |    ^                             |   |          ^
 *       |                       |    +-- peer closed: the next one-+   +- refused-+
 *       +-- no name resolves ---+-- no address is left, deadline -----------------+
 *
 * Without TLS, the first to connect ends it. ENDED lasts until the loop comes round: done() is never called
 * from below a caller. */
enum connector_state { CONNECTOR_RESOLVING, CONNECTOR_RACING, CONNECTOR_HANDSHAKE, CONNECTOR_ENDED };

struct connector {
    enum connector_state state;
    struct event_base *base;
    struct resolver *resolver;
    struct connect_plan plan;
    void (*done)(void *ctx, struct connect_result *r);
    void *ctx;
    uint64_t began_ms;
    struct timer deadline, pace; /* pace: when the next address may start, or the handshake goes on */
    struct event ended;
    struct attempt *winner;       /* HANDSHAKE */
    struct connect_result result; /* the error is the most telling one so far */
    uint32_t trying, failed;
    struct lookup *lookups;
    uint32_t lookup_count, lookups_open;
    uint32_t attempt_count, attempt_room;
    struct attempt attempts[];
};

static void try_next(struct connector *c);

/* Keeps the most telling failure. */
__attribute__((format(printf, 3, 4))) static void note(struct connector *c, enum connect_error error,
                                                       const char *format, ...)
{
    va_list args;

    if (connect_error_weight(error) <= connect_error_weight(c->result.error))
        return;
    c->result.error = error;
    va_start(args, format);
    vsnprintf(c->result.text, sizeof c->result.text, format, args);
    va_end(args);
}

/* ---- the end */

static void attempt_close(struct attempt *a)
{
    if (a->state != ATTEMPT_CONNECTING)
        return;
    event_del(&a->event);
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
    a->connector->trying--;
    a->state = ATTEMPT_UNTRIED;
}

static void stop_everything(struct connector *c)
{
    for (uint32_t i = 0; i < c->lookup_count; i++)
        if (c->lookups[i].query)
            resolver_cancel(c->lookups[i].query);
    for (uint32_t i = 0; i < c->attempt_count; i++)
        attempt_close(&c->attempts[i]);
    timer_release(&c->deadline);
    timer_release(&c->pace);
    event_del(&c->ended);
}

static void destroy(struct connector *c)
{
    free(c->lookups);
    free(c);
}

static void call_done(evutil_socket_t fd, short what, void *arg)
{
    struct connector *c = arg;
    void (*done)(void *, struct connect_result *) = c->done;
    void *ctx = c->ctx;
    struct connect_result result = c->result;

    (void)fd;
    (void)what;
    destroy(c);
    done(ctx, &result);
}

/* c->result is as it shall be told. */
static void end(struct connector *c)
{
    struct connect_result *r = &c->result;
    size_t n = strlen(r->text);

    stop_everything(c);
    for (uint32_t i = 0; i < c->lookup_count; i++)
        c->lookups[i].query = NULL;
    if (r->error == CONNECT_OK)
        r->text[0] = '\0';
    else
        conn_close(&r->conn, false);
    if (r->error != CONNECT_OK && c->failed > 1)
        snprintf(r->text + n, sizeof r->text - n, " (and %u more address%s failed)", c->failed - 1,
                 c->failed > 2 ? "es" : "");
    r->took_ms = clock_ms() - c->began_ms;
    c->state = CONNECTOR_ENDED;
    event_active(&c->ended, EV_TIMEOUT, 0);
}

static void deadline_passed(void *ctx)
{
    struct connector *c = ctx;
    unsigned long long ms = c->plan.timeout_ms;
    char text[ADDRESS_TEXT_SIZE];
    struct attempt *slowest = c->winner;

    for (uint32_t i = 0; i < c->attempt_count && !c->winner; i++) {
        struct attempt *a = &c->attempts[i];
        if (a->state != ATTEMPT_CONNECTING)
            continue;
        address_remember_failure(c->plan.memory, &a->address);
        if (!slowest || a->began_ms < slowest->began_ms)
            slowest = a;
    }
    if (c->winner)
        address_remember_failure(c->plan.memory, &c->winner->address);
    if (c->winner)
        note(c, CONNECT_TIMEOUT, "TLS handshake with %s: no answer within %llu ms (timeouts.connect)",
             address_format(&slowest->address, text), ms);
    else if (slowest)
        note(c, CONNECT_TIMEOUT, "connect to %s: no answer within %llu ms (timeouts.connect)",
             address_format(&slowest->address, text), ms);
    else if (c->lookups_open > 0)
        note(c, CONNECT_DNS_TIMEOUT, "cannot resolve %s: no answer within %llu ms (timeouts.connect)",
             c->lookups[0].name, ms);
    else
        note(c, CONNECT_TIMEOUT, "no connection within %llu ms (timeouts.connect)", ms);
    end(c);
}

/* ---- TLS */

static void connected(struct connector *c, struct attempt *a)
{
    address_forget_failure(c->plan.memory, &a->address);
    event_del(&a->event);
    a->state = ATTEMPT_UNTRIED;
    c->trying--;
    c->result.error = CONNECT_OK;
    c->result.peer = a->address;
    end(c);
}

/* A peer that hangs up may be one that is restarting: the next address gets its chance. One that answers
 * wrongly is as wrong there. */
static void handshake_failed(struct connector *c)
{
    struct attempt *a = c->winner;
    char text[ADDRESS_TEXT_SIZE], cause[sizeof c->result.text];
    enum connect_error error = connect_error_of_tls(tls_failure(&c->result.conn, cause, sizeof cause));

    note(c, error, "TLS handshake with %s: %s", address_format(&a->address, text), cause);
    c->winner = NULL;
    attempt_close(a);
    conn_close(&c->result.conn, false);
    a->state = ATTEMPT_FAILED;
    c->failed++;
    if (error != CONNECT_TERMINATED) {
        end(c);
        return;
    }
    address_remember_failure(c->plan.memory, &a->address);
    c->state = CONNECTOR_RACING;
    try_next(c);
}

/* Counts a step. A turn is known by the time that the loop keeps while it lasts. */
static bool turn_is_used_up(struct event_base *base)
{
    struct turn {
        struct timeval time;
        int steps;
    };
    static __thread struct turn turn;
    struct timeval now;

    event_base_gettimeofday_cached(base, &now);
    if (now.tv_sec != turn.time.tv_sec || now.tv_usec != turn.time.tv_usec) {
        turn.time = now;
        turn.steps = 0;
    }
    return ++turn.steps > HANDSHAKE_STEPS_A_TURN;
}

static void handshake(struct connector *c)
{
    if (turn_is_used_up(c->base)) {
        timer_set_at(&c->pace, clock_ms());
        return;
    }
    switch (tls_handshake(&c->result.conn)) {
    case 0: return;
    case 1:
        c->result.tls_resumed = tls_was_resumed(&c->result.conn);
        connected(c, c->winner);
        return;
    }
    handshake_failed(c);
}

/* ---- the race */

static void attempt_failed(struct attempt *a, int number, const char *what)
{
    struct connector *c = a->connector;
    enum connect_error error = connect_error_of(number);
    char text[ADDRESS_TEXT_SIZE];

    note(c, error, "%s %s: %s%s", what, address_format(&a->address, text), strerror(number),
         connect_error_advice(number));
    attempt_close(a);
    a->state = ATTEMPT_FAILED;
    c->failed++;
    if (error != CONNECT_NO_RESOURCES)
        address_remember_failure(c->plan.memory, &a->address);
}

static void attempt_won(struct attempt *a)
{
    struct connector *c = a->connector;

    for (uint32_t i = 0; i < c->attempt_count; i++) {
        struct attempt *other = &c->attempts[i];
        if (other == a || other->state != ATTEMPT_CONNECTING)
            continue;
        /* Whoever was beaten in spite of its head start is not asked first next time. */
        if (a->began_ms - other->began_ms >= ATTEMPT_DELAY_MS)
            address_remember_failure(c->plan.memory, &other->address);
        attempt_close(other);
        other->rank += ATTEMPTS_MAX * RESOLVER_MAX_ADDRESSES;
    }
    timer_clear(&c->pace);
    conn_open(&c->result.conn, a->fd);
    a->fd = -1;
    if (!c->plan.tls) {
        connected(c, a);
        return;
    }
    c->winner = a;
    c->state = CONNECTOR_HANDSHAKE;
    if (tls_start(&c->result.conn, c->plan.tls, c->plan.servername, c->plan.sessions)) {
        handshake(c);
        return;
    }
    note(c, CONNECT_NO_RESOURCES, "TLS: out of memory");
    end(c);
}

static void attempt_ready(evutil_socket_t fd, short what, void *arg)
{
    struct attempt *a = arg;
    struct connector *c = a->connector;
    int number;

    (void)what;
    clock_update();
    if (a == c->winner) {
        handshake(c);
        return;
    }
    number = dial_result(fd, &a->address);
    if (number == 0) {
        attempt_won(a);
        return;
    }
    attempt_failed(a, number, "connect to");
    try_next(c);
}

/* Whether the policy lets us go there at all; notes why not. */
static bool is_allowed(struct connector *c, const struct attempt *a)
{
    const struct address *local = c->plan.local;
    int family = a->address.sa.any.sa_family;
    enum connect_error error = CONNECT_OK;
    char text[ADDRESS_TEXT_SIZE];

    address_format(&a->address, text);
    if (c->plan.permit)
        error = c->plan.permit(c->plan.permit_ctx, &a->address, a->named);
    if (error == CONNECT_LOOP)
        note(c, error, "%s is a listener of this Carpool itself", text);
    else if (error != CONNECT_OK)
        note(c, error, "%s is an address that access.denyAddresses forbids", text);
    if (error != CONNECT_OK || family == AF_UNIX)
        return error == CONNECT_OK;
    if (c->plan.family != AF_UNSPEC && family != c->plan.family) {
        note(c, CONNECT_UNROUTABLE, "%s is no IPv%c address, and `family: %c` asks for one", text,
             c->plan.family == AF_INET ? '4' : '6', c->plan.family == AF_INET ? '4' : '6');
        return false;
    }
    if (local && local->length > 0 && local->sa.any.sa_family != family) {
        note(c, CONNECT_UNROUTABLE, "%s and `localAddress` are of two families", text);
        return false;
    }
    return true;
}

static bool is_shortage(int number)
{
    return number == EMFILE || number == ENFILE;
}

static enum relief find_descriptor(const struct connector *c)
{
    return c->plan.relieve ? c->plan.relieve(c->plan.relieve_ctx) : RELIEF_NONE;
}

static int attempt_dial(const struct connector *c, struct attempt *a, const char **what)
{
    return dial(&a->address, c->plan.local, c->plan.keepalive_ms, &a->fd, what);
}

/* Not now, but when it is its turn again. */
static void attempt_postpone(struct connector *c, struct attempt *a, uint64_t delay_ms)
{
    a->state = ATTEMPT_UNTRIED;
    timer_set(&c->pace, delay_ms);
}

/* True when there is something to wait for. */
static bool attempt_begin(struct connector *c, struct attempt *a)
{
    const char *what;
    int number;

    a->state = ATTEMPT_FAILED;
    if (!is_allowed(c, a))
        return false;
    a->began_ms = clock_ms();
    number = attempt_dial(c, a, &what);
    enum relief relief = is_shortage(number) ? find_descriptor(c) : RELIEF_NONE;
    if (relief == RELIEF_GIVEN)
        number = attempt_dial(c, a, &what);
    if (relief == RELIEF_LATER) {
        attempt_postpone(c, a, RELIEF_DELAY_MS);
        return true;
    }
    if (number == EAGAIN && a->address.sa.any.sa_family == AF_UNIX) {
        note(c, CONNECT_REFUSED, "connect to %s: its queue of connections is full",
             a->address.sa.unix_.sun_path);
        close(a->fd);
        a->fd = -1;
        a->rank += ATTEMPTS_MAX * RESOLVER_MAX_ADDRESSES;
        attempt_postpone(c, a, QUEUE_FULL_DELAY_MS);
        return true;
    }
    event_assign(&a->event, c->base, a->fd, EV_READ | EV_WRITE | EV_ET | EV_PERSIST, attempt_ready, a);
    a->state = ATTEMPT_CONNECTING;
    c->trying++;
    if (number == 0 && event_add(&a->event, NULL) != 0)
        number = ENOMEM;
    if (number == 0)
        timer_set(&c->pace, ATTEMPT_DELAY_MS);
    else
        attempt_failed(a, number, what);
    return number == 0;
}

static struct attempt *choose(struct connector *c)
{
    struct attempt *best = NULL;
    bool best_failed = false;

    for (uint32_t i = 0; i < c->attempt_count; i++) {
        struct attempt *a = &c->attempts[i];
        bool failed = a->state == ATTEMPT_UNTRIED && address_failed_lately(c->plan.memory, &a->address);
        if (a->state != ATTEMPT_UNTRIED)
            continue;
        if (!best || failed < best_failed || (failed == best_failed && a->rank < best->rank)) {
            best = a;
            best_failed = failed;
        }
    }
    return best;
}

static void try_next(struct connector *c)
{
    struct attempt *a;

    if (c->state == CONNECTOR_ENDED || c->state == CONNECTOR_HANDSHAKE)
        return;
    c->state = CONNECTOR_RACING;
    timer_clear(&c->pace);
    while ((a = choose(c)))
        if (attempt_begin(c, a))
            return;
    if (c->trying == 0 && c->lookups_open == 0)
        end(c);
}

static void pace_passed(void *ctx)
{
    struct connector *c = ctx;

    if (c->state == CONNECTOR_HANDSHAKE)
        handshake(c);
    else
        try_next(c);
}

/* ---- addresses */

static void add_attempt(struct connector *c, const struct address *address, bool named, uint32_t rank)
{
    if (c->attempt_count == c->attempt_room)
        return;
    c->attempts[c->attempt_count++] =
        (struct attempt){.connector = c, .address = *address, .named = named, .rank = rank, .fd = -1};
}

static void answered(void *ctx, const struct resolver_answer *answer)
{
    struct lookup *l = ctx;
    struct connector *c = l->connector;
    struct address ordered[RESOLVER_MAX_ADDRESSES];
    int count = address_order(answer, l->rotation, ordered);

    l->query = NULL;
    c->lookups_open--;
    for (int i = 0; i < count; i++) {
        address_set_port(&ordered[i], l->port);
        add_attempt(c, &ordered[i], l->named, l->rank + (uint32_t)i);
    }
    if (answer->status == RESOLVER_TIMEOUT)
        note(c, CONNECT_DNS_TIMEOUT, "cannot resolve %s: %s", l->name, answer->text);
    else if (answer->status == RESOLVER_NO_RESOURCES)
        note(c, CONNECT_NO_RESOURCES, "cannot resolve %s: %s", l->name, answer->text);
    else if (answer->status != RESOLVER_OK)
        note(c, CONNECT_DNS_ERROR, "cannot resolve %s: %s", l->name, answer->text);
    if (c->lookups_open == 0 && c->trying == 0)
        try_next(c);
    else if (count > 0 && !timer_is_set(&c->pace))
        timer_set(&c->pace, RESOLUTION_DELAY_MS);
}

static void add_lookup(struct connector *c, const char *name, uint16_t port, bool named, uint32_t rank,
                       uint32_t rotation)
{
    c->lookups[c->lookup_count++] = (struct lookup){
        .connector = c, .name = name, .port = port, .named = named, .rank = rank, .rotation = rotation};
}

static void add_entry(struct connector *c, const struct address_entry *e, uint32_t rank, uint32_t rotation)
{
    if (e->is_name)
        add_lookup(c, e->host, e->port, true, rank, rotation);
    else
        add_attempt(c, &e->address, true, rank);
}

static void gather(struct connector *c)
{
    const struct address_list *entries = c->plan.entries;
    uint32_t count = entries ? entries->count : 0;
    uint32_t turn = c->plan.memory->rotation++;
    struct address literal;

    for (uint32_t i = 0; i < count; i++)
        add_entry(c, &entries->items[(turn % count + i) % count], i * RESOLVER_MAX_ADDRESSES, turn / count);
    if (count > 0)
        return;
    if (address_from_ip(&literal, slice_of(c->plan.host), c->plan.port))
        add_attempt(c, &literal, false, 0);
    else
        add_lookup(c, c->plan.host, c->plan.port, false, 0, turn);
}

static void ask_resolver(struct connector *c)
{
    /* Counted before the first one is asked, which may answer at once. */
    c->lookups_open = c->lookup_count;
    for (uint32_t i = 0; i < c->lookup_count; i++)
        c->lookups[i].query =
            resolver_ask(c->resolver, c->lookups[i].name, c->plan.family, answered, &c->lookups[i]);
    if (c->lookup_count == 0)
        try_next(c);
    else if (c->lookups_open > 0 && c->attempt_count > 0)
        timer_set(&c->pace, RESOLUTION_DELAY_MS);
}

static struct connector *connector_new(const struct connect_plan *plan)
{
    const struct address_list *entries = plan->entries;
    uint32_t names = 0, literals = 0, room;
    struct connector *c;

    for (uint32_t i = 0; entries && i < entries->count; i++) {
        names += entries->items[i].is_name;
        literals += !entries->items[i].is_name;
    }
    if (names + literals == 0)
        names = 1;
    room = literals + names * RESOLVER_MAX_ADDRESSES;
    if (room > ATTEMPTS_MAX)
        room = ATTEMPTS_MAX;
    c = calloc(1, sizeof *c + room * sizeof c->attempts[0]);
    if (!c)
        return NULL;
    c->attempt_room = room;
    c->lookups = calloc(names ? names : 1, sizeof c->lookups[0]);
    if (c->lookups)
        return c;
    free(c);
    return NULL;
}

struct connector *connector_start(struct event_base *base, struct resolver *resolver,
                                  const struct connect_plan *plan,
                                  void (*done)(void *ctx, struct connect_result *r), void *ctx)
{
    struct connector *c = connector_new(plan);

    assert(plan->memory && (!plan->tls || plan->servername));
    if (!c)
        return NULL;
    c->base = base;
    c->resolver = resolver;
    c->plan = *plan;
    c->done = done;
    c->ctx = ctx;
    clock_update();
    c->began_ms = clock_ms();
    c->result.conn.fd = -1;
    timer_init(&c->deadline, base, deadline_passed, c);
    timer_init(&c->pace, base, pace_passed, c);
    event_assign(&c->ended, base, -1, 0, call_done, c);
    timer_set(&c->deadline, plan->timeout_ms);
    gather(c);
    ask_resolver(c);
    return c;
}

void connector_cancel(struct connector *c)
{
    if (!c)
        return;
    stop_everything(c);
    conn_close(&c->result.conn, false);
    destroy(c);
}
