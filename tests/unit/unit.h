#ifndef CARPOOL_TESTS_UNIT_H
#define CARPOOL_TESTS_UNIT_H

/* What the unit tests share. Each folder of lib/ has one program, which ends like this:
 *
 *     int main(void)
 *     {
 *         Suite *suite = suite_create("base");
 *
 *         unit_group(suite, "slice", slice_trims_ows, slice_finds_elements);
 *         return unit_run(suite);
 *     }
 *
 * Every test runs in a process of its own (CK_FORK=no: in this one, for a debugger). */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

static inline void unit_add(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
    TCase *group = tcase_create(name);

    for (size_t i = 0; i < count; i++)
        tcase_add_test(group, tests[i]);
    tcase_set_timeout(group, 30);
    suite_add_tcase(suite, group);
}

/* Adds tests that START_TEST made. */
#define unit_group(suite, name, ...)                                                    \
    do {                                                                                \
        const TTest *const unit_tests_[] = {__VA_ARGS__};                               \
        unit_add(suite, name, unit_tests_, sizeof unit_tests_ / sizeof unit_tests_[0]); \
    } while (0)

/* Runs them; the exit status for main. */
static inline int unit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The slice holds exactly the bytes of this string. */
#define assert_slice(actual, expected)                                                             \
    do {                                                                                           \
        const struct slice slice_ = (actual);                                                      \
        const struct slice wanted_ = slice_of(expected);                                           \
        ck_assert_msg(slice_eq(slice_, wanted_), "%s is '%.*s', not '%s'", #actual, (int)slice_.n, \
                      slice_.p ? slice_.p : "", wanted_.p);                                        \
    } while (0)

#endif
