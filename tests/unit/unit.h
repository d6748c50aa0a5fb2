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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/slice.h"

static inline void unit_add(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
    TCase *group = tcase_create(name);

    for (size_t i = 0; i < count; i++)
        tcase_add_test(group, tests[i]);
    tcase_set_timeout(group, 120);
    suite_add_tcase(suite, group);
}

/* Adds tests that START_TEST made. */
#define unit_group(suite, name, ...)                                                    \
    do {                                                                                \
        const TTest *const unit_tests_[] = {__VA_ARGS__};                               \
        unit_add(suite, name, unit_tests_, sizeof unit_tests_ / sizeof unit_tests_[0]); \
    } while (0)

#define UNIT_AGAIN      "UNIT_AGAIN" /* set where a group is run once more */
#define UNIT_MOST_FLAKY 3
#define UNIT_TIMES      3

/* Runs this group in a process of its own: whether all passes. */
static inline bool unit_passes(const char *group)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        setenv(UNIT_AGAIN, "1", 1);
        setenv("CK_RUN_CASE", group, 1);
        execl("/proc/self/exe", "unit", (char *)NULL);
        _exit(EXIT_FAILURE);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* As tests/run_pytest.py does: a few that failed are looked at again, and are flaky when their group then
 * passes three times. Only what an assertion said is forgiven; a crash, a sanitizer's report and an endless
 * loop are not. */
static inline bool unit_was_luck(SRunner *runner)
{
    int failed = srunner_ntests_failed(runner);
    TestResult **results;
    bool luck = failed <= UNIT_MOST_FLAKY && !getenv(UNIT_AGAIN);

    if (!luck)
        return false;
    results = srunner_failures(runner);
    for (int i = 0; i < failed; i++)
        luck = luck && tr_rtype(results[i]) == CK_FAILURE;
    for (int i = 0; luck && i < failed * UNIT_TIMES; i++)
        luck = unit_passes(tr_tcname(results[i / UNIT_TIMES]));
    for (int i = 0; luck && i < failed; i++)
        printf("flaky: %s, %s:%d: %s\n", tr_tcname(results[i]), tr_lfile(results[i]), tr_lno(results[i]),
               tr_msg(results[i]));
    free(results);
    return luck;
}

/* Runs them; the exit status for main. */
static inline int unit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    bool fine;

    /* Each configuration reads the system's authorities, of which none is of use here. */
    setenv("SSL_CERT_FILE", "/dev/null", 1);
    setenv("SSL_CERT_DIR", "/dev/null", 1);
    srunner_run_all(runner, CK_ENV);
    fine = srunner_ntests_failed(runner) == 0 || unit_was_luck(runner);
    srunner_free(runner);
    return fine ? EXIT_SUCCESS : EXIT_FAILURE;
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
