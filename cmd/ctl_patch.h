#ifndef CARPOOL_CMD_CTL_PATCH_H
#define CARPOOL_CMD_CTL_PATCH_H

/* A patch of a configuration file that sets options and leaves the rest, comments too, as it stands. */

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct patch;

/* NULL, and a sentence on stderr, when the file cannot be read or is no YAML. */
struct patch *patch_begin(const char *file);

/* Sets an option ("maxSockets", "timeouts.free") of an agent; "default" is the file's `defaults`. False, and
 * a sentence on stderr, when the file has no such upstream. */
bool patch_set(struct patch *p, const char *agent, const char *option, const json_t *value);

/* Prints a unified diff. False, and a sentence on stderr, when memory is short. */
bool patch_print(struct patch *p, FILE *out);
void patch_free(struct patch *p); /* NULL is allowed */

#define CTL_VALUE_SIZE 512

/* A number or a string as YAML, and a key; each returns `out`. */
const char *patch_value(const json_t *value, char out[CTL_VALUE_SIZE]);
const char *patch_key(const char *name, char out[CTL_VALUE_SIZE]);

#endif
