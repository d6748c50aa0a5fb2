#ifndef CARPOOL_CMD_CTL_STATUS_H
#define CARPOOL_CMD_CTL_STATUS_H

/* The pools, as several commands ask for and print them. */

#include <stdbool.h>
#include <stdio.h>

#include "cmd/ctl_command.h"
#include "cmd/ctl_pools.h"

typedef void pool_show(struct pool_table *t, const struct ctl_options *o);

/* Asks for all agents, or for the one called `name`, and shows them, or what the API said with --json;
 * `by_agent` as in pool_table_read(). Returns the exit status. */
int pool_table_show(const struct ctl_options *o, const char *name, bool by_agent, pool_show *show);

/* Its first column but for `with_agent`, its second but for `with_origin`; `wide` adds why connections were
 * closed. */
struct pool_print {
    bool with_agent, with_origin, wide, colours;
};

void pool_table_print(const struct pool_table *t, FILE *out, const struct pool_print *how);

/* What is wrong, a line each; of one agent, whose name stands above, without it at the beginning. NULL: of
 * all. */
void pool_table_print_sentences(const struct pool_table *t, const char *agent, FILE *out, bool colours);

#endif
