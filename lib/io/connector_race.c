/* Connects to several addresses, 250 ms apart; the first that answers wins (RFC 8305 5). */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/address_memory.h"
#include "io/connect_error.h"
#include "io/connector_internal.h"
#include "io/dial.h"

/* RFC 8305 5: the Connection Attempt Delay. */
#define ATTEMPT_DELAY_MS 250
/* A unix listener whose queue is full says so at once and gives no event when there is room. */
#define QUEUE_FULL_DELAY_MS 20

void race_add(struct connector *c, const struct address *address, bool named, uint32_t rank)
{
    if (c->attempt_count == c->attempt_room)
        return;
    c->attempts[c->attempt_count++] =
        (struct attempt){.connector = c, .address = *address, .named = named, .rank = rank, .fd = -1};
}

void race_close(struct attempt *a)
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
        race_close(other);
        other->rank += ATTEMPTS_MAX * RANKS_A_NAME;
    }
    timer_clear(&c->pace);
    conn_open(&c->result.conn, a->fd);
    a->fd = -1;
    handshake_begin(c, a);
}

static void attempt_ready(evutil_socket_t fd, short what, void *arg)
{
    struct attempt *a = arg;
    struct connector *c = a->connector;
    int number;

    (void)what;
    clock_update();
    if (a == c->winner) {
        handshake_go_on(c);
        return;
    }
    number = dial_result(fd, &a->address);
    if (number == 0) {
        attempt_won(a);
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
        connector_note(c, error, "%s is an address that access.denyAddresses forbids", text);
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
        connector_note(c, CONNECT_UNROUTABLE, "%s is no IPv%c address, and `family: %c` asks for one", text,
                       c->plan.family == AF_INET ? '4' : '6', c->plan.family == AF_INET ? '4' : '6');
        return false;
    }
    if (local && local->length > 0 && local->sa.any.sa_family != family) {
        connector_note(c, CONNECT_UNROUTABLE, "%s and `localAddress` are of two families", text);
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
        connector_note(c, CONNECT_REFUSED, "cannot connect to %s: its queue of connections is full",
                       a->address.sa.unix_.sun_path);
        close(a->fd);
        a->fd = -1;
        a->rank += ATTEMPTS_MAX * RANKS_A_NAME;
        c->queued = a;
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

void race_try_next(struct connector *c)
{
    struct attempt *a;

    if (c->state == CONNECTOR_ENDED || c->winner)
        return;
    c->state = CONNECTOR_RACING;
    timer_clear(&c->pace);
    while ((a = choose(c)))
        if (attempt_begin(c, a))
            return;
    if (c->trying == 0 && c->questions_open == 0)
        connector_end(c);
}
