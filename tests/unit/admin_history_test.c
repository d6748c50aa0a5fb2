/* The last hour, a minute a slot. */

#include <stdio.h>

#include "admin/history.h"
#include "admin_test.h"
#include "base/clock.h"
#include "unit.h"

static struct fixture f;
static struct history *history;

static void begin(void)
{
    fixture_make(&f);
    history = history_new(&f.daemon);
    f.origin.created_ms = clock_ms();
    ck_assert_ptr_nonnull(history);
}

static void end(void)
{
    history_free(history);
    fixture_free(&f);
}

static struct span hour_of(const struct origin *o)
{
    struct span s;

    history_hour(history, &f.agent, o, &s);
    return s;
}

static const char *written(void (*write)(const struct history *, struct text *))
{
    static char out[8192];
    struct text t = {0};

    if (write)
        write(history, &t);
    else
        history_write_one(history, &f.agent, &t);
    snprintf(out, sizeof out, "%.*s", (int)t.n, t.p);
    text_free(&t);
    return out;
}

/* `count` requests of this many milliseconds each, after a wait. */
static void serve(struct origin_stats *s, unsigned count, unsigned ms, unsigned waited_ms)
{
    for (unsigned i = 0; i < count; i++) {
        s->requests++;
        histogram_add(&s->pending, waited_ms * 1000);
        histogram_add(&s->request, (ms + waited_ms) * 1000);
        s->first_uses++;
        s->used_us += ms * 1000;
    }
}

/* So many run or wait, at a moment between two looks. */
static void at_one_moment(uint32_t demand)
{
    f.origin.demand.now = f.agent.demand.now = demand;
    demand_note(&f.origin);
}

START_TEST(a_minute_is_what_came_within_it)
{
    begin();
    f.origin.last_request_ms = clock_ms();
    serve(&f.origin.stats, 10, 40, 0);
    f.origin.stats.opened = f.origin.stats.opened_for[OPENED_FOR_FIRST] = 1;
    ck_assert_uint_eq(hour_of(NULL).requests, 10); /* not looked at yet */
    ck_assert_uint_eq(hour_of(&f.origin).requests, 10);
    history_sample(history);
    ck_assert_uint_eq(hour_of(NULL).requests, 10);
    ck_assert_uint_eq(hour_of(&f.origin).requests, 10);
    serve(&f.origin.stats, 5, 40, 0);
    ck_assert_uint_eq(hour_of(NULL).requests, 15); /* up to now */
    ck_assert_uint_eq(hour_of(&f.origin).requests, 15);
    history_end_minute(history);
    serve(&f.origin.stats, 1, 40, 0);
    history_end_minute(history);
    struct span s = hour_of(&f.origin);
    ck_assert_uint_eq(s.requests, 16);
    ck_assert_uint_eq(s.opened, 1);
    ck_assert_uint_eq(s.opened_for[OPENED_FOR_FIRST], 1);
    ck_assert_uint_eq(s.carried, 16);
    ck_assert_uint_eq(s.used_ms, 640);
    ck_assert_uint_eq(s.waited, 0);
    end();
}
END_TEST

START_TEST(an_hour_is_forgotten)
{
    begin();
    f.origin.last_request_ms = UINT64_MAX;
    serve(&f.origin.stats, 3, 1, 0);
    history_sample(history);
    for (unsigned i = 0; i < HISTORY_MINUTES; i++)
        history_end_minute(history);
    ck_assert_uint_eq(hour_of(NULL).requests, 3);
    history_end_minute(history);
    ck_assert_uint_eq(hour_of(NULL).requests, 0);
    ck_assert_uint_eq(hour_of(&f.origin).requests, 0);
    serve(&f.origin.stats, 2, 1, 0); /* what lies before is not counted again */
    history_sample(history);
    ck_assert_uint_eq(hour_of(NULL).requests, 2);
    ck_assert_uint_eq(hour_of(&f.origin).requests, 2);
    end();
}
END_TEST

/* The process, or its machine, was stopped. */
START_TEST(time_without_a_look_is_no_minute)
{
    begin();
    serve(&f.origin.stats, 3, 1, 0);
    f.origin.last_request_ms = clock_ms();
    history_sample(history);
    f.origin.last_request_ms = 0; /* a good while ago */
    history_skip(history, (HISTORY_MINUTES - 1) * 60 * 1000);
    ck_assert_uint_eq(hour_of(NULL).requests, 3);
    ck_assert_uint_eq(hour_of(&f.origin).requests, 3);
    ck_assert_uint_ge(history_ms(history), (HISTORY_MINUTES - 1) * 60 * 1000);
    serve(&f.origin.stats, 2, 1, 0);
    f.origin.last_request_ms = clock_ms();
    history_skip(history, 60 * 1000);
    ck_assert_uint_eq(hour_of(NULL).requests, 2);
    ck_assert_uint_eq(hour_of(&f.origin).requests, 2);
    history_sample(history);
    ck_assert_uint_eq(hour_of(NULL).requests, 2);
    f.origin.last_request_ms = 0;
    history_skip(history, 1000ULL * 60 * 1000);
    ck_assert_uint_eq(hour_of(NULL).requests, 0);
    ck_assert_uint_eq(hour_of(&f.origin).requests, 0);
    ck_assert_uint_eq(history_ms(history) / (60 * 1000), HISTORY_MINUTES);
    end();
}
END_TEST

START_TEST(what_was_before_it_was_looked_at_is_left_out)
{
    begin();
    f.origin.created_ms = 0;
    serve(&f.origin.stats, 100, 1, 0);
    f.origin.last_request_ms = UINT64_MAX;
    history_sample(history);
    ck_assert_uint_eq(hour_of(&f.origin).requests, 0);
    serve(&f.origin.stats, 1, 1, 0);
    history_sample(history);
    ck_assert_uint_eq(hour_of(&f.origin).requests, 1);
    end();
}
END_TEST

START_TEST(another_of_the_same_name_begins_anew)
{
    begin();
    f.origin.last_request_ms = UINT64_MAX;
    serve(&f.origin.stats, 7, 1, 0);
    history_sample(history);
    history_end_minute(history);
    /* It was forgotten, and is asked again. */
    f.agent.forgotten = f.origin.stats;
    f.origin.stats = (struct origin_stats){0};
    f.origin.created_ms = UINT64_MAX;
    serve(&f.origin.stats, 9, 1, 0);
    history_sample(history);
    ck_assert_uint_eq(hour_of(&f.origin).requests, 16);
    ck_assert_uint_eq(hour_of(NULL).requests, 16);
    end();
}
END_TEST

/* A reload gave it to another worker, and its last request runs on in this one. */
START_TEST(what_is_left_of_a_moved_origin_is_no_other_one)
{
    begin();
    struct agent share = {.name = f.agent.name, .policy = &f.policy, .added_ms = f.agent.added_ms};
    struct origin left = {.key = f.origin.key, .agent = &share, .moved = true, .active_count = 1};

    TAILQ_INIT(&left.blocked);
    HASH_ADD_KEYPTR(hh, share.origins, left.key, strlen(left.key), &left);
    f.agent.next_share = &share;
    f.origin.last_request_ms = UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        serve(&f.origin.stats, 7, 1, 0);
        history_sample(history);
    }
    ck_assert_uint_eq(hour_of(&f.origin).requests, 14);
    HASH_DEL(share.origins, &left);
    end();
}
END_TEST

/* A reload removes an agent, and another one brings it back: its counters begin anew, and so does its hour. */
START_TEST(another_agent_of_the_same_name_begins_anew)
{
    begin();
    serve(&f.origin.stats, 7, 1, 0);
    f.origin.last_request_ms = UINT64_MAX;
    history_sample(history);
    history_end_minute(history);
    f.agent.added_ms = 1;
    f.origin.stats = (struct origin_stats){0};
    ck_assert_uint_eq(hour_of(NULL).requests, 0); /* before anybody looked */
    ck_assert_uint_eq(hour_of(&f.origin).requests, 0);
    serve(&f.origin.stats, 9, 1, 0);
    f.origin.created_ms = UINT64_MAX;
    history_sample(history);
    ck_assert_uint_eq(hour_of(NULL).requests, 9);
    ck_assert_uint_eq(hour_of(&f.origin).requests, 9);
    history_end_minute(history);
    ck_assert_uint_eq(hour_of(NULL).requests, 9);
    end();
}
END_TEST

/* Little's law: 20 requests in the very first second, 500 ms each, need 10 connections at a time so far. Any later
 * minute is taken whole, however little of it is over, or its load would fall without a reason. */
START_TEST(load_is_that_of_a_minute)
{
    begin();
    f.origin.last_request_ms = UINT64_MAX;
    serve(&f.origin.stats, 20, 500, 1500);
    f.origin.stats.held[HELD_BY_MAX_SOCKETS] = 20;
    at_one_moment(20);
    history_sample(history);
    ck_assert_float_eq_tol(hour_of(&f.origin).load.needed, 10, 0.01F);
    ck_assert_float_eq_tol(hour_of(NULL).load.needed, 10, 0.01F);
    ck_assert_uint_eq(hour_of(&f.origin).waited, 20);
    ck_assert_uint_eq(hour_of(&f.origin).waited_ms, 30000);
    history_end_minute(history);
    for (unsigned i = 0; i < HISTORY_MINUTES; i++)
        history_end_minute(history);
    serve(&f.origin.stats, 240, 500, 0);
    at_one_moment(20);
    history_sample(history);
    ck_assert_float_eq_tol(hour_of(&f.origin).load.needed, 2, 0.01F);
    f.origin.demand = f.agent.demand = (struct demand){0};
    end();
}
END_TEST

/* Those of the next minute began in this one. */
START_TEST(load_leaves_out_what_timed_out)
{
    begin();
    f.origin.last_request_ms = UINT64_MAX;
    f.origin.stats.requests = f.origin.stats.first_uses = 4;
    f.origin.stats.used_us = 4000 * 1000;
    f.origin.active_count = 4;
    at_one_moment(4);
    history_sample(history);
    ck_assert_float_eq_tol(hour_of(&f.origin).load.needed, 4, 0.01F);
    history_end_minute(history);
    f.origin.stats.used_us += 1000 * 1000;
    f.origin.stats.timed_out = 4;
    f.origin.stats.timed_out_us = 5000 * 1000;
    ck_assert_uint_eq(hour_of(&f.origin).timed_out, 4);
    ck_assert_float_eq(hour_of(&f.origin).load.needed, 0);
    ck_assert_float_eq_tol(hour_of(&f.origin).load.occupied, 4, 0.01F);
    f.origin.active_count = 0;
    f.origin.demand = f.agent.demand = (struct demand){0};
    end();
}
END_TEST

/* More ran or waited between two looks than at either. */
START_TEST(demand_is_the_most_at_any_moment)
{
    begin();
    f.origin.last_request_ms = UINT64_MAX;
    serve(&f.origin.stats, 6, 0, 0);
    at_one_moment(6);
    at_one_moment(1);
    ck_assert_uint_eq(hour_of(NULL).demand, 6); /* not looked at yet */
    history_sample(history);
    ck_assert_uint_eq(hour_of(&f.origin).demand, 6);
    history_end_minute(history);
    serve(&f.origin.stats, 2, 0, 0);
    at_one_moment(2);
    history_sample(history);
    for (unsigned i = 0; i < HISTORY_MINUTES; i++)
        history_end_minute(history);
    ck_assert_uint_eq(hour_of(&f.origin).demand, 2); /* the first minute is forgotten */
    ck_assert_uint_eq(hour_of(NULL).demand, 2);
    f.origin.demand = f.agent.demand = (struct demand){0};
    end();
}
END_TEST

/* What waited in vain was not served: its wait is no part of the time of those that were, however it ended. */
START_TEST(waits_in_vain_do_not_shorten_requests)
{
    struct origin_stats *stats = &f.origin.stats;

    begin();
    f.origin.last_request_ms = UINT64_MAX;
    serve(stats, 2, 1000, 500);
    stats->requests += 3;
    stats->errors[PROXY_ERROR_LIMIT]++;
    stats->errors[PROXY_ERROR_RESPONSE_TIMEOUT]++;
    stats->client_aborts++;
    for (unsigned i = 0; i < 3; i++)
        histogram_add(&stats->pending, 3000 * 1000);
    history_sample(history);
    ck_assert_uint_eq(hour_of(&f.origin).used_ms, 2000);
    ck_assert_uint_eq(hour_of(&f.origin).waited_ms, 10000);
    ck_assert_uint_eq(hour_of(&f.origin).refused, 1);
    end();
}
END_TEST

/* What they held says nothing of the present ones. */
START_TEST(what_earlier_limits_held_is_told_apart)
{
    begin();
    f.origin.last_request_ms = UINT64_MAX;
    serve(&f.origin.stats, 4, 500, 100);
    f.origin.stats.held[HELD_BY_MAX_SOCKETS] = 3;
    history_end_minute(history);
    serve(&f.origin.stats, 4, 500, 100);
    f.origin.stats.held[HELD_BY_MAX_SOCKETS] = 5;
    history_sample(history);
    ck_assert_uint_eq(hour_of(&f.origin).held_before[HELD_BY_MAX_SOCKETS], 0);
    f.policy.maxSockets = 40;
    history_note_limits(history);
    ck_assert_uint_eq(hour_of(&f.origin).held[HELD_BY_MAX_SOCKETS], 5);
    ck_assert_uint_eq(hour_of(&f.origin).held_before[HELD_BY_MAX_SOCKETS], 5);
    ck_assert_uint_eq(hour_of(NULL).held_before[HELD_BY_MAX_SOCKETS], 5);
    f.origin.stats.held[HELD_BY_MAX_SOCKETS] = 6;
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(hour_of(&f.origin).held[HELD_BY_MAX_SOCKETS], 6);
        ck_assert_uint_eq(hour_of(&f.origin).held_before[HELD_BY_MAX_SOCKETS], 5);
        history_end_minute(history);
    }
    end();
}
END_TEST

START_TEST(a_percentile_is_not_more_than_the_longest)
{
    struct span s;

    begin();
    history_sample(history);
    serve(&f.origin.stats, 10, 200, 1001); /* buckets end at 1 s and 2.5 s */
    s = hour_of(&f.origin);
    ck_assert_uint_eq(s.p99_us, 1201000);
    ck_assert_uint_eq(s.waited_p99_us, 1001000);
    end();
}
END_TEST

START_TEST(peaks_are_the_largest_that_were_seen)
{
    begin();
    f.origin.active_count = 3;
    f.origin.free_count = 1;
    history_sample(history);
    f.origin.active_count = 2;
    f.origin.blocked_count = 4;
    history_sample(history);
    ck_assert_uint_eq(hour_of(&f.origin).active, 3);
    ck_assert_uint_eq(hour_of(NULL).free, 1);
    ck_assert_uint_eq(hour_of(NULL).waiting, 4);
    f.origin.active_count = f.origin.free_count = f.origin.blocked_count = 0;
    end();
}
END_TEST

START_TEST(origins_are_remembered_up_to_a_number)
{
    static struct origin many[HISTORY_ORIGINS + 1];
    static char keys[HISTORY_ORIGINS + 1][32];

    begin();
    for (unsigned i = 0; i <= HISTORY_ORIGINS; i++) {
        snprintf(keys[i], sizeof keys[i], "http://h%u.test:80", i);
        many[i] = (struct origin){.key = keys[i], .agent = &f.agent, .created_ms = clock_ms()};
        TAILQ_INIT(&many[i].blocked);
        HASH_ADD_KEYPTR(hh, f.agent.origins, many[i].key, strlen(many[i].key), &many[i]);
        many[i].last_request_ms = UINT64_MAX;
        many[i].stats.requests = 1;
    }
    for (uint64_t was = clock_ms(); clock_ms() == was;)
        clock_update(); /* or they were as new as the look */
    history_sample(history);
    unsigned known = 0;
    for (unsigned i = 0; i <= HISTORY_ORIGINS; i++)
        known += hour_of(&many[i]).requests;
    ck_assert_uint_eq(known, HISTORY_ORIGINS);
    ck_assert_uint_eq(hour_of(NULL).requests, HISTORY_ORIGINS + 1); /* the agent's own are whole */
    for (unsigned i = 0; i <= HISTORY_ORIGINS; i++)
        HASH_DEL(f.agent.origins, &many[i]);
    end();
}
END_TEST

START_TEST(is_written_as_json)
{
    begin();
    f.origin.last_request_ms = UINT64_MAX;
    ck_assert_ptr_nonnull(
        strstr(written(history_write_all), "\"agents\":[{\"name\":\"payments\",\"minutes\":[{\"end\":"));
    serve(&f.origin.stats, 2, 40, 0);
    f.origin.stats.opened = f.origin.stats.opened_for[OPENED_FOR_FIRST] = 1;
    f.origin.stats.held[HELD_BY_MAX_TOTAL] = 3;
    f.origin.stats.held[HELD_BY_PAUSE] = 4;
    history_sample(history);
    history_end_minute(history);
    const char *s = written(NULL);
    ck_assert_ptr_nonnull(strstr(s, ",\"requests\":2,\"socketsOpened\":1,\"openedFor\":{\"first\":1}"));
    ck_assert_ptr_nonnull(strstr(s, ",\"held\":{\"maxTotalSockets\":3,\"pause\":4}"));
    ck_assert_ptr_nonnull(strstr(s, "\"p50Ms\":"));
    ck_assert_ptr_nonnull(strstr(s, "},{\"end\":")); /* the running minute behind it */
    ck_assert_ptr_nonnull(strstr(s, "\"origins\":[{\"origin\":\"http://p.test:80\",\"minutes\":[{"));
    end();
}
END_TEST

void add_history_tests(Suite *suite)
{
    unit_group(suite, "history", a_minute_is_what_came_within_it, an_hour_is_forgotten,
               time_without_a_look_is_no_minute, what_was_before_it_was_looked_at_is_left_out,
               another_of_the_same_name_begins_anew, what_is_left_of_a_moved_origin_is_no_other_one,
               another_agent_of_the_same_name_begins_anew, load_is_that_of_a_minute,
               load_leaves_out_what_timed_out, demand_is_the_most_at_any_moment,
               waits_in_vain_do_not_shorten_requests, what_earlier_limits_held_is_told_apart,
               a_percentile_is_not_more_than_the_longest, peaks_are_the_largest_that_were_seen,
               origins_are_remembered_up_to_a_number, is_written_as_json);
}
