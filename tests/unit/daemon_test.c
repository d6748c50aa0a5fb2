/* The workers of loops; what else is in lib/daemon has its tests in tests/behaviour. */

#include <time.h>

#include "base/clock.h"
#include "config/config.h"
#include "daemon/workers.h"
#include "daemon_test.h"
#include "http/head.h"
#include "pool/configure.h"
#include "unit.h"

#define WORKERS 4
#define BALLS   16
#define HOPS    20000

/* Goes round from loop to loop. What it counts is plain memory of each loop: touched by two at a time it
 * would be wrong, and ThreadSanitizer would say so. */
struct ball {
    struct loop_message message;
    struct rig *rig;
    unsigned at, left;
};

struct rig {
    struct workers workers;
    struct config *config;
    uint64_t hops[WORKERS];
    struct ball balls[BALLS];
};

static void hop(struct loop_message *l)
{
    struct ball *b = (struct ball *)l;

    b->rig->hops[b->at]++;
    if (b->left == 0)
        return;
    b->left--;
    b->at = (b->at + 1) % WORKERS;
    mailbox_post_one(&b->rig->workers.workers[b->at].mailbox, l);
}

static void throw_balls(struct rig *r, unsigned hops)
{
    for (unsigned i = 0; i < BALLS; i++) {
        r->balls[i] = (struct ball){.message.open = hop, .rig = r, .at = i % WORKERS, .left = hops};
        mailbox_post_one(&r->workers.workers[i % WORKERS].mailbox, &r->balls[i].message);
    }
}

static void rig_open(struct rig *r)
{
    static const struct text_list none = {0};
    char error[256];

    *r = (struct rig){0};
    http_init();
    clock_update();
    r->config = config_parse(SLICE("upstreams:\n  a: {match: a.test}\n  b: {match: \"*.b.test\"}\n"),
                             "test.yaml", &none, stderr);
    ck_assert_ptr_nonnull(r->config);
    const struct workers_setup setup = {.config = r->config, .instance = SLICE("unit")};
    ck_assert_msg(workers_init(&r->workers, WORKERS, &setup, error, sizeof error), "%s", error);
    ck_assert(pools_configure(r->workers.pools, WORKERS, r->config, error, sizeof error));
    ck_assert_int_eq(workers_start(&r->workers), 0);
}

static void rig_close(struct rig *r)
{
    workers_stop(&r->workers);
    workers_free(&r->workers);
    config_unref(r->config);
}

/* The main thread's loop. */
static void turn(struct rig *r)
{
    event_base_loop(r->workers.workers[0].base, EVLOOP_NONBLOCK);
    clock_update();
    worker_end_turn(&r->workers.workers[0]);
}

static uint64_t all_hops(const struct rig *r)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        sum += r->hops[i];
    return sum;
}

static void rest(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

START_TEST(workers_stands_still_while_it_is_halted)
{
    struct rig r;
    uint64_t before;
    unsigned halts = 0;

    rig_open(&r);
    throw_balls(&r, HOPS);
    do {
        turn(&r);
        workers_halt(&r.workers);
        before = all_hops(&r);
        if (halts++ % 16 == 0)
            rest(500);
        ck_assert_uint_eq(all_hops(&r), before);
        workers_go_on(&r.workers);
    } while (before < (uint64_t)BALLS * (HOPS + 1));
    rig_close(&r);
    ck_assert_uint_eq(all_hops(&r), (uint64_t)BALLS * (HOPS + 1));
}
END_TEST

START_TEST(workers_may_be_halted_within_a_halt)
{
    struct rig r;
    uint64_t before;

    rig_open(&r);
    throw_balls(&r, 1000);
    for (int i = 0; i < 100; i++) {
        turn(&r);
        workers_halt(&r.workers);
        before = all_hops(&r);
        workers_halt(&r.workers);
        workers_halt(&r.workers);
        workers_go_on(&r.workers);
        workers_go_on(&r.workers);
        rest(20);
        ck_assert_uint_eq(all_hops(&r), before);
        workers_go_on(&r.workers);
    }
    rig_close(&r);
}
END_TEST

START_TEST(workers_settles_what_is_on_the_way)
{
    struct rig r;

    rig_open(&r);
    for (unsigned i = 1; i <= 50; i++) {
        throw_balls(&r, 100);
        turn(&r);
        workers_halt(&r.workers);
        workers_settle(&r.workers);
        ck_assert_uint_eq(all_hops(&r), (uint64_t)BALLS * 101 * i);
        ck_assert(workers_is_idle(&r.workers));
        workers_go_on(&r.workers);
    }
    rig_close(&r);
}
END_TEST

/* A letter that keeps its loop busy until it is released. */
struct snag {
    struct loop_message message;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool met, released;
};

static void get_stuck(struct loop_message *l)
{
    struct snag *s = (struct snag *)l;

    pthread_mutex_lock(&s->lock);
    s->met = true;
    pthread_cond_broadcast(&s->changed);
    while (!s->released)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void *release_later(void *snag)
{
    struct snag *s = snag;

    rest(50 * 1000);
    pthread_mutex_lock(&s->lock);
    s->released = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* The watchdog is fed behind a halt, so a loop that hangs keeps it hungry. */
START_TEST(workers_waits_for_a_loop_that_is_stuck)
{
    struct rig r;
    struct snag s = {
        .message.open = get_stuck, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t helper;

    rig_open(&r);
    mailbox_post_one(&r.workers.workers[WORKERS - 1].mailbox, &s.message);
    pthread_mutex_lock(&s.lock);
    while (!s.met)
        pthread_cond_wait(&s.changed, &s.lock);
    pthread_mutex_unlock(&s.lock);
    ck_assert_int_eq(pthread_create(&helper, NULL, release_later, &s), 0);
    workers_halt(&r.workers);
    ck_assert(s.released);
    workers_go_on(&r.workers);
    pthread_join(helper, NULL);
    rig_close(&r);
}
END_TEST

/* All pools have each agent, and agree on where its origins live. */
START_TEST(workers_agrees_on_where_an_origin_lives)
{
    static const char *const hosts[] = {"a.test", "x.b.test", "y.b.test", "z.test", "127.0.0.1"};
    struct rig r;

    rig_open(&r);
    workers_halt(&r.workers);
    for (struct agent *a = TAILQ_FIRST(&r.workers.pools[0]->agents); a; a = TAILQ_NEXT(a, link)) {
        for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
            unsigned owner = origin_worker(a, ORIGIN_HTTP, slice_of(hosts[i]), 80), shares = 0;
            ck_assert_uint_lt(owner, WORKERS);
            for (struct agent *share = a; share; share = share->next_share, shares++) {
                ck_assert_str_eq(share->name, a->name);
                ck_assert_uint_eq(share->pool->index, shares);
                ck_assert_uint_eq(origin_worker(share, ORIGIN_HTTP, slice_of(hosts[i]), 80), owner);
            }
            ck_assert_uint_eq(shares, WORKERS);
        }
    }
    workers_go_on(&r.workers);
    rig_close(&r);
}
END_TEST

START_TEST(workers_of_one_needs_no_thread)
{
    static const struct text_list none = {0};
    struct workers c;
    char error[256];

    clock_update();
    struct config *config = config_parse(SLICE("workers: 1\n"), "test.yaml", &none, stderr);
    const struct workers_setup setup = {.config = config, .instance = SLICE("unit")};
    ck_assert(workers_init(&c, 1, &setup, error, sizeof error));
    ck_assert(pools_configure(c.pools, 1, config, error, sizeof error));
    ck_assert_int_eq(workers_start(&c), 0);
    workers_halt(&c);
    workers_settle(&c);
    ck_assert(workers_is_idle(&c));
    ck_assert_int_eq(pool_relieve(c.pools[0]), RELIEF_NONE);
    workers_go_on(&c);
    workers_stop(&c);
    workers_free(&c);
    config_unref(config);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("daemon");

    unit_group(suite, "halt", workers_stands_still_while_it_is_halted, workers_may_be_halted_within_a_halt,
               workers_waits_for_a_loop_that_is_stuck);
    unit_group(suite, "workers", workers_settles_what_is_on_the_way, workers_agrees_on_where_an_origin_lives,
               workers_of_one_needs_no_thread);
    daemon_cpus_tests(suite);
    return unit_run(suite);
}
