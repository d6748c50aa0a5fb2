#ifndef CARPOOL_CMD_CTL_RUN_H
#define CARPOOL_CMD_CTL_RUN_H

/* Runs `argv` with the proxy variables set to the address that the daemon at `address` listens on, and what
 * makes clients trust the CA of connectTls where it has one. Returns the command's exit status as a shell has
 * it, 128 + n for a signal; 1, 126 or 127 where it could not be started, after having said why. */
int ctl_run(const char *address, char *const argv[]);

#endif
