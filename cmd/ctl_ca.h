#ifndef CARPOOL_CMD_CTL_CA_H
#define CARPOOL_CMD_CTL_CA_H

/* carpoolctl ca: makes and shows the CA that connectTls names. `argv[0]` is the command's last word, options
 * follow; returns the exit status. */

int ctl_ca_create(int argc, char **argv);
int ctl_ca_show(int argc, char **argv);

#endif
