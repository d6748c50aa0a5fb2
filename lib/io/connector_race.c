/* Connects to several addresses, 250 ms apart; the first that answers wins (RFC 8305 5). What follows (the
 * parent proxy's answer, TLS) is part of the race: while it stalls, further addresses are tried. */

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/minmax.h"
#include "io/address_memory.h"
#include "io/connect_error.h"
#include "io/connector_internal.h"
#include "io/dial.h"
#include "io/parent.h"

/* RFC 8305 5: the Connection Attempt Delay. */
#define ATTEMPT_DELAY_MS 250
/* How long a handshake may take before the next address is tried as well: it needs several round trips, and a
 * busy peer's time. A fourth of the limit for the whole where that is short. */
#define HANDSHAKE_DELAY_MS 1000
/* A unix listener whose queue is full says so at once and gives no event when there is room. */
#define QUEUE_FULL_DELAY_MS 20

void race_add(struct connector *c, const struct address *address, bool named, uint32_t rank)
{
    if (c->attempt_count == c->attempt_room)
        return;
    c->attempts[c->attempt_count++] =
        (struct attempt){.connector = c, .address = *address, .named = named, .rank = rank, .conn.fd = -1};
}

void race_close(struct attempt *a)
{
    if (!attempt_is_under_way(a))
        return;
    event_del(&a->event);
    conn_close(&a->conn, false);
    parent_talk_free(a->talk);
    a->talk = NULL;
    a->connector->under_way--;
    a->state = ATTEMPT_UNTRIED;
}

void race_remember_slow(struct connector *c, uint64_t now, uint64_t ms)
{
    for (uint32_t i = 0; i < c->attempt_count; i++)
        if (attempt_is_under_way(&c->attempts[i]) && c->attempts[i].began_ms + ms <= now)
            address_remember_failure(c->plan.memory, &c->attempts[i].address);
}

static void attempt_failed(struct attempt *a, int number, const char *what)
{
    struct connector *c = a->connector;
    enum connect_error error = connect_error_of(number);
    char text[CONNECTOR_PEER_SIZE], why[128];

    connector_note(c, error, "%s %s: %s%s", what, connector_peer(c, a, text),
                   connect_error_text(number, why, sizeof why), connect_error_advice(number));
    race_close(a);
    a->state = ATTEMPT_FAILED;
    c->failed++;
    if (error != CONNECT_NO_RESOURCES)
        address_remember_failure(c->plan.memory, &a->address);
}

/* They are tried again when all others have been. */
static void close_unconnected(struct connector *c)
{
    for (uint32_t i = 0; i < c->attempt_count; i++) {
        struct attempt *a = &c->attempts[i];
        if (a->state != ATTEMPT_CONNECTING)
            continue;
        race_close(a);
        a->rank += ATTEMPTS_MAX * RANKS_A_NAME;
    }
}

static uint64_t handshake_delay_ms(const struct connector *c)
{
    uint64_t ms = c->plan.timeout_ms / 4;

    if (ms == 0 || ms > HANDSHAKE_DELAY_MS)
        return HANDSHAKE_DELAY_MS;
    return max64(ms, ATTEMPT_DELAY_MS);
}

static void attempt_connected(struct attempt *a)
{
    struct connector *c = a->connector;

    a->state = c->plan.tunnel ? ATTEMPT_PARENT : ATTEMPT_HANDSHAKE;
    /* One that was beaten in spite of a head start is not tried first next time. */
    race_remember_slow(c, a->began_ms, ATTEMPT_DELAY_MS);
    close_unconnected(c);
    timer_set(&c->pace, handshake_delay_ms(c));
    handshake_begin(a);
}

static void attempt_ready(evutil_socket_t fd, short what, void *arg)
{
    struct attempt *a = arg;
    struct connector *c = a->connector;
    int number;

    (void)what;
    clock_update();
    if (a->state != ATTEMPT_CONNECTING) {
        handshake_go_on(a);
        return;
    }
    number = dial_result(fd, &a->address);
    if (number == 0) {
        attempt_connected(a);
        return;
    }
    attempt_failed(a, number, "cannot connect to");
    race_try_next(c);
}

bool race_is_permitted(struct connector *c, const struct address *a, bool named)
{
    enum connect_error error = CONNECT_OK;
    char text[ADDRESS_TEXT_SIZE];

    address_format(a, text);
    if (c->plan.permit)
        error = c->plan.permit(c->plan.permit_ctx, a, named);
    if (error == CONNECT_LOOP)
        connector_note(c, error, "%s is a listener of this Carpool itself", text);
    else if (error != CONNECT_OK)
        connector_note(
            c, error,
            "%s is an address that access.denyAddresses forbids; an upstream that is meant to go there names it "
            "in its address",
            text);
    return error == CONNECT_OK;
}

/* Whether the plan lets us go there at all; notes why not. */
static bool is_allowed(struct connector *c, const struct attempt *a)
{
    const struct address *local = c->plan.local;
    int family = a->address.sa.any.sa_family;
    char text[ADDRESS_TEXT_SIZE];

    if (!race_is_permitted(c, &a->address, a->named))
        return false;
    if (family == AF_UNIX)
        return true;
    address_format(&a->address, text);
    if (c->plan.family != AF_UNSPEC && family != c->plan.family) {
        connector_note(c, CONNECT_UNROUTABLE, "%s is not an IPv%c address, and `family: %c` asks for one",
                       text, c->plan.family == AF_INET ? '4' : '6', c->plan.family == AF_INET ? '4' : '6');
        return false;
    }
    if (local && local->length > 0 && local->sa.any.sa_family != family) {
        connector_note(c, CONNECT_UNROUTABLE, "%s and `localAddress` are of different families", text);
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
    int fd, number = dial(&a->address, c->plan.local, c->plan.keepalive_ms, &fd, what);

    if (fd >= 0)
        conn_open(&a->conn, fd);
    return number;
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
        connector_note(c, CONNECT_REFUSED, "cannot connect to %s: its queue of connections is full",
                       a->address.sa.unix_.sun_path);
        conn_close(&a->conn, false);
        a->rank += ATTEMPTS_MAX * RANKS_A_NAME;
        c->queued = a;
        attempt_postpone(c, a, QUEUE_FULL_DELAY_MS);
        return true;
    }
    event_assign(&a->event, c->base, a->conn.fd, EV_READ | EV_WRITE | EV_ET | EV_PERSIST, attempt_ready, a);
    a->state = ATTEMPT_CONNECTING;
    c->under_way++;
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

void race_try_next(struct connector *c)
{
    struct attempt *a;

    if (c->state == CONNECTOR_ENDED)
        return;
    c->state = CONNECTOR_RACING;
    timer_clear(&c->pace);
    while ((a = choose(c)))
        if (attempt_begin(c, a))
            return;
    if (c->under_way == 0 && c->questions_open == 0)
        connector_end(c);
}
