#include "io/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"

/* Linux 6.5; the number is that of most architectures, and the kernel says no where it is another. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define PATH_SIZE 4096
/* Cgroups that a walk looks at, and how deep. */
#define WALK_ENTRIES 16384
#define WALK_DEPTH   16
/* Ids that are remembered. */
#define KNOWN_MAX 4096
/* An id that was not found may belong to a cgroup that cannot be seen from here: it is looked for again after so long. */
#define UNKNOWN_KEPT_MS (60 * 1000)

/* ---- names */

static bool ends_in(const char *text, size_t n, const char *end)
{
    size_t k = strlen(end);
    return n > k && memcmp(text + n - k, end, k) == 0;
}

static void take(char out[UNIT_NAME_SIZE], const char *component, size_t n)
{
    memcpy(out, component, n);
    out[n] = '\0';
}

bool unit_names_of_path(const char *path, struct unit_names *out)
{
    bool delegated = false;
    *out = (struct unit_names){0};
    while (*path) {
        size_t n = strcspn(path, "/");
        bool leaf = ends_in(path, n, ".service") || ends_in(path, n, ".scope");
        if (n < UNIT_NAME_SIZE && (leaf || ends_in(path, n, ".slice"))) {
            take(out->name, path, n);
            if (!delegated)
                take(out->vouched, path, n);
            delegated |= leaf;
        }
        path += n + (path[n] == '/');
    }
    return *out->name != '\0';
}

/* ---- by id */

struct known {
    UT_hash_handle hh;
    uint64_t id;
    uint64_t asked_ms;
    struct unit_names names; /* name "": it was not found */
};

struct cgroup_units {
    struct known *known;
    char root[PATH_SIZE]; /* where cgroup v2 is mounted; "": nowhere */
};

/* A line of /proc/self/mounts: device, place, type. */
static void find_root(char out[PATH_SIZE])
{
    char line[PATH_SIZE * 2], place[PATH_SIZE], type[64];
    FILE *f = fopen("/proc/self/mounts", "re");
    *out = '\0';
    while (f && !*out && fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %4095s %63s", place, type) == 2 && strcmp(type, "cgroup2") == 0)
            memcpy(out, place, sizeof place);
    if (f)
        fclose(f);
}

struct cgroup_units *cgroup_units_new(void)
{
    struct cgroup_units *u = calloc(1, sizeof *u);
    if (u)
        find_root(u->root);
    return u;
}

static void forget_all(struct cgroup_units *u)
{
    struct known *k, *next;
    HASH_ITER (hh, u->known, k, next) {
        HASH_DEL(u->known, k); /* NOLINT(clang-analyzer-unix.Malloc): the last one empties the table */
        free(k);
    }
}

void cgroup_units_free(struct cgroup_units *u)
{
    if (!u)
        return;
    forget_all(u);
    free(u);
}

struct walk {
    uint64_t id;
    unsigned left, depth;
    char path[PATH_SIZE]; /* below the root, of the directory that is open */
};

static bool walk_directory(struct walk *w, int fd);

/* Directories of cgroupfs have two links more than they have directories. */
static bool has_children(int parent, const char *name)
{
    struct stat s;
    return fstatat(parent, name, &s, AT_SYMLINK_NOFOLLOW) == 0 && s.st_nlink != 2;
}

/* Its path becomes that of the walk where it is found. */
static bool walk_entry(struct walk *w, int parent, const struct dirent *entry)
{
    size_t before = strlen(w->path), n = strlen(entry->d_name);
    if (before + 1 + n >= sizeof w->path)
        return false;
    w->path[before] = '/';
    memcpy(w->path + before + 1, entry->d_name, n + 1);
    if (entry->d_ino == w->id)
        return true;
    if (w->depth < WALK_DEPTH && has_children(parent, entry->d_name)) {
        int fd = openat(parent, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        w->depth++;
        if (fd >= 0 && walk_directory(w, fd))
            return true;
        w->depth--;
    }
    w->path[before] = '\0';
    return false;
}

/* Closes fd. */
static bool walk_directory(struct walk *w, int fd)
{
    bool found = false;
    DIR *d = fdopendir(fd);
    const struct dirent *entry;
    if (!d) {
        close(fd);
        return false;
    }
    while (!found && w->left > 0 && (entry = readdir(d))) {
        if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        w->left--;
        found = walk_entry(w, fd, entry);
    }
    closedir(d);
    return found;
}

static void look_up(const struct cgroup_units *u, struct known *k)
{
    struct walk w = {.id = k->id, .left = WALK_ENTRIES};
    int fd = *u->root ? open(u->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    k->asked_ms = clock_ms();
    k->names = (struct unit_names){0};
    if (fd >= 0 && walk_directory(&w, fd))
        unit_names_of_path(w.path, &k->names);
}

static struct known *remember(struct cgroup_units *u, uint64_t id)
{
    if (HASH_COUNT(u->known) >= KNOWN_MAX)
        forget_all(u);
    struct known *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->id = id;
    HASH_ADD(hh, u->known, id, sizeof k->id, k); /* NOLINT(clang-analyzer-unix.Malloc) */
    if (k->hh.tbl) {
        look_up(u, k);
        return k;
    }
    free(k);
    return NULL;
}

const struct unit_names *cgroup_unit(struct cgroup_units *u, uint64_t id)
{
    struct known *k;
    HASH_FIND(hh, u->known, &id, sizeof id, k);
    if (!k)
        k = remember(u, id);
    else if (!*k->names.name && clock_ms() >= k->asked_ms + UNKNOWN_KEPT_MS)
        look_up(u, k);
    return k && *k->names.name ? &k->names : NULL;
}

/* ---- by process */

/* The line of cgroup v2 in /proc/PID/cgroup: "0::/system.slice/cron.service". */
static bool read_path(pid_t pid, char out[PATH_SIZE])
{
    char name[64], line[PATH_SIZE];
    bool found = false;
    snprintf(name, sizeof name, "/proc/%d/cgroup", (int)pid);
    FILE *f = fopen(name, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        found = strncmp(line, "0::", 3) == 0;
        if (found)
            snprintf(out, PATH_SIZE, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    }
    if (f)
        fclose(f);
    return found;
}

/* -1: the kernel is too old for it, or the process is gone. */
static int open_peer(int fd)
{
    int pidfd = -1;
    socklen_t n = sizeof pidfd;
    return getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n) == 0 ? pidfd : -1;
}

/* Its number may be another process's by now; older kernels do not say. */
static bool has_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return pidfd >= 0 && poll(&p, 1, 0) != 0;
}

bool cgroup_unit_of_peer(int fd, pid_t pid, struct unit_names *out)
{
    char path[PATH_SIZE];
    if (pid <= 0)
        return false;
    int pidfd = open_peer(fd);
    bool found = read_path(pid, path) && !has_ended(pidfd);
    if (pidfd >= 0)
        close(pidfd);
    return found && unit_names_of_path(path, out);
}
