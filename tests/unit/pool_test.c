/* lib/pool: what is pure. Queues, lives of sockets and a long random walk are in files of their own. */

#include "pool_test.h"

#include <stdio.h>

#include "pool/reuse.h"
#include "pool/stats.h"
#include "wire/retire.h"

/* reuse */

static const struct call_end good_end = {.request_complete = true,
                                         .response_complete = true,
                                         .self_delimiting = true,
                                         .origin_persistent = true,
                                         .drained = true};
static const struct reuse_limits good_limits = {
    .keep_alive = true, .wanted = true, .exchanges = 1, .max_requests = UINT32_MAX};

/* Breaks one condition; the order is that in which they are looked at, the most telling first. */
static enum retire_reason spoil(unsigned nth, struct call_end *e, struct reuse_limits *l)
{
    switch (nth) {
    case 0: e->response_complete = false; return RETIRE_ERROR;
    case 1: e->request_complete = false; return RETIRE_EARLY_RESPONSE;
    case 2: e->repaired = true; return RETIRE_PROTOCOL_ERROR;
    case 3: e->self_delimiting = false; return RETIRE_CLOSE_DELIMITED;
    case 4: l->stopping = true; return RETIRE_SHUTDOWN;
    case 5: l->keep_alive = false; return RETIRE_KEEPALIVE_OFF;
    case 6: l->max_requests = l->exchanges; return RETIRE_MAX_REQUESTS;
    case 7: e->origin_persistent = false; return RETIRE_CONNECTION_CLOSE;
    case 8: e->told_close = true; return RETIRE_CONNECTION_CLOSE;
    case 9: e->drained = false; return RETIRE_UNEXPECTED_DATA;
    case 10: l->wanted = false; return RETIRE_DRAINED;
    case 11: l->max_age_ms = l->age_ms = 1000; return RETIRE_MAX_AGE;
    case 12:
        l->has_hint_max = true;
        l->hint_left = 0;
        return RETIRE_KEEPALIVE_HINT;
    case 13:
        l->has_hint_timeout = true;
        l->hint_timeout_ms = l->hint_buffer_ms = 1000;
        return RETIRE_KEEPALIVE_HINT;
    }
    return RETIRE_NONE;
}

#define CONDITIONS 14

START_TEST(reuse_allows_the_good)
{
    struct reuse_limits l = good_limits;

    ck_assert_int_eq(reuse_refusal(&good_end, &l), RETIRE_NONE);
    l.max_age_ms = 1000;
    l.age_ms = 999;
    l.max_requests = 2;
    l.has_hint_max = true;
    l.hint_left = 1;
    l.has_hint_timeout = true;
    l.hint_timeout_ms = 1001;
    l.hint_buffer_ms = 1000;
    ck_assert_int_eq(reuse_refusal(&good_end, &l), RETIRE_NONE);
}
END_TEST

/* Of several reasons, the first of the list is told. */
START_TEST(reuse_refuses_in_order)
{
    for (unsigned first = 0; first < CONDITIONS; first++) {
        for (unsigned others = 0; others < 1u << (CONDITIONS - 1 - first); others++) {
            struct call_end e = good_end;
            struct reuse_limits l = good_limits;
            enum retire_reason expected = spoil(first, &e, &l);

            for (unsigned bit = 0; bit < CONDITIONS - 1 - first; bit++)
                if (others >> bit & 1)
                    spoil(first + 1 + bit, &e, &l);
            ck_assert_int_eq(reuse_refusal(&e, &l), expected);
        }
    }
}
END_TEST

START_TEST(reuse_refuses_zeroed_structs)
{
    const struct call_end no_end = {0};
    const struct reuse_limits no_limits = {0};

    ck_assert_int_ne(reuse_refusal(&no_end, &no_limits), RETIRE_NONE);
    ck_assert_int_ne(reuse_refusal(&no_end, &good_limits), RETIRE_NONE);
    ck_assert_int_ne(reuse_refusal(&good_end, &no_limits), RETIRE_NONE);
}
END_TEST

/* retire: the words that users know */

START_TEST(retire_words_are_those_of_the_contract)
{
    static const char *const words[] = {
        "keepAlive-off",   "connection-close", "close-delimited",
        "free-full",       "free-timeout",     "keepalive-hint",
        "max-requests",    "max-age",          "peer-closed",
        "unexpected-data", "socket-timeout",   "request-timeout",
        "connect-failed",  "connect-timeout",  "error",
        "client-aborted",  "protocol-error",   "evicted",
        "drained",         "upgraded",         "private",
        "early-response",  "goaway",           "ping-timeout",
        "flood",           "learned-timeout",  "dead",
        "shutdown",
    };

    ck_assert_str_eq(retire_word(RETIRE_NONE), "");
    ck_assert_uint_eq(RETIRE_COUNT - 1, sizeof words / sizeof words[0]);
    for (unsigned r = 1; r < RETIRE_COUNT; r++) {
        unsigned found = 0;

        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            found += strcmp(words[i], retire_word(r)) == 0;
        ck_assert_msg(found == 1, "'%s' stands %u times in the contract", retire_word(r), found);
    }
}
END_TEST

/* stats */

START_TEST(histogram_has_inclusive_bounds)
{
    static const uint64_t bounds[] = HISTOGRAM_BOUNDS;
    struct histogram h = {0};
    uint64_t sum = 0;

    ck_assert_uint_eq(sizeof bounds / sizeof bounds[0], HISTOGRAM_BUCKETS - 1);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        histogram_add(&h, bounds[i]);
        ck_assert_uint_eq(h.bucket[i], i == 0 ? 1 : 2);
        histogram_add(&h, bounds[i] + 1);
        ck_assert_uint_eq(h.bucket[i + 1], 1);
        sum += 2 * bounds[i] + 1;
    }
    histogram_add(&h, 0);
    ck_assert_uint_eq(h.bucket[0], 2);
    ck_assert_uint_eq(h.sum_us, sum);
    ck_assert_uint_eq(histogram_count(&h), 2 * (HISTOGRAM_BUCKETS - 1) + 1);
}
END_TEST

START_TEST(histogram_knows_its_largest_values)
{
    struct histogram h = {0}, other = {0};

    ck_assert_uint_eq(histogram_recent_max(&h), 0);
    histogram_add(&h, 30);
    histogram_add(&h, 20);
    ck_assert_uint_eq(h.max_us, 30);
    ck_assert_uint_eq(histogram_recent_max(&h), 30);
    h.recent_window--; /* a window later */
    histogram_add(&h, 7);
    ck_assert_uint_eq(histogram_recent_max(&h), 30);
    h.recent_window--;
    ck_assert_uint_eq(histogram_recent_max(&h), 7);
    h.recent_window--;
    ck_assert_uint_eq(histogram_recent_max(&h), 0);
    ck_assert_uint_eq(h.max_us, 30);
    histogram_add(&other, 9);
    struct origin_stats sum = {.pending = h};
    origin_stats_add(&sum, &(const struct origin_stats){.pending = other});
    ck_assert_uint_eq(histogram_recent_max(&sum.pending), 9);
    ck_assert_uint_eq(sum.pending.max_us, 30);
}
END_TEST

/* Of two histograms the largest value is the larger one, not the sum. */
static bool is_largest(size_t number)
{
    static const size_t histograms[] = {
        offsetof(struct origin_stats, pending), offsetof(struct origin_stats, connect),
        offsetof(struct origin_stats, request), offsetof(struct origin_stats, ping)};
    size_t at = number * sizeof(uint64_t);

    for (size_t i = 0; i < sizeof histograms / sizeof histograms[0]; i++)
        if (at >= histograms[i] + offsetof(struct histogram, max_us) &&
            at < histograms[i] + sizeof(struct histogram))
            return true;
    return false;
}

/* Every number of the struct is added: they are all uint64_t. */
START_TEST(stats_add_leaves_nothing_out)
{
    union {
        struct origin_stats stats;
        uint64_t numbers[sizeof(struct origin_stats) / sizeof(uint64_t)];
    } a, b;
    size_t count = sizeof a.numbers / sizeof a.numbers[0];

    ck_assert_uint_eq(sizeof a.stats, count * sizeof(uint64_t));
    for (size_t i = 0; i < count; i++) {
        a.numbers[i] = i;
        b.numbers[i] = 1000 * i + 1;
    }
    origin_stats_add(&a.stats, &b.stats);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(is_largest(i) || a.numbers[i] == 1001 * i + 1, "number %zu was not added", i);
}
END_TEST

START_TEST(stats_know_when_nothing_happened)
{
    struct origin_stats s = {0};

    ck_assert(origin_stats_is_empty(&s));
    s.retired[RETIRE_CONNECT_FAILED] = 1;
    ck_assert(!origin_stats_is_empty(&s));
    s = (struct origin_stats){.requests = 1, .errors = {[PROXY_ERROR_DNS] = 2, [PROXY_ERROR_LIMIT] = 3}};
    ck_assert(!origin_stats_is_empty(&s));
    ck_assert_uint_eq(origin_stats_errors(&s), 5);
}
END_TEST

START_TEST(failure_codes_are_errno_names)
{
    ck_assert_str_eq(socket_failure_code(SOCKET_FAILED_EOF), "EOF");
    ck_assert_str_eq(socket_failure_code(SOCKET_FAILED_RESET), "ECONNRESET");
    ck_assert_str_eq(socket_failure_code(SOCKET_FAILED_PIPE), "EPIPE");
    ck_assert_str_eq(socket_failure_code(SOCKET_FAILED_DEAD), "ETIMEDOUT");
    ck_assert_str_eq(socket_failure_code(SOCKET_FAILED_OTHER), "EIO");
}
END_TEST

/* the rig, and askers */

struct pool_rig rig;
static unsigned turns;

struct origin *open_rig(const char *options)
{
    pool_rig_open(&rig, options);
    return pool_rig_origin(&rig, "a.test");
}

void free_one(struct origin *o)
{
    struct asker a = {0};

    asker_get(&a, &rig, o);
    asker_release(&a);
    ck_assert_uint_eq(o->free_count, 1);
}

void asker_use(struct socket *s)
{
    ck_assert_uint_gt(s->unbegun, 0);
    socket_begin_exchange(s);
}

static void on_settled(struct waiter *p)
{
    struct asker *a = (struct asker *)((char *)p - offsetof(struct asker, waiter));

    ck_assert(a->waits);
    a->waits = false;
    a->told++;
    a->socket = p->socket;
    a->error = p->socket ? CONNECT_OK : p->error;
    a->turn = ++turns;
    if (a->socket)
        asker_use(a->socket);
}

static const void *caller_of(const struct waiter *p)
{
    return ((const struct asker *)((const char *)p - offsetof(struct asker, waiter)))->caller;
}

static const struct waiter_owner owner_of_askers = {.settled = on_settled, .caller = caller_of};

enum acquire_result asker_ask(struct asker *a, struct origin *o, enum acquire_how how)
{
    enum acquire_result result;

    o->agent->pool->waiter_owner = &owner_of_askers;
    a->socket = NULL;
    a->waits = true; /* the callback may not come from within, and is told apart so */
    unsigned told = a->told;
    a->waiter.origin = o;
    a->waiter.how = how;
    result = origin_acquire(&a->waiter);
    ck_assert_uint_eq(a->told, told);
    a->waits = result == ACQUIRE_WAITS;
    if (result != ACQUIRED)
        return result;
    a->socket = a->waiter.socket;
    a->turn = ++turns;
    asker_use(a->socket);
    return result;
}

struct socket *asker_get(struct asker *a, struct pool_rig *r, struct origin *o)
{
    enum acquire_result result = asker_ask(a, o, ACQUIRE_NEW);

    for (unsigned i = 0; i < 1000 && result == ACQUIRE_WAITS && a->waits; i++)
        pool_rig_run(r, 1);
    ck_assert_ptr_nonnull(a->socket);
    return a->socket;
}

void asker_release(struct asker *a)
{
    struct call_end end = pool_rig_good_end();
    struct socket *s = a->socket;

    a->socket = NULL;
    socket_release(s, &end);
}

int main(void)
{
    Suite *suite = suite_create("pool");

    unit_group(suite, "reuse", reuse_allows_the_good, reuse_refuses_in_order, reuse_refuses_zeroed_structs);
    unit_group(suite, "retire", retire_words_are_those_of_the_contract);
    unit_group(suite, "stats", histogram_has_inclusive_bounds, histogram_knows_its_largest_values,
               stats_add_leaves_nothing_out, stats_know_when_nothing_happened, failure_codes_are_errno_names);
    pool_queue_tests(suite);
    pool_life_tests(suite);
    pool_forget_tests(suite);
    pool_learned_tests(suite);
    pool_ledger_tests(suite);
    pool_path_tests(suite);
    pool_probes_tests(suite);
    pool_places_tests(suite);
    pool_reload_tests(suite);
    pool_savings_tests(suite);
    pool_turns_tests(suite);
    pool_random_tests(suite);
    return unit_run(suite);
}
