#ifndef CARPOOL_DAEMON_CPUS_H
#define CARPOOL_DAEMON_CPUS_H

/* How many processors this process may keep busy: those of its affinity, and no more than the quota of its
 * cgroup or of one above it (v2 cpu.max, v1 cpu.cfs_quota_us), rounded up. At least 1. */
unsigned cpus_usable(void);

/* The quota alone, with /proc and /sys below `root` ("" is the system's); 0: there is none. */
unsigned cpus_quota(const char *root);

#endif
