/* lib/daemon/cpus, on files of the test's own */

#include "daemon/cpus.h"

#include <limits.h>
#include <sys/stat.h>

#include "daemon_test.h"
#include "unit.h"

static char root[] = "/tmp/carpool-cpus-XXXXXX";

/* Writes a file below the root, and makes its folders. */
static void put(const char *path, const char *text)
{
    char whole[PATH_MAX];
    FILE *f;

    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *p = whole + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(whole, 0700);
        *p = '/';
    }
    f = fopen(whole, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void remove_root(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -r %s", root);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(cpus_follow_a_quota)
{
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_uint_eq(cpus_quota(root), 0);
    put("/proc/self/cgroup", "0::/system.slice/a.service\n");
    ck_assert_uint_eq(cpus_quota(root), 0);
    put("/sys/fs/cgroup/system.slice/a.service/cpu.max", "max 100000\n");
    ck_assert_uint_eq(cpus_quota(root), 0);
    put("/sys/fs/cgroup/system.slice/a.service/cpu.max", "200000 100000\n");
    ck_assert_uint_eq(cpus_quota(root), 2);
    put("/sys/fs/cgroup/system.slice/a.service/cpu.max", "250000 100000\n");
    ck_assert_uint_eq(cpus_quota(root), 3);
    put("/sys/fs/cgroup/system.slice/a.service/cpu.max", "1000 100000\n");
    ck_assert_uint_eq(cpus_quota(root), 1);
    put("/sys/fs/cgroup/system.slice/a.service/cpu.max", "nonsense\n");
    ck_assert_uint_eq(cpus_quota(root), 0);
    /* What holds for one above holds for it. */
    put("/sys/fs/cgroup/system.slice/a.service/cpu.max", "800000 100000\n");
    put("/sys/fs/cgroup/system.slice/cpu.max", "400000 100000\n");
    ck_assert_uint_eq(cpus_quota(root), 4);
    remove_root();
}
END_TEST

START_TEST(cpus_follow_a_quota_of_a_container)
{
    ck_assert_ptr_nonnull(mkdtemp(root));
    /* The path is the host's, and what is mounted is the container's own. */
    put("/proc/self/cgroup", "0::/docker/0123\n");
    put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    ck_assert_uint_eq(cpus_quota(root), 3);
    put("/proc/self/cgroup", "0::/\n");
    ck_assert_uint_eq(cpus_quota(root), 3);
    remove_root();
}
END_TEST

START_TEST(cpus_follow_a_quota_of_v1)
{
    ck_assert_ptr_nonnull(mkdtemp(root));
    put("/proc/self/cgroup", "5:cpuset:/a\n4:cpu,cpuacct:/a\n1:name=systemd:/a\n0::/a\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "50000\n");
    ck_assert_uint_eq(cpus_quota(root), 0);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "100000\n");
    ck_assert_uint_eq(cpus_quota(root), 2);
    /* A folder of that name is not always there. */
    put("/proc/self/cgroup", "4:cpuacct,cpu:/a\n");
    put("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "250000\n");
    put("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "50000\n");
    ck_assert_uint_eq(cpus_quota(root), 5);
    put("/proc/self/cgroup", "2:cpuacct:/a\nno line\n");
    ck_assert_uint_eq(cpus_quota(root), 0);
    remove_root();
}
END_TEST

START_TEST(cpus_are_some)
{
    ck_assert_uint_ge(cpus_usable(), 1);
}
END_TEST

void daemon_cpus_tests(Suite *suite)
{
    unit_group(suite, "cpus", cpus_follow_a_quota, cpus_follow_a_quota_of_a_container,
               cpus_follow_a_quota_of_v1, cpus_are_some);
}
