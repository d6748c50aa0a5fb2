#include "admin/process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static uint64_t count_fds(void)
{
    struct stat st;
    uint64_t n = 0;
    DIR *dir;

    /* Linux 6.2 and later say the count without a walk over ten thousand of them. */
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (uint64_t)st.st_size;
    dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the walk's own */
}

static void read_memory(struct process_figures *out)
{
    unsigned long long page = (unsigned long long)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/statm", "re");
    char line[128], *end;

    if (!file)
        return;
    if (fgets(line, sizeof line, file)) {
        out->virtual_bytes = strtoull(line, &end, 10) * page;
        out->resident_bytes = strtoull(end, NULL, 10) * page;
    }
    fclose(file);
}

static uint64_t count_threads(void)
{
    struct stat st;

    return stat("/proc/self/task", &st) == 0 && st.st_nlink > 2 ? (uint64_t)st.st_nlink - 2 : 0;
}

void process_figures(struct process_figures *out)
{
    struct timespec cpu = {0};
    struct rlimit limit;

    memset(out, 0, sizeof *out);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    out->cpu_us = (uint64_t)cpu.tv_sec * 1000000 + (uint64_t)cpu.tv_nsec / 1000;
    out->open_fds = count_fds();
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        out->max_fds = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
    read_memory(out);
    out->threads = count_threads();
}
