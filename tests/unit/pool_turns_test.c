/* queue: fair: whose turn it is. */

#include "pool_test.h"

#include <limits.h>

#include "base/clock.h"
#include "pool/check.h"

#define MANY 12

static struct asker askers[MANY];
static const char callers[] = "abcdef"; /* a caller is the address of its letter */
static unsigned memory_left = UINT_MAX; /* for so many objects */

void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
    if (memory_left == 0)
        return NULL;
    memory_left -= memory_left != UINT_MAX;
    return __real_calloc(n, size);
}

static const void *caller(char letter)
{
    return letter == '-' ? NULL : strchr(callers, letter);
}

static enum acquire_result ask_as(struct asker *a, struct origin *o, char letter, enum acquire_how how)
{
    a->caller = caller(letter);
    enum acquire_result result = asker_ask(a, o, how);
    pool_check(rig.pool);
    return result;
}

/* The nth letter is the caller of askers[n], all of which wait. */
static void queue_up(struct origin *o, const char *letters)
{
    for (unsigned i = 0; letters[i]; i++)
        ck_assert_int_eq(ask_as(&askers[i], o, letters[i], ACQUIRE_NEW), ACQUIRE_WAITS);
}

static struct asker *next_to_be_told(unsigned n)
{
    struct asker *found = NULL;

    for (unsigned i = 0; i < n; i++)
        if (askers[i].socket) {
            ck_assert_ptr_null(found);
            found = &askers[i];
        }
    return found;
}

/* Serves all of them, one at a time; the numbers of askers in the order in which they were. */
static void serve(struct asker *first, unsigned n, char *order)
{
    for (unsigned i = 0; i < n; i++) {
        struct asker *next = NULL;

        asker_release(first);
        for (unsigned k = 0; k < 2000 && !next; k++) {
            pool_rig_turn(&rig);
            pool_check_turn(rig.pool);
            next = next_to_be_told(MANY);
            if (!next)
                pool_rig_run(&rig, 1);
        }
        ck_assert_ptr_nonnull(next);
        *order++ = (char)('0' + (next - askers));
        first = next;
    }
    *order = '\0';
    asker_release(first);
}

static struct origin *open_held(struct asker *holder, const char *options)
{
    struct origin *o;

    memset(askers, 0, sizeof askers);
    o = open_rig(options);
    asker_get(holder, &rig, o);
    return o;
}

START_TEST(callers_take_turns)
{
    static const struct {
        const char *asked, *served;
    } cases[] = {
        {"aaaa", "0123"},       /* one caller: as fifo */
        {"aaaabb", "041523"},   /* a flood holds others up by one each */
        {"aabbcc", "024135"},   /* in turn */
        {"aaaabcb", "0451623"}, /* who comes later waits for one of each */
        {"--a-a", "02143"},     /* who is not known is one caller */
        {"abcabc", "012345"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asker holder = {0};
        char order[MANY + 1];
        struct origin *o = open_held(&holder, "maxSockets: 1, queue: fair");

        queue_up(o, cases[i].asked);
        serve(&holder, (unsigned)strlen(cases[i].asked), order);
        ck_assert_str_eq(order, cases[i].served);
        pool_rig_close(&rig);
    }
}
END_TEST

START_TEST(fifo_does_not_care_who_asks)
{
    struct asker holder = {0};
    char order[MANY + 1];
    struct origin *o = open_held(&holder, "maxSockets: 1");

    queue_up(o, "aaaabb");
    serve(&holder, 6, order);
    ck_assert_str_eq(order, "012345");
    pool_rig_close(&rig);
}
END_TEST

START_TEST(a_reload_changes_the_order_of_those_who_wait)
{
    struct asker holder = {0};
    char order[MANY + 1];
    struct origin *o = open_held(&holder, "maxSockets: 1");

    queue_up(o, "aaaabb");
    pool_rig_configure(&rig, "maxSockets: 1, queue: fair");
    pool_check(rig.pool);
    serve(&holder, 6, order);
    ck_assert_str_eq(order, "041523");
    pool_rig_close(&rig);
    o = open_held(&holder, "maxSockets: 1, queue: fair");
    queue_up(o, "aaaabb");
    pool_rig_configure(&rig, "maxSockets: 1");
    pool_check(rig.pool);
    serve(&holder, 6, order);
    ck_assert_str_eq(order, "012345");
    pool_rig_close(&rig);
}
END_TEST

/* Those who wait for a connection have had their turn; with fifo they are the oldest once more. */
START_TEST(a_reload_to_fifo_puts_those_who_connect_in_order)
{
    struct asker holder = {0};
    struct origin *o = open_held(&holder, "maxSockets: 1, queue: fair");

    queue_up(o, "aab");
    pool_rig_configure(&rig, "maxSockets: 3, queue: fair");
    agent_serve(pool_rig_agent(&rig));
    ck_assert_uint_eq(o->waiting_count, 2);
    ck_assert_int_eq(askers[2].waiter.state, WAITER_WAITING);
    ck_assert_int_eq(askers[1].waiter.state, WAITER_BLOCKED);
    pool_rig_configure(&rig, "maxSockets: 3");
    pool_check(rig.pool);
    ck_assert_int_eq(askers[1].waiter.state, WAITER_WAITING);
    ck_assert_int_eq(askers[2].waiter.state, WAITER_BLOCKED);
    asker_release(&holder);
    for (unsigned i = 0; i < 2000 && (askers[0].waits || askers[1].waits || askers[2].waits); i++)
        pool_rig_run(&rig, 1);
    for (unsigned i = 0; i < 3; i++)
        asker_release(&askers[i]);
    pool_rig_close(&rig);
}
END_TEST

/* It has had its turn already. */
START_TEST(a_repeat_is_next)
{
    struct asker holder = {0};
    char order[MANY + 1];
    struct origin *o = open_held(&holder, "maxSockets: 1, queue: fair");

    queue_up(o, "aab");
    ck_assert_int_eq(ask_as(&askers[3], o, 'b', ACQUIRE_AGAIN), ACQUIRE_WAITS);
    serve(&holder, 4, order);
    ck_assert_str_eq(order, "3021");
    pool_rig_close(&rig);
}
END_TEST

/* Its connection ends under it. */
static void lose_socket(struct asker *a)
{
    socket_retire(a->socket, RETIRE_ERROR);
    a->socket = NULL;
}

static void leave(struct asker *a)
{
    waiter_cancel(&a->waiter);
    a->waits = false;
    pool_check(rig.pool);
}

/* The nth letter is the caller of askers[n], which all get a socket. */
static struct origin *open_held_by(const char *letters, const char *options)
{
    memset(askers, 0, sizeof askers);
    struct origin *o = open_rig(options);
    for (unsigned i = 0; letters[i]; i++) {
        askers[i].caller = caller(letters[i]);
        asker_get(&askers[i], &rig, o);
    }
    return o;
}

START_TEST(a_place_that_does_not_come_is_given_back_by_the_last_turn)
{
    struct origin *o = open_held_by("aa", "maxSockets: 2, queue: fair");
    struct asker *repeat = &askers[1], *before = &askers[2], *last = &askers[3], *other = &askers[4];

    ask_as(before, o, 'a', ACQUIRE_NEW);
    ask_as(last, o, 'a', ACQUIRE_NEW);
    ask_as(other, o, 'b', ACQUIRE_NEW);
    asker_release(&askers[0]);
    pool_rig_turn(&rig);
    ck_assert_ptr_nonnull(before->socket);
    lose_socket(before);
    lose_socket(repeat);
    ck_assert_int_eq(ask_as(repeat, o, 'a', ACQUIRE_AGAIN), ACQUIRE_WAITS);
    ck_assert_int_eq(repeat->waiter.state, WAITER_WAITING);
    ck_assert_int_eq(other->waiter.state, WAITER_WAITING);
    ck_assert_int_eq(last->waiter.state, WAITER_BLOCKED);
    leave(repeat);
    leave(other);
    leave(last);
    pool_rig_close(&rig);
}
END_TEST

/* Another caller's repeat, which is older, waits in front of it. */
START_TEST(a_repeat_takes_the_place_of_a_younger_one_of_its_caller)
{
    struct origin *o = open_held_by("baa", "maxSockets: 3, queue: fair");
    struct asker *other = &askers[0], *gone = &askers[1], *repeat = &askers[2], *younger = &askers[3];

    ask_as(younger, o, 'a', ACQUIRE_NEW);
    pool_rig_configure(&rig, "maxSockets: 1, queue: fair");
    lose_socket(other);
    ask_as(other, o, 'b', ACQUIRE_AGAIN);
    lose_socket(gone);
    ask_as(gone, o, 'a', ACQUIRE_AGAIN);
    leave(gone);
    lose_socket(repeat);
    ck_assert_int_eq(ask_as(repeat, o, 'a', ACQUIRE_AGAIN), ACQUIRE_WAITS);
    ck_assert_int_eq(repeat->waiter.state, WAITER_WAITING);
    ck_assert_int_eq(other->waiter.state, WAITER_BLOCKED);
    ck_assert_int_eq(younger->waiter.state, WAITER_BLOCKED);
    leave(repeat);
    leave(other);
    leave(younger);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(who_leaves_gives_up_no_turn_of_others)
{
    struct asker holder = {0};
    char order[MANY + 1];
    struct origin *o = open_held(&holder, "maxSockets: 1, queue: fair");

    queue_up(o, "aabbc");
    waiter_cancel(&askers[0].waiter);
    askers[0].waits = false;
    waiter_cancel(&askers[4].waiter);
    askers[4].waits = false;
    pool_check(rig.pool);
    serve(&holder, 3, order);
    ck_assert_str_eq(order, "123");
    pool_rig_close(&rig);
}
END_TEST

START_TEST(a_full_queue_gives_places_to_those_who_have_fewer)
{
    struct asker holder = {0};
    struct origin *o = open_held(&holder, "maxSockets: 1, queue: fair, maxPendingRequests: 3");

    queue_up(o, "aaa");
    ck_assert_int_eq(ask_as(&askers[3], o, 'a', ACQUIRE_NEW), ACQUIRE_QUEUE_FULL);
    ck_assert_int_eq(ask_as(&askers[4], o, 'b', ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert(askers[2].waiter.displaced && askers[2].waiter.state == WAITER_SETTLED);
    ck_assert_int_eq(ask_as(&askers[5], o, 'b', ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert(askers[1].waiter.displaced);
    ck_assert_int_eq(ask_as(&askers[6], o, 'b', ACQUIRE_NEW), ACQUIRE_QUEUE_FULL);
    ck_assert_int_eq(ask_as(&askers[7], o, 'c', ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert(askers[5].waiter.displaced);
    pool_end_turn(rig.pool);
    ck_assert_uint_eq(askers[1].told + askers[2].told + askers[5].told, 3);
    ck_assert_uint_eq(o->blocked_count, 3);
    ck_assert_uint_eq(o->stats.queue_full, 2);
    ck_assert_uint_eq(o->stats.displaced, 3); /* these had waited */
    ck_assert_uint_eq(o->demand.peak, 4);
    ck_assert_uint_eq(o->stats.requests, 9);
    asker_release(&holder);
    for (unsigned i = 0; i < 2000 && o->blocked_count + o->active_count > 0; i++) {
        pool_rig_turn(&rig);
        for (unsigned k = 0; k < MANY; k++)
            if (askers[k].socket)
                asker_release(&askers[k]);
    }
    pool_rig_close(&rig);
}
END_TEST

START_TEST(no_queue_has_no_places_to_give)
{
    struct asker holder = {0};
    struct origin *o = open_held(&holder, "maxSockets: 1, queue: fair, maxPendingRequests: 0");

    ck_assert_int_eq(ask_as(&askers[0], o, 'a', ACQUIRE_NEW), ACQUIRE_QUEUE_FULL);
    asker_release(&holder);
    pool_rig_close(&rig);
}
END_TEST

/* Under maxTotalSockets the turns go over all origins of the agent. */
START_TEST(turns_are_the_agents_where_its_limit_holds)
{
    struct asker holder = {0};
    char order[MANY + 1];
    struct origin *a = open_held(&holder, "maxTotalSockets: 1, queue: fair"),
                  *b = pool_rig_origin(&rig, "b.test");

    queue_up(a, "aaaa");
    for (unsigned i = 4; i < 6; i++)
        ck_assert_int_eq(ask_as(&askers[i], b, 'b', ACQUIRE_NEW), ACQUIRE_WAITS);
    serve(&holder, 6, order);
    ck_assert_str_eq(order, "041523");
    ck_assert_uint_gt(a->stats.retired[RETIRE_EVICTED], 0);
    pool_rig_close(&rig);
}
END_TEST

/* One origin's own limit holds: who is served at another one meanwhile has not had its turn here. */
START_TEST(turns_are_the_origins_where_its_limit_holds)
{
    struct asker holder = {0}, other = {0};
    char order[MANY + 1];
    struct origin *a = open_held(&holder, "maxSockets: 1, queue: fair"), *b = pool_rig_origin(&rig, "b.test");

    queue_up(a, "aabb");
    asker_get(&other, &rig, b);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(ask_as(&askers[4], b, 'a', ACQUIRE_NEW), ACQUIRE_WAITS);
        asker_release(&other);
        pool_rig_turn(&rig);
        ck_assert_ptr_nonnull(askers[4].socket);
        other.socket = askers[4].socket;
        askers[4].socket = NULL;
    }
    asker_release(&other);
    serve(&holder, 4, order);
    ck_assert_str_eq(order, "0213");
    pool_rig_close(&rig);
}
END_TEST

START_TEST(without_memory_for_turns_the_oldest_is_next)
{
    struct asker holder = {0};
    char order[MANY + 1];
    struct origin *o = open_held(&holder, "maxSockets: 1, maxPendingRequests: 6, queue: fair");

    queue_up(o, "aaab");
    memory_left = 1; /* for its entry: its caller has a turn */
    ck_assert_int_eq(ask_as(&askers[4], o, 'b', ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_uint_eq(pool_rig_agent(&rig)->turnless, 0);
    memory_left = 1;
    ck_assert_int_eq(ask_as(&askers[5], o, 'c', ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_uint_eq(pool_rig_agent(&rig)->turnless, 1);
    ck_assert_int_eq(ask_as(&askers[6], o, 'd', ACQUIRE_NEW), ACQUIRE_QUEUE_FULL);
    memory_left = UINT_MAX;
    serve(&holder, 6, order);
    ck_assert_str_eq(order, "012345");
    ck_assert_uint_eq(pool_rig_agent(&rig)->turnless, 0);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(without_memory_for_an_entry_the_oldest_is_next)
{
    struct asker holder = {0};
    char order[MANY + 1];
    struct origin *o = open_held(&holder, "maxSockets: 1, queue: fair");

    queue_up(o, "aab");
    memory_left = 0;
    ck_assert_int_eq(ask_as(&askers[3], o, 'b', ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_int_eq(ask_as(&askers[4], o, 'c', ACQUIRE_NEW), ACQUIRE_WAITS);
    ck_assert_uint_eq(pool_rig_agent(&rig)->turnless, 2);
    memory_left = UINT_MAX;
    serve(&holder, 5, order);
    ck_assert_str_eq(order, "01234");
    ck_assert_uint_eq(pool_rig_agent(&rig)->turnless, 0);
    pool_rig_close(&rig);
}
END_TEST

/* Those whose connection is being opened already have one all the same. */
START_TEST(without_memory_for_a_connection_who_is_next_fails)
{
    struct origin *o = open_rig("maxSockets: 1");

    memset(askers, 0, sizeof askers);
    queue_up(o, "aab");
    ck_assert_uint_eq(o->waiting_count, 1);
    pool_rig_configure(&rig, "maxSockets: 2");
    memory_left = 0;
    pool_end_turn(rig.pool);
    memory_left = UINT_MAX;
    pool_check(rig.pool);
    ck_assert_uint_eq(askers[0].told, 0);
    for (unsigned i = 1; i < 3; i++)
        ck_assert_int_eq(askers[i].error, CONNECT_NO_RESOURCES);
    pool_rig_run(&rig, 20);
    ck_assert_ptr_nonnull(askers[0].socket);
    asker_release(&askers[0]);
    pool_rig_close(&rig);
}
END_TEST

void pool_turns_tests(Suite *suite)
{
    unit_group(suite, "turns", callers_take_turns, fifo_does_not_care_who_asks,
               a_reload_changes_the_order_of_those_who_wait, a_reload_to_fifo_puts_those_who_connect_in_order,
               a_repeat_is_next, a_place_that_does_not_come_is_given_back_by_the_last_turn,
               a_repeat_takes_the_place_of_a_younger_one_of_its_caller, who_leaves_gives_up_no_turn_of_others,
               a_full_queue_gives_places_to_those_who_have_fewer, no_queue_has_no_places_to_give,
               turns_are_the_agents_where_its_limit_holds, turns_are_the_origins_where_its_limit_holds,
               without_memory_for_turns_the_oldest_is_next, without_memory_for_an_entry_the_oldest_is_next,
               without_memory_for_a_connection_who_is_next_fails);
}
