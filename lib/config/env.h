#ifndef CARPOOL_CONFIG_ENV_H
#define CARPOOL_CONFIG_ENV_H

/* ${NAME}, ${NAME:-default} and $$ in values. */

#include <stdbool.h>

#include "config/arena.h"

#define ENV_MAX_VALUE 65536

/* `text` with its variables replaced, in the arena; `text` itself when there is nothing to replace.
 * `from_env` is set when a variable or its default was used. NULL with a sentence in *complaint when the text
 * is malformed, a variable without a default is not set, or the result is longer than ENV_MAX_VALUE or no
 * UTF-8 text. */
char *env_expand(struct arena *a, char *text, bool *from_env, const char **complaint);

#endif
