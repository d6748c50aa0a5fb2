/* Dead paths: what the kernel says of acknowledgements is the test's word here, and so is the time. */

#include "pool_test.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "io/ack.h"
#include "pool/path.h"

static struct ack_state kernel;
static unsigned looks;
static uint64_t ahead_ms, suspended_ms;
static unsigned seen; /* what the owner of the socket was told */

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
bool __wrap_ack_look(int fd, struct ack_state *out);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    int rc = __real_clock_gettime(id, ts);
    uint64_t ahead = ahead_ms + (id == CLOCK_BOOTTIME ? suspended_ms : 0);

    ts->tv_sec += (time_t)(ahead / 1000);
    ts->tv_nsec += (long)(ahead % 1000) * 1000000;
    if (ts->tv_nsec >= 1000000000) {
        ts->tv_sec++;
        ts->tv_nsec -= 1000000000;
    }
    return rc;
}

bool __wrap_ack_look(int fd, struct ack_state *out)
{
    (void)fd;
    looks++;
    *out = kernel;
    return true;
}

static void on_ready(void *ctx, unsigned ready)
{
    (void)ctx;
    seen |= ready;
}

void clock_suspend(uint64_t ms)
{
    uint64_t before = clock_suspended_us();

    suspended_ms += ms;
    while (clock_suspended_us() == before) /* it is looked for once a millisecond */
        clock_update();
}

void clock_forward(uint64_t ms)
{
    ahead_ms += ms;
    clock_update();
}

/* So much time, in which nothing comes and the kernel says the same. */
static void pass(uint64_t ms)
{
    for (uint64_t t = 0; t < ms; t += 250) {
        clock_forward(250);
        path_sweep(rig.pool);
    }
}

/* An exchange that has begun on a new socket. */
static struct socket *begin(struct asker *a, struct origin *o)
{
    struct socket *s = asker_get(a, &rig, o);

    conn_set_owner(&s->wire.conn, on_ready, NULL);
    seen = 0;
    looks = 0;
    return s;
}

START_TEST(who_acknowledges_nothing_is_given_up)
{
    struct asker a = {0};
    struct socket *s = begin(&a, open_rig("timeouts: {ack: 3s}"));
    char byte;

    kernel = (struct ack_state){.unacked = 1, .repeated = 1, .last_ack_ms = 2500};
    pass(3500);
    ck_assert_int_eq(s->wire.conn.given_up, 0);
    kernel = (struct ack_state){.unacked = 1, .repeated = 1, .last_ack_ms = 3000};
    pass(1000);
    ck_assert_int_eq(s->wire.conn.given_up, ETIMEDOUT);
    ck_assert_uint_eq(seen & (CONN_READABLE | CONN_WRITABLE), CONN_READABLE | CONN_WRITABLE);
    ck_assert_int_eq(conn_read(&s->wire.conn, &byte, 1), CONN_ERROR);
    ck_assert_int_eq(s->wire.conn.error, ETIMEDOUT);
    ck_assert_int_eq(conn_write(&s->wire.conn, &(struct iovec){&byte, 1}, 1), CONN_ERROR);
    ck_assert(!conn_is_quiet(&s->wire.conn));
    pool_rig_close(&rig);
}
END_TEST

/* What was sent before an idle minute does not count: only what is seen to be outstanding for so long. */
START_TEST(an_old_acknowledgement_is_no_proof)
{
    struct asker a = {0};
    struct socket *s = begin(&a, open_rig("timeouts: {ack: 3s}"));

    kernel = (struct ack_state){.last_ack_ms = 60000};
    pass(60000);
    kernel = (struct ack_state){.unacked = 1, .repeated = 1, .last_ack_ms = 61000};
    pass(1500);
    ck_assert_int_eq(s->wire.conn.given_up, 0);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(unanswered_probes_give_up)
{
    struct asker a = {0};
    struct socket *s = begin(&a, open_rig("timeouts: {ack: 3s}"));

    kernel = (struct ack_state){.probes = 2, .last_ack_ms = 4000};
    pass(4500);
    ck_assert_int_eq(s->wire.conn.given_up, ETIMEDOUT);
    pool_rig_close(&rig);
}
END_TEST

/* Each for a minute, with the shortest timeouts.ack that there is. */
static const struct {
    const char *what;
    struct ack_state kernel;
} well[] = {
    {"a slow answer", {.last_ack_ms = 60000}},
    {"a closed window whose probes are answered", {.probes = 1, .last_ack_ms = 180}},
    {"a closed window, the next probe under way", {.probes = 1, .last_ack_ms = 30000}},
    {"a peer that drops for want of memory and says so", {.unacked = 3, .repeated = 6, .last_ack_ms = 150}},
    {"acknowledgements that are late", {.unacked = 1, .repeated = 1, .last_ack_ms = 490}},
    {"a round trip longer than the limit", {.unacked = 1, .repeated = 0, .last_ack_ms = 700}},
    {"a large upload", {.unacked = 90, .last_ack_ms = 4}},
    {"one probe lost", {.probes = 1, .last_ack_ms = 20000}},
};

START_TEST(slow_is_not_dead)
{
    struct asker a = {0};
    struct socket *s = begin(&a, open_rig("timeouts: {ack: 500ms}"));

    kernel = well[_i].kernel;
    pass(60000);
    ck_assert_msg(s->wire.conn.given_up == 0, "%s is taken for dead", well[_i].what);
    ck_assert_msg(!(seen & CONN_UNACKED), "%s is taken for lost", well[_i].what);
    ck_assert_uint_gt(looks, 0);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(owners_are_notified_after_a_second_and_two_retransmissions)
{
    struct asker a = {0};
    struct socket *s = begin(&a, open_rig("timeouts: {ack: off}"));

    kernel = (struct ack_state){.unacked = 1, .repeated = 2, .last_ack_ms = 5000};
    pass(750);
    ck_assert_uint_eq(looks, 0);
    kernel.repeated = 1;
    pass(1000);
    ck_assert_uint_eq(seen & CONN_UNACKED, 0);
    kernel.repeated = 2;
    pass(500);
    ck_assert_uint_eq(seen, CONN_UNACKED);
    pass(120000);
    ck_assert_int_eq(s->wire.conn.given_up, 0);
    pool_rig_close(&rig);
}
END_TEST

/* Neither who says something, nor whose words wait to be read. */
START_TEST(who_is_heard_is_not_looked_at)
{
    struct asker a = {0};
    struct socket *s = begin(&a, open_rig("timeouts: {ack: 500ms}"));
    char bytes[16];

    kernel = (struct ack_state){.unacked = 1, .repeated = 5, .last_ack_ms = 5000};
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_int_eq(send(rig.connections[0], "!", 1, 0), 1);
        for (unsigned k = 0; k < 1000 && !s->wire.conn.may_read; k++)
            pool_rig_events(&rig);
        pass(1000); /* its owner does not read */
        ck_assert_int_eq(conn_read(&s->wire.conn, bytes, sizeof bytes), 1);
        pass(250);
    }
    ck_assert_uint_eq(looks, 0);
    pass(2000);
    ck_assert_int_eq(s->wire.conn.given_up, ETIMEDOUT);
    pool_rig_close(&rig);
}
END_TEST

/* The last read of a response over TLS, or by splice(2), says nothing of what is left; the look behind it
 * does. */
START_TEST(who_was_seen_to_have_said_nothing_more_is_looked_at)
{
    struct asker a = {0};
    struct socket *s = begin(&a, open_rig("timeouts: {ack: 500ms}"));

    s->wire.conn.may_read = true;
    ck_assert_int_eq(wire_probe(&s->wire), RETIRE_NONE);
    kernel = (struct ack_state){.unacked = 1, .repeated = 5, .last_ack_ms = 5000};
    pass(2000);
    ck_assert_int_eq(s->wire.conn.given_up, ETIMEDOUT);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(idle_loops_are_not_woken)
{
    struct origin *o = open_rig("");
    struct asker a = {0};

    ck_assert(!timer_is_set(&rig.pool->paths));
    begin(&a, o);
    ck_assert(timer_is_set(&rig.pool->paths));
    asker_release(&a);
    timer_clear(&rig.pool->paths);
    path_sweep(rig.pool);
    ck_assert(!timer_is_set(&rig.pool->paths));
    ck_assert_uint_eq(looks, 0);
    pool_rig_close(&rig);
}
END_TEST

/* Two free ones, and one of which nothing is acknowledged. */
static struct origin *one_dead_of_three(const char *options, struct asker *dead)
{
    struct origin *o = open_rig(options);
    struct asker b = {0}, c = {0};

    asker_get(&b, &rig, o);
    asker_get(&c, &rig, o);
    asker_release(&b);
    asker_release(&c);
    clock_forward(10);
    /* The newest is taken; then there are two again. */
    begin(dead, o);
    asker_get(&b, &rig, o);
    asker_get(&c, &rig, o);
    asker_release(&b);
    asker_release(&c);
    return o;
}

START_TEST(siblings_are_doubted_until_their_peer_answers)
{
    struct asker dead = {0}, other = {0}, third = {0};
    struct origin *o = one_dead_of_three("timeouts: {ack: off, free: off}", &dead);
    const struct socket *older = TAILQ_LAST(&o->free, socket_list), *newer = TAILQ_FIRST(&o->free);

    path_begin_exchange(dead.socket); /* what became free before is older than this */
    clock_forward(10);
    asker_get(&other, &rig, o);
    ck_assert_ptr_eq(other.socket, newer);
    asker_release(&other); /* it has served since: that is proof enough */
    clock_forward(10);
    kernel = (struct ack_state){.unacked = 1, .repeated = 2, .last_ack_ms = 5000};
    pass(1500);
    ck_assert(seen & CONN_UNACKED);
    ck_assert_int_eq(older->aside, ASIDE_DOUBTED);
    ck_assert_int_eq(newer->aside, ASIDE_NOT);
    ck_assert_uint_eq(o->aside_count, 1);
    asker_get(&other, &rig, o);
    ck_assert_ptr_eq(other.socket, newer);
    asker_get(&third, &rig, o);
    ck_assert_uint_eq(third.socket->exchanges, 1); /* a new one */
    asker_release(&third);
    kernel = (struct ack_state){.last_ack_ms = 10};
    pass(500);
    ck_assert_uint_eq(o->aside_count, 0);
    pool_rig_turn(&rig);
    pool_rig_close(&rig);
}
END_TEST

/* Not a place is lost to one that is doubted. */
START_TEST(the_doubted_make_room)
{
    struct asker dead = {0}, other = {0}, third = {0};
    struct origin *o = one_dead_of_three("maxSockets: 3, timeouts: {ack: off, free: off}", &dead);

    clock_forward(10);
    path_begin_exchange(dead.socket);
    kernel = (struct ack_state){.unacked = 1, .repeated = 2, .last_ack_ms = 5000};
    pass(1500);
    ck_assert_uint_eq(o->aside_count, 2);
    asker_get(&other, &rig, o);
    ck_assert_uint_eq(other.socket->exchanges, 1);
    ck_assert_uint_eq(o->stats.retired[RETIRE_EVICTED], 1);
    asker_get(&third, &rig, o);
    ck_assert_uint_eq(o->stats.retired[RETIRE_EVICTED], 2);
    ck_assert_uint_eq(o->aside_count, 0);
    pool_rig_close(&rig);
}
END_TEST

/* A request that waits gets the one whose peer answered. */
START_TEST(the_trusted_serve_who_waits)
{
    struct asker dead = {0}, other = {0};
    struct origin *o = one_dead_of_three("maxSockets: 3, timeouts: {ack: off, free: off}", &dead);

    clock_forward(10);
    path_begin_exchange(dead.socket);
    kernel = (struct ack_state){.unacked = 1, .repeated = 2, .last_ack_ms = 5000};
    pass(1500);
    agent_pause(o->agent);
    ck_assert_int_eq(asker_ask(&other, o, ACQUIRE_NEW), ACQUIRE_WAITS);
    kernel = (struct ack_state){.last_ack_ms = 0};
    pass(250);
    agent_resume(o->agent);
    pool_rig_turn(&rig);
    ck_assert_ptr_nonnull(other.socket);
    ck_assert_uint_eq(other.socket->exchanges, 2);
    pool_rig_close(&rig);
}
END_TEST

void pool_path_tests(Suite *suite)
{
    TCase *group = tcase_create("slow paths");

    unit_group(suite, "dead paths", who_acknowledges_nothing_is_given_up, an_old_acknowledgement_is_no_proof,
               unanswered_probes_give_up, owners_are_notified_after_a_second_and_two_retransmissions,
               who_is_heard_is_not_looked_at, who_was_seen_to_have_said_nothing_more_is_looked_at,
               idle_loops_are_not_woken, siblings_are_doubted_until_their_peer_answers, the_doubted_make_room,
               the_trusted_serve_who_waits);
    tcase_add_loop_test(group, slow_is_not_dead, 0, (int)(sizeof well / sizeof well[0]));
    tcase_set_timeout(group, 120);
    suite_add_tcase(suite, group);
}
