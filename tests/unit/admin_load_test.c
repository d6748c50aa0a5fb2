/* How many connections the busiest minute needed. */

#include "admin/span.h"
#include "admin_test.h"
#include "unit.h"

#define MINUTE_MS 60000

static float needed(const struct span *s)
{
    struct load l = {0};

    load_add(&l, s, MINUTE_MS);
    return l.needed;
}

/* Those that got no connection would have needed one for as long, and waited in vain. */
START_TEST(is_requests_a_second_times_seconds_a_request)
{
    struct span s = {.requests = 1200, .carried = 1200, .used_ms = 600000, .demand = 50};

    ck_assert_float_eq_tol(needed(&s), 10, 0.01F);
    s.requests += 600;
    ck_assert_float_eq_tol(needed(&s), 15, 0.01F);
    s = (struct span){.requests = 10, .carried = 7, .used_ms = 9000, .demand = 6}; /* ten in one second */
    ck_assert_float_eq_tol(needed(&s), 0.21F, 0.01F);
}
END_TEST

/* One that is open for all the minute, and another one, which is refused. */
START_TEST(is_not_more_than_ran_or_would_have)
{
    const struct span s = {.requests = 3, .carried = 1, .used_ms = 4 * MINUTE_MS, .demand = 4};

    ck_assert_float_eq_tol(needed(&s), 6, 0.01F);
}
END_TEST

/* Two tunnels, or requests that no response ends, are in use in each minute in which they are open. */
START_TEST(counts_what_is_in_use_until_it_ends)
{
    struct span s = {.used_ms = 2 * MINUTE_MS, .active = 2, .demand = 2};

    ck_assert_float_eq_tol(needed(&s), 2, 0.01F);
    s.requests = 3; /* of a service that cannot be reached nothing is known */
    s.active = 0;
    ck_assert_float_eq(needed(&s), 0);
}
END_TEST

/* Five whose time ran out kept the connections busy for one minute and a half; then the service was well. */
START_TEST(leaves_out_what_timed_out)
{
    const struct span well = {.requests = 60, .carried = 60, .used_ms = 60000, .demand = 2},
                      end = {.requests = 60,
                             .carried = 60,
                             .used_ms = 160000,
                             .demand = 5,
                             .timed_out = 5,
                             .timed_out_ms = 450000},
                      stalled = {.requests = 10, .carried = 5, .used_ms = 310000, .active = 5, .demand = 9};
    struct load l = {0};

    load_add(&l, &well, MINUTE_MS);
    load_add(&l, &end, MINUTE_MS);
    load_add(&l, &stalled, MINUTE_MS);
    ck_assert_float_eq_tol(l.needed, 1, 0.01F);
    ck_assert_float_eq_tol(l.occupied, 10.3F, 0.05F);
    ck_assert_uint_eq(l.timed_out_ms, 0);
}
END_TEST

void add_load_tests(Suite *suite)
{
    unit_group(suite, "load", is_requests_a_second_times_seconds_a_request,
               is_not_more_than_ran_or_would_have, counts_what_is_in_use_until_it_ends,
               leaves_out_what_timed_out);
}
