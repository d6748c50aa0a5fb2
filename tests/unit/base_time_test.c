/* lib/base/clock and lib/base/timer */

#include "unit.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/recent.h"
#include "base/timer.h"
#include "base_test.h"

/* clock */

START_TEST(clock_is_cached)
{
    struct timespec nap = {0, 20 * 1000 * 1000};
    uint64_t before = clock_us();
    uint64_t wall = clock_wall_ms();

    ck_assert_uint_gt(before, 0);
    nanosleep(&nap, NULL);
    ck_assert_uint_eq(clock_us(), before);
    ck_assert_uint_eq(clock_ms(), before / 1000);
    ck_assert_uint_eq(clock_wall_ms(), wall);
    clock_update();
    ck_assert_uint_ge(clock_us(), before + 20000);
    ck_assert_uint_ge(clock_wall_ms(), wall + 19);
}
END_TEST

START_TEST(clock_knows_wall_time)
{
    struct timespec second = {1, 100 * 1000 * 1000};
    uint64_t now;

    for (int i = 0; i < 2; i++) {
        clock_update();
        now = (uint64_t)time(NULL) * 1000;
        ck_assert_uint_ge(clock_wall_ms() + 1000, now);
        ck_assert_uint_le(clock_wall_ms(), now + 2000);
        nanosleep(&second, NULL); /* the second round looks the offset up anew */
    }
}
END_TEST

static void check_date(uint64_t ms, const char *expected)
{
    char text[CLOCK_RFC3339_SIZE];
    int n = clock_format(ms, text);

    ck_assert_str_eq(text, expected);
    ck_assert_int_eq(n, (int)strlen(expected));
}

START_TEST(clock_formats_dates)
{
    check_date(0, "1970-01-01T00:00:00.000Z");
    check_date(999, "1970-01-01T00:00:00.999Z");
    check_date(951782399999, "2000-02-28T23:59:59.999Z");
    check_date(951782400000, "2000-02-29T00:00:00.000Z");
    check_date(951868800000, "2000-03-01T00:00:00.000Z");
    check_date(1795232426123, "2026-11-21T03:40:26.123Z");
    check_date(4107542399999, "2100-02-28T23:59:59.999Z");
    check_date(4107542400000, "2100-03-01T00:00:00.000Z");
    check_date(253402300799999, "9999-12-31T23:59:59.999Z");
    check_date(UINT64_MAX, "9999-12-31T23:59:59.999Z");
}
END_TEST

START_TEST(clock_knows_the_date)
{
    char now[CLOCK_HTTP_DATE_LENGTH + 1];

    clock_update();
    clock_format_http(clock_wall_ms(), now);
    ck_assert_str_eq(clock_http_date(), now);
    ck_assert_str_eq(clock_http_date(), now);
}
END_TEST

START_TEST(clock_formats_like_libc)
{
    for (uint64_t day = 0; day < 200000; day++) {
        time_t seconds = (time_t)(day * 86400 + day % 86400);
        char expected[CLOCK_RFC3339_SIZE], text[CLOCK_RFC3339_SIZE], http[CLOCK_HTTP_DATE_LENGTH + 1];
        struct tm tm;

        gmtime_r(&seconds, &tm);
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.007Z", &tm);
        clock_format((uint64_t)seconds * 1000 + 7, text);
        ck_assert_str_eq(text, expected);
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        clock_format_http((uint64_t)seconds * 1000 + 7, http);
        ck_assert_str_eq(http, expected);
    }
}
END_TEST

/* timer */

struct alarm {
    struct timer timer;
    int fired;
    uint64_t at;
    uint64_t again; /* set once more from the callback, so far away */
    bool release;
};

static void on_alarm(void *ctx)
{
    struct alarm *alarm = ctx;

    ck_assert(!timer_is_set(&alarm->timer));
    alarm->fired++;
    alarm->at = clock_us();
    if (alarm->release)
        timer_release(&alarm->timer);
    if (alarm->again && alarm->fired == 1)
        timer_set(&alarm->timer, alarm->again);
}

static struct event_base *base;

static void alarm_init(struct alarm *alarm)
{
    *alarm = (struct alarm){0};
    if (!base)
        base = event_base_new();
    timer_init(&alarm->timer, base, on_alarm, alarm);
}

/* Turns the loop for so long, in small steps as a busy one would. */
static void turn(uint64_t ms)
{
    struct timespec nap = {0, 1000 * 1000};
    uint64_t end;

    clock_update();
    end = clock_ms() + ms;
    while (clock_ms() < end) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        nanosleep(&nap, NULL);
        clock_update();
    }
    /* The process may have stood still for all of it. */
    for (int i = 0; i < 4 + TIMER_LATE_TURNS; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

static void base_end(void)
{
    event_base_free(base);
    base = NULL;
}

START_TEST(timer_fires_once_and_never_early)
{
    struct alarm alarm;
    uint64_t begin;

    alarm_init(&alarm);
    clock_update();
    begin = clock_us();
    timer_set(&alarm.timer, 30);
    ck_assert(timer_is_set(&alarm.timer));
    event_base_dispatch(base); /* ends with the last event */
    ck_assert_int_eq(alarm.fired, 1);
    ck_assert_uint_ge(alarm.at, begin + 30000);
    ck_assert_uint_lt(alarm.at, begin + 20000000);
    ck_assert(!timer_is_set(&alarm.timer));
    turn(20);
    ck_assert_int_eq(alarm.fired, 1);
    base_end();
}
END_TEST

START_TEST(timer_moves_later_without_the_loop)
{
    struct alarm alarm;
    uint64_t begin, armed;

    alarm_init(&alarm);
    clock_update();
    begin = clock_us();
    timer_set(&alarm.timer, 20);
    armed = alarm.timer.armed;
    timer_set(&alarm.timer, 60);
    ck_assert_uint_eq(alarm.timer.armed, armed);
    timer_set(&alarm.timer, 50);
    ck_assert_uint_eq(alarm.timer.armed, armed);
    event_base_dispatch(base);
    ck_assert_int_eq(alarm.fired, 1);
    ck_assert_uint_ge(alarm.at, begin + 50000);
    base_end();
}
END_TEST

START_TEST(timer_moves_earlier)
{
    struct alarm alarm;
    uint64_t begin;

    alarm_init(&alarm);
    clock_update();
    begin = clock_us();
    timer_set(&alarm.timer, 60000);
    timer_set(&alarm.timer, 20);
    event_base_dispatch(base);
    ck_assert_int_eq(alarm.fired, 1);
    ck_assert_uint_lt(alarm.at, begin + 50000000);
    base_end();
}
END_TEST

START_TEST(timer_clears)
{
    struct alarm alarm;

    alarm_init(&alarm);
    clock_update();
    timer_set(&alarm.timer, 10);
    timer_clear(&alarm.timer);
    ck_assert(!timer_is_set(&alarm.timer));
    turn(40);
    ck_assert_int_eq(alarm.fired, 0);
    ck_assert_uint_eq(alarm.timer.armed, 0);

    timer_set(&alarm.timer, 10);
    timer_set(&alarm.timer, 0);
    ck_assert(!timer_is_set(&alarm.timer));
    timer_set_at(&alarm.timer, 0);
    turn(40);
    ck_assert_int_eq(alarm.fired, 0);

    /* Cleared, and set again while the loop still holds the old time. */
    timer_set(&alarm.timer, 10);
    timer_clear(&alarm.timer);
    timer_set(&alarm.timer, 20);
    turn(60);
    ck_assert_int_eq(alarm.fired, 1);
    base_end();
}
END_TEST

START_TEST(timer_takes_the_past_and_the_far_future)
{
    struct alarm alarm, far;

    alarm_init(&alarm);
    alarm_init(&far);
    clock_update();
    timer_set_at(&alarm.timer, 1);
    timer_set(&far.timer, UINT64_MAX);
    ck_assert(timer_is_set(&far.timer));
    turn(20);
    ck_assert_int_eq(alarm.fired, 1);
    ck_assert_int_eq(far.fired, 0);
    timer_set_at(&far.timer, UINT64_MAX);
    turn(10);
    ck_assert_int_eq(far.fired, 0);
    timer_release(&far.timer);
    base_end();
}
END_TEST

START_TEST(timer_is_set_again_from_its_callback)
{
    struct alarm alarm;

    alarm_init(&alarm);
    alarm.again = 10;
    clock_update();
    timer_set(&alarm.timer, 10);
    event_base_dispatch(base);
    ck_assert_int_eq(alarm.fired, 2);
    base_end();
}
END_TEST

static bool memory_is_short;

static void *grow(void *p, size_t n)
{
    return memory_is_short ? NULL : realloc(p, n);
}

#define CROWD 8 /* so many timeouts libevent has room for at first */

struct crowd {
    struct timer first, second, others[CROWD];
    bool pending; /* the second one, though it was released */
};

static void on_other(void *ctx)
{
    (void)ctx;
}

/* The second one is due, too, and the loop has no room for it once more. */
static void on_first(void *ctx)
{
    struct crowd *c = ctx;

    for (int i = CROWD - 2; i < CROWD; i++)
        timer_set(&c->others[i], 3600000);
    memory_is_short = true;
    timer_set_at(&c->second, 1);
    memory_is_short = false;
    timer_release(&c->second);
    c->pending = event_pending(&c->second.event, EV_TIMEOUT, NULL);
}

START_TEST(timer_is_released_though_it_could_not_be_moved)
{
    struct crowd c = {0};

    event_set_mem_functions(malloc, grow, free);
    base = event_base_new();
    timer_init(&c.first, base, on_first, &c);
    timer_init(&c.second, base, on_other, &c);
    for (int i = 0; i < CROWD; i++)
        timer_init(&c.others[i], base, on_other, &c);
    clock_update();
    timer_set(&c.first, 1);
    timer_set(&c.second, 2);
    for (int i = 0; i < CROWD - 2; i++)
        timer_set(&c.others[i], 3600000);
    turn(10);
    ck_assert(!timer_is_set(&c.first));
    ck_assert(!c.pending);
    for (int i = 0; i < CROWD; i++)
        timer_release(&c.others[i]);
    base_end();
}
END_TEST

#define ARRIVALS 300

static int arrived;

static void on_arrival(evutil_socket_t fd, short what, void *ctx)
{
    uint64_t value;

    (void)what;
    (void)ctx;
    arrived += read(fd, &value, sizeof value) == sizeof value;
}

struct late {
    struct alarm alarm;
    int arrived; /* before it fired */
};

static void on_late(void *ctx)
{
    struct late *late = ctx;

    late->arrived = arrived;
    late->alarm.fired++;
}

/* The process was stopped, and much came meanwhile: the loop takes it in several turns. */
START_TEST(what_came_has_its_turn_before_a_late_timer)
{
    static struct event events[ARRIVALS];
    struct timespec stop = {0, 60 * 1000 * 1000};
    struct late late = {0};

    base = event_base_new();
    timer_init(&late.alarm.timer, base, on_late, &late);
    arrived = 0;
    for (int i = 0; i < ARRIVALS; i++) {
        event_assign(&events[i], base, eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC), EV_READ | EV_PERSIST,
                     on_arrival, NULL);
        event_add(&events[i], NULL);
    }
    clock_update();
    timer_set(&late.alarm.timer, 10);
    nanosleep(&stop, NULL);
    for (int i = 0; i < 4 + TIMER_LATE_TURNS; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_int_eq(late.alarm.fired, 1);
    ck_assert_int_eq(late.arrived, ARRIVALS);
    for (int i = 0; i < ARRIVALS; i++) {
        event_del(&events[i]);
        close(event_get_fd(&events[i]));
    }
    base_end();
}
END_TEST

static void on_news(evutil_socket_t fd, short what, void *ctx)
{
    struct alarm *alarm = ctx;
    uint64_t value;

    (void)what;
    clock_update();
    if (read(fd, &value, sizeof value) == sizeof value)
        timer_set(&alarm->timer, 60000);
}

START_TEST(what_came_may_move_a_late_timer)
{
    struct timespec stop = {0, 60 * 1000 * 1000};
    struct alarm alarm;
    struct event news;

    alarm_init(&alarm);
    event_assign(&news, base, eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC), EV_READ | EV_PERSIST, on_news, &alarm);
    clock_update();
    timer_set(&alarm.timer, 10);
    nanosleep(&stop, NULL);
    event_base_loop(base,
                    EVLOOP_NONBLOCK | EVLOOP_ONCE); /* as if a signal had come first: nothing else is seen */
    event_add(&news, NULL);
    turn(5);
    ck_assert_int_eq(alarm.fired, 0);
    timer_set(&alarm.timer, 5);
    turn(40);
    ck_assert_int_eq(alarm.fired, 1);
    event_del(&news);
    close(event_get_fd(&news));
    base_end();
}
END_TEST

START_TEST(timer_releases_its_memory)
{
    struct alarm *alarm = malloc(sizeof *alarm);
    struct alarm own;

    alarm_init(alarm);
    clock_update();
    timer_set(&alarm->timer, 10);
    timer_clear(&alarm->timer); /* still in the loop */
    timer_release(&alarm->timer);
    timer_release(&alarm->timer);
    free(alarm);

    alarm_init(&own);
    own.release = true;
    timer_set(&own.timer, 10);
    turn(40);
    ck_assert_int_eq(own.fired, 1);
    timer_release(&own.timer);
    base_end();
}
END_TEST

START_TEST(recent_counts_a_minute_or_two)
{
    struct recent r = {0};

    ck_assert_uint_eq(recent_count(&r, 500000), 0);
    recent_add(&r, 500000);
    recent_add(&r, 530000);
    ck_assert_uint_eq(recent_count(&r, 559999), 2);
    recent_add(&r, 561000);
    ck_assert_uint_eq(recent_count(&r, 561000), 3);
    ck_assert_uint_eq(recent_count(&r, 621000), 1); /* what lies back two minutes is forgotten */
    ck_assert_uint_eq(recent_count(&r, 681000), 0);
    recent_add(&r, 900000);
    ck_assert_uint_eq(recent_count(&r, 900000), 1);
}
END_TEST

void base_time_tests(Suite *suite)
{
    unit_group(suite, "recent", recent_counts_a_minute_or_two);
    unit_group(suite, "clock", clock_is_cached, clock_knows_wall_time, clock_formats_dates,
               clock_formats_like_libc, clock_knows_the_date);
    unit_group(suite, "timer", timer_fires_once_and_never_early, timer_moves_later_without_the_loop,
               timer_moves_earlier, timer_clears, timer_takes_the_past_and_the_far_future,
               timer_is_set_again_from_its_callback, timer_is_released_though_it_could_not_be_moved,
               what_came_has_its_turn_before_a_late_timer, what_came_may_move_a_late_timer,
               timer_releases_its_memory);
}
