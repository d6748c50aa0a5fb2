#ifndef CARPOOL_CMD_CTL_RUN_H
#define CARPOOL_CMD_CTL_RUN_H

/* Becomes `argv` with http_proxy set to the address that the daemon at `address` listens on. Returns the exit
 * status only when that failed, after having said why: 1, or as a shell 126 and 127. */
int ctl_run(const char *address, char *const argv[]);

#endif
