#include "io/cgroup.h"

#include <dirent.h>
#include <errno.h>
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
#include "base/minmax.h"

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
/* An id that was not found may belong to a cgroup that cannot be seen from here: it is looked for again after
 * so long. */
#define UNKNOWN_KEPT_MS (60 * 1000)
/* Walks may take a twentieth of the time, and so much at once. */
#define WALK_SHARE     20
#define WALK_CREDIT_US (200 * 1000)

static bool is_shortage(int number)
{
    return number == EMFILE || number == ENFILE || number == ENOMEM;
}

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
    bool has_root;        /* false: /proc could not be read */
    char root[PATH_SIZE]; /* where cgroup v2 is mounted; "": nowhere */
    uint64_t owed_us;     /* what walks have taken beyond their share, as of ... */
    uint64_t counted_us;
};

/* A line of /proc/self/mounts: device, place, type. */
static void find_root(struct cgroup_units *u)
{
    char line[PATH_SIZE * 2], place[PATH_SIZE], type[64];
    FILE *f = u->has_root ? NULL : fopen("/proc/self/mounts", "re");
    u->has_root |= f || !is_shortage(errno);
    while (f && !*u->root && fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %4095s %63s", place, type) == 2 && strcmp(type, "cgroup2") == 0)
            memcpy(u->root, place, sizeof place);
    if (f)
        fclose(f);
}

struct cgroup_units *cgroup_units_new(const char *root)
{
    struct cgroup_units *u = calloc(1, sizeof *u);
    if (u && root) {
        snprintf(u->root, sizeof u->root, "%s", root);
        u->has_root = true;
    }
    return u;
}

static void forget(struct cgroup_units *u, bool found_ones, bool others)
{
    struct known *k, *next;
    HASH_ITER (hh, u->known, k, next) {
        if (*k->names.name ? !found_ones : !others)
            continue;
        HASH_DEL(u->known, k); /* NOLINT(clang-analyzer-unix.Malloc): the last one empties the table */
        free(k);
    }
}

/* Ids that say nothing go first: anybody can make more of them. */
static void make_room(struct cgroup_units *u)
{
    if (HASH_COUNT(u->known) >= KNOWN_MAX)
        forget(u, false, true);
    if (HASH_COUNT(u->known) >= KNOWN_MAX) /* NOLINT(clang-analyzer-unix.Malloc): see forget() */
        forget(u, true, false);
}

void cgroup_units_free(struct cgroup_units *u)
{
    if (!u)
        return;
    forget(u, true, true);
    free(u);
}

struct walk {
    uint64_t id;
    unsigned left, depth;
    bool is_cut;          /* a directory could not be opened for want of a descriptor or memory */
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
        w->is_cut |= fd < 0 && is_shortage(errno);
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
        w->is_cut = true;
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

/* Their share of the time that has passed is taken off. */
static bool may_walk(struct cgroup_units *u)
{
    uint64_t share = (clock_us() - u->counted_us) / WALK_SHARE;
    u->counted_us += share * WALK_SHARE;
    u->owed_us -= min64(share, u->owed_us);
    return u->owed_us < WALK_CREDIT_US;
}

static void walk(struct cgroup_units *u, struct walk *w)
{
    int fd = *u->root ? open(u->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    w->is_cut = !u->has_root || (*u->root && fd < 0 && is_shortage(errno));
    if (fd < 0)
        return;
    clock_update();
    uint64_t began_us = clock_us();
    walk_directory(w, fd);
    clock_update();
    u->owed_us += clock_us() - began_us;
}

static void look_up(struct cgroup_units *u, struct known *k)
{
    struct walk w = {.id = k->id, .left = WALK_ENTRIES, .is_cut = true};
    find_root(u);
    if (may_walk(u))
        walk(u, &w);
    unit_names_of_path(w.path, &k->names);
    k->asked_ms = w.is_cut ? 0 : clock_ms();
}

static struct known *remember(struct cgroup_units *u, uint64_t id)
{
    make_room(u);
    struct known *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->id = id;
    HASH_ADD(hh, u->known, id, sizeof k->id, k); /* NOLINT(clang-analyzer-unix.Malloc) */
    if (k->hh.tbl)
        return k;
    free(k);
    return NULL;
}

static bool is_to_be_looked_up(const struct known *k)
{
    return !*k->names.name && (k->asked_ms == 0 || clock_ms() >= k->asked_ms + UNKNOWN_KEPT_MS);
}

enum unit_found cgroup_unit(struct cgroup_units *u, uint64_t id, struct unit_names *out)
{
    struct known *k;
    HASH_FIND(hh, u->known, &id, sizeof id, k);
    if (!k && !(k = remember(u, id)))
        return UNIT_UNKNOWN;
    if (is_to_be_looked_up(k))
        look_up(u, k);
    *out = k->names;
    if (*k->names.name)
        return UNIT_FOUND;
    return k->asked_ms ? UNIT_NONE : UNIT_UNKNOWN;
}

/* ---- by process */

/* The line of cgroup v2 in /proc/PID/cgroup: "0::/system.slice/cron.service". */
static enum unit_found read_path(pid_t pid, char out[PATH_SIZE])
{
    char name[64], line[PATH_SIZE];
    bool found = false;
    snprintf(name, sizeof name, "/proc/%d/cgroup", (int)pid);
    FILE *f = fopen(name, "re");
    if (!f)
        return is_shortage(errno) ? UNIT_UNKNOWN : UNIT_NONE;
    while (!found && fgets(line, sizeof line, f)) {
        found = strncmp(line, "0::", 3) == 0;
        if (found)
            snprintf(out, PATH_SIZE, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    }
    fclose(f);
    return found ? UNIT_FOUND : UNIT_NONE;
}

/* Its number may be another process's by now; kernels without SO_PEERPIDFD do not say. */
static enum unit_found is_still_there(int fd)
{
    int pidfd = -1;
    socklen_t n = sizeof pidfd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n) != 0)
        return errno == ENOPROTOOPT ? UNIT_FOUND : is_shortage(errno) ? UNIT_UNKNOWN : UNIT_NONE;
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    bool has_ended = poll(&p, 1, 0) != 0;
    close(pidfd);
    return has_ended ? UNIT_NONE : UNIT_FOUND;
}

enum unit_found cgroup_unit_of_peer(int fd, pid_t pid, struct unit_names *out)
{
    char path[PATH_SIZE];
    enum unit_found found = pid > 0 ? read_path(pid, path) : UNIT_NONE;
    if (found == UNIT_FOUND)
        found = is_still_there(fd);
    return found == UNIT_FOUND && !unit_names_of_path(path, out) ? UNIT_NONE : found;
}
