#ifndef CARPOOL_IO_CGROUP_H
#define CARPOOL_IO_CGROUP_H

/* Which systemd unit or container a cgroup of cgroup v2 belongs to, by its id or by a process in it. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define UNIT_NAME_SIZE 256

/* Two names of the same cgroup. A service or a scope may make cgroups of its own and call them as it likes (a
 * user's manager, the inside of a container do): `name` is the last component that looks like a unit,
 * `vouched` the unit that the system's manager made. Mostly they are the same. */
struct unit_names {
    char name[UNIT_NAME_SIZE], vouched[UNIT_NAME_SIZE];
};

/* Of "/system.slice/cron.service". False: it is in no unit. */
bool unit_names_of_path(const char *path, struct unit_names *out);

/* Ids that were looked up, with what was found: an id is never given to another cgroup. */
struct cgroup_units;

enum unit_found {
    UNIT_FOUND,
    UNIT_NONE,    /* it is in none, gone already, or cannot be seen from here */
    UNIT_UNKNOWN, /* it could not be looked for: ask again */
};

/* `root`: where cgroup v2 is mounted; NULL: as the system says. NULL when memory is short. */
struct cgroup_units *cgroup_units_new(const char *root);
void cgroup_units_free(struct cgroup_units *u);

/* The first time an id is seen it walks the tree of cgroups, which takes a millisecond or so: leaves are not
 * opened, and it gives up after some thousands. Where walks take much of the loop's time, as with cgroups
 * that are made for that, the next one waits: UNIT_UNKNOWN, as where no descriptor or memory is left for
 * one. */
enum unit_found cgroup_unit(struct cgroup_units *u, uint64_t id, struct unit_names *out);

/* The unit of the process that connected to the unix socket `fd`. A process that has ended has none. */
enum unit_found cgroup_unit_of_peer(int fd, pid_t pid, struct unit_names *out);

#endif
