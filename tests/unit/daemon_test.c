/* The crew of loops; what else is in lib/daemon has its tests in tests/behaviour. */

#include <time.h>

#include "base/clock.h"
#include "config/config.h"
#include "daemon/crew.h"
#include "http/head.h"
#include "unit.h"

#define WORKERS 4
#define BALLS   16
#define HOPS    20000

/* Goes round from loop to loop. What it counts is plain memory of each loop: touched by two at a time it would be wrong,
 * and ThreadSanitizer would say so. */
struct ball {
    struct letter letter;
    struct rig *rig;
    unsigned at, left;
};

struct rig {
    struct crew crew;
    struct config *config;
    uint64_t hops[WORKERS];
    struct ball balls[BALLS];
};

static void hop(struct letter *l)
{
    struct ball *b = (struct ball *)l;

    b->rig->hops[b->at]++;
    if (b->left == 0)
        return;
    b->left--;
    b->at = (b->at + 1) % WORKERS;
    mailbox_post_one(&b->rig->crew.workers[b->at].mailbox, l);
}

static void throw_balls(struct rig *r, unsigned hops)
{
    for (unsigned i = 0; i < BALLS; i++) {
        r->balls[i] = (struct ball){.letter.open = hop, .rig = r, .at = i % WORKERS, .left = hops};
        mailbox_post_one(&r->crew.workers[i % WORKERS].mailbox, &r->balls[i].letter);
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
    const struct crew_setup setup = {.config = r->config, .instance = SLICE("unit")};
    ck_assert_msg(crew_init(&r->crew, WORKERS, &setup, error, sizeof error), "%s", error);
    ck_assert_int_eq(crew_start(&r->crew), 0);
}

static void rig_close(struct rig *r)
{
    crew_stop(&r->crew);
    crew_free(&r->crew);
    config_unref(r->config);
}

/* The main thread's loop. */
static void turn(struct rig *r)
{
    event_base_loop(r->crew.workers[0].base, EVLOOP_NONBLOCK);
    clock_update();
    worker_end_turn(&r->crew.workers[0]);
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

START_TEST(crew_stands_still_while_it_is_halted)
{
    struct rig r;
    uint64_t before;
    unsigned halts = 0;

    rig_open(&r);
    throw_balls(&r, HOPS);
    do {
        turn(&r);
        crew_halt(&r.crew);
        before = all_hops(&r);
        if (halts++ % 16 == 0)
            rest(500);
        ck_assert_uint_eq(all_hops(&r), before);
        crew_go_on(&r.crew);
    } while (before < (uint64_t)BALLS * (HOPS + 1));
    rig_close(&r);
    ck_assert_uint_eq(all_hops(&r), (uint64_t)BALLS * (HOPS + 1));
}
END_TEST

START_TEST(crew_may_be_halted_within_a_halt)
{
    struct rig r;
    uint64_t before;

    rig_open(&r);
    throw_balls(&r, 1000);
    for (int i = 0; i < 100; i++) {
        turn(&r);
        crew_halt(&r.crew);
        before = all_hops(&r);
        crew_halt(&r.crew);
        crew_halt(&r.crew);
        crew_go_on(&r.crew);
        crew_go_on(&r.crew);
        rest(20);
        ck_assert_uint_eq(all_hops(&r), before);
        crew_go_on(&r.crew);
    }
    rig_close(&r);
}
END_TEST

START_TEST(crew_settles_what_is_on_the_way)
{
    struct rig r;

    rig_open(&r);
    for (unsigned i = 1; i <= 50; i++) {
        throw_balls(&r, 100);
        turn(&r);
        crew_halt(&r.crew);
        crew_settle(&r.crew);
        ck_assert_uint_eq(all_hops(&r), (uint64_t)BALLS * 101 * i);
        ck_assert(crew_is_idle(&r.crew));
        crew_go_on(&r.crew);
    }
    rig_close(&r);
}
END_TEST

/* A letter that keeps its loop busy until it is released. */
struct snag {
    struct letter letter;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool met, released;
};

static void get_stuck(struct letter *l)
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
START_TEST(crew_waits_for_a_loop_that_is_stuck)
{
    struct rig r;
    struct snag s = {
        .letter.open = get_stuck, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t helper;

    rig_open(&r);
    mailbox_post_one(&r.crew.workers[WORKERS - 1].mailbox, &s.letter);
    pthread_mutex_lock(&s.lock);
    while (!s.met)
        pthread_cond_wait(&s.changed, &s.lock);
    pthread_mutex_unlock(&s.lock);
    ck_assert_int_eq(pthread_create(&helper, NULL, release_later, &s), 0);
    crew_halt(&r.crew);
    ck_assert(s.released);
    crew_go_on(&r.crew);
    pthread_join(helper, NULL);
    rig_close(&r);
}
END_TEST

/* All pools have each agent, and agree on where its origins live. */
START_TEST(crew_agrees_on_where_an_origin_lives)
{
    static const char *const hosts[] = {"a.test", "x.b.test", "y.b.test", "z.test", "127.0.0.1"};
    struct rig r;

    rig_open(&r);
    crew_halt(&r.crew);
    for (struct agent *a = TAILQ_FIRST(&r.crew.pools[0]->agents); a; a = TAILQ_NEXT(a, link)) {
        for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
            unsigned owner = agent_owner(a, ORIGIN_HTTP, slice_of(hosts[i]), 80), shares = 0;
            ck_assert_uint_lt(owner, WORKERS);
            for (struct agent *share = a; share; share = share->next_share, shares++) {
                ck_assert_str_eq(share->name, a->name);
                ck_assert_uint_eq(share->pool->index, shares);
                ck_assert_uint_eq(agent_owner(share, ORIGIN_HTTP, slice_of(hosts[i]), 80), owner);
            }
            ck_assert_uint_eq(shares, WORKERS);
        }
    }
    crew_go_on(&r.crew);
    rig_close(&r);
}
END_TEST

START_TEST(crew_of_one_needs_no_thread)
{
    static const struct text_list none = {0};
    struct crew c;
    char error[256];

    clock_update();
    struct config *config = config_parse(SLICE("workers: 1\n"), "test.yaml", &none, stderr);
    const struct crew_setup setup = {.config = config, .instance = SLICE("unit")};
    ck_assert(crew_init(&c, 1, &setup, error, sizeof error));
    ck_assert_int_eq(crew_start(&c), 0);
    crew_halt(&c);
    crew_settle(&c);
    ck_assert(crew_is_idle(&c));
    ck_assert_int_eq(pool_relieve(c.pools[0]), RELIEF_NONE);
    crew_go_on(&c);
    crew_stop(&c);
    crew_free(&c);
    config_unref(config);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("daemon");

    unit_group(suite, "halt", crew_stands_still_while_it_is_halted, crew_may_be_halted_within_a_halt,
               crew_waits_for_a_loop_that_is_stuck);
    unit_group(suite, "crew", crew_settles_what_is_on_the_way, crew_agrees_on_where_an_origin_lives,
               crew_of_one_needs_no_thread);
    return unit_run(suite);
}
