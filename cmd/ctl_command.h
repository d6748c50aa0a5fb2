#ifndef CARPOOL_CMD_CTL_COMMAND_H
#define CARPOOL_CMD_CTL_COMMAND_H

/* What the commands of carpoolctl share. Each is a function that takes the options and its NAME (NULL: none
 * was given) and returns the exit status. */

#include <jansson.h>
#include <stdbool.h>

#include "cmd/ctl_client.h"

enum { CTL_FINE = 0, CTL_FAILED = 1, CTL_USAGE = 2, CTL_STRANGE = -1 };

struct ctl_options {
    const char *address;
    bool json, wide;
    bool words_only;   /* "--" was read: no options follow */
    const char *patch; /* advise: print a patch of this file; NULL: YAML */
};

int ctl_status(const struct ctl_options *o, const char *name);
int ctl_agents(const struct ctl_options *o, const char *name);
int ctl_errors(const struct ctl_options *o, const char *name);
int ctl_callers(const struct ctl_options *o, const char *name);
int ctl_advise(const struct ctl_options *o, const char *name);
int ctl_explain(const struct ctl_options *o, const char *name);
int ctl_drain(const struct ctl_options *o, const char *name);
int ctl_pause(const struct ctl_options *o, const char *name);
int ctl_resume(const struct ctl_options *o, const char *name);
int ctl_reload(const struct ctl_options *o, const char *name);
int ctl_config(const struct ctl_options *o, const char *name);
int ctl_version(const struct ctl_options *o, const char *name);

/* "carpoolctl: " and the sentence on stderr; returns CTL_FAILED. */
int ctl_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Asks; an answer that is no success is reported. The caller frees the body when this is CTL_FINE. */
int ctl_request(const struct ctl_options *o, const char *method, const char *path, struct ctl_reply *reply);

/* The same for /agents/NAME, or a verb of it when that is not NULL; who asks for an agent that is not there
 * gets the names of those that are. */
int ctl_request_agent(const struct ctl_options *o, const char *method, const char *name, const char *verb,
                      struct ctl_reply *reply);

/* Prints what the API said, and frees it. */
int ctl_print_json(struct ctl_reply *reply);

typedef int ctl_print(const struct ctl_options *o, json_t *answer);

/* The same where --json was given; else print() does, which returns the exit status, or CTL_STRANGE where it
 * is not what carpoold says at this path. */
int ctl_show(const struct ctl_options *o, const char *path, struct ctl_reply *reply, ctl_print *print);

/* Both: asks, and shows the answer. */
int ctl_get(const struct ctl_options *o, const char *path, ctl_print *print);
int ctl_ask_agent(const struct ctl_options *o, const char *method, const char *name, const char *verb,
                  ctl_print *print);

/* A file whole, malloc'd and ended by a zero, which is not among its *n bytes. NULL, and a sentence on stderr,
 * when it cannot be read. */
char *ctl_read_file(const char *path, size_t *n);

/* Whether stdout is a terminal that wants colours. */
bool ctl_wants_colours(void);

/* Of the terminal that stdout is; 0: it is none. */
size_t ctl_columns(void);

#endif
