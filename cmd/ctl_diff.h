#ifndef CARPOOL_CMD_CTL_DIFF_H
#define CARPOOL_CMD_CTL_DIFF_H

/* Two texts as a unified diff that patch(1) takes. */

#include <stdbool.h>
#include <stdio.h>

/* Nothing is printed where they are the same. False, and a sentence on stderr: they are too large. */
bool diff_print(const char *file, const char *before, const char *after, FILE *out);

#endif
