#include "daemon/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CGROUPS "/sys/fs/cgroup"

/* Rounded up: half a processor is one, one and a half are two. */
static unsigned whole_cpus(long long quota, long long period)
{
    long long count = quota > 0 && period > 0 ? (quota - 1) / period + 1 : 0;

    return count < INT_MAX ? (unsigned)count : 0;
}

static bool read_line(const char *folder, const char *name, char *line, int size)
{
    char path[PATH_MAX];
    FILE *f;
    bool whole;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    f = fopen(path, "re");
    whole = f && fgets(line, size, f);
    if (f)
        fclose(f);
    return whole;
}

/* "200000 100000" or "max 100000" */
static unsigned quota_v2(const char *folder)
{
    char line[64], *end;

    if (!read_line(folder, "cpu.max", line, sizeof line))
        return 0;
    long long quota = strtoll(line, &end, 10);
    return end == line ? 0 : whole_cpus(quota, strtoll(end, NULL, 10));
}

/* -1: none */
static unsigned quota_v1(const char *folder)
{
    char quota[64], period[64];

    if (!read_line(folder, "cpu.cfs_quota_us", quota, sizeof quota) ||
        !read_line(folder, "cpu.cfs_period_us", period, sizeof period))
        return 0;
    return whole_cpus(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

static unsigned lower(unsigned a, unsigned b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* From the cgroup up to where the hierarchy is mounted. In a container the path may be that of the host, and
 * only the last step be there, which is the container's own. */
static unsigned quota_on_the_way(const char *mount, const char *cgroup, unsigned (*quota_of)(const char *))
{
    char folder[PATH_MAX];
    size_t top = strlen(mount);
    unsigned lowest = 0;

    if (snprintf(folder, sizeof folder, "%s%s", mount, cgroup) >= (int)sizeof folder)
        return quota_of(mount);
    for (size_t n = strlen(folder); n >= top; n--) {
        if (folder[n] != '\0' && folder[n] != '/')
            continue;
        folder[n] = '\0';
        lowest = lower(lowest, quota_of(folder));
    }
    return lowest;
}

/* Whether a comma-separated list has the controller. */
static bool has_cpu(const char *controllers)
{
    for (const char *p = controllers; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strcspn(p, ",") == 3 && memcmp(p, "cpu", 3) == 0)
            return true;
    }
    return false;
}

/* A line of /proc/self/cgroup: "0::/path" is v2's, "4:cpu,cpuacct:/path" v1's. */
static unsigned quota_of_line(const char *root, char *line)
{
    char mount[PATH_MAX];
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;

    if (!path)
        return 0;
    *controllers++ = *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';
    if (*controllers && !has_cpu(controllers))
        return 0;
    snprintf(mount, sizeof mount, "%s" CGROUPS "%s%s", root, *controllers ? "/" : "", controllers);
    if (*controllers && access(mount, F_OK) != 0)
        snprintf(mount, sizeof mount, "%s" CGROUPS "/cpu", root);
    return quota_on_the_way(mount, path, *controllers ? quota_v1 : quota_v2);
}

unsigned cpus_quota(const char *root)
{
    char path[PATH_MAX], line[PATH_MAX];
    unsigned lowest = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    f = fopen(path, "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        lowest = lower(lowest, quota_of_line(root, line));
    fclose(f);
    return lowest;
}

/* The kernel has more processors than cpu_set_t where sched_getaffinity() fails. */
static unsigned allowed_cpus(void)
{
    cpu_set_t set;
    long count =
        sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (unsigned)count : 1;
}

unsigned cpus_usable(void)
{
    return lower(allowed_cpus(), cpus_quota(""));
}
