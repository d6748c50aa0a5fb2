#ifndef CARPOOL_CMD_CTL_TRUST_H
#define CARPOOL_CMD_CTL_TRUST_H

/* What makes a command's clients trust the CA of connectTls: variables of the environment, and the files that
 * they name. */

#include <stdbool.h>

#include "cmd/ctl_client.h"

/* Private files, which go with the command. */
struct ctl_trust {
    char *folder; /* NULL: there are none, since the daemon has no CA */
    char *bundle, *extra;
};

/* Asks the daemon, writes the files and sets the variables. False with a sentence in `error`. */
bool ctl_trust_begin(const char *address, struct ctl_trust *t, char error[CTL_ERROR_SIZE]);

/* Removes the files. */
void ctl_trust_end(struct ctl_trust *t);

#endif
