#ifndef CARPOOL_DAEMON_DAEMON_H
#define CARPOOL_DAEMON_DAEMON_H

/* The life of carpoold: start, turns of the loop, reload, stop. */

#include <stdbool.h>

#include "config/config.h"

struct daemon_options {
    const char *config_path; /* NULL: built-in defaults */
    struct text_list listen; /* -l; replaces the file's, at every reload too */
};

/* To be called before the configuration is read: signals that ask for something (carpoold(8)) wait from now
 * on until daemon_run() handles them, so that none of them harms the start. */
void daemon_hold_signals(void);

/* Runs until it was stopped; returns the exit status (carpoold(8)). `config` was loaded with these
 * options and is taken over. */
int daemon_run(const struct daemon_options *options, struct config *config);

#endif
