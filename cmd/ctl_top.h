#ifndef CARPOOL_CMD_CTL_TOP_H
#define CARPOOL_CMD_CTL_TOP_H

/* `carpoolctl top`: the pools live, until q. Returns the exit status. */
int ctl_top(const char *address);

#endif
