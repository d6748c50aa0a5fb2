#ifndef CARPOOL_CMD_CTL_STATUS_H
#define CARPOOL_CMD_CTL_STATUS_H

/* The table of pools, as several commands print it. */

#include <stdbool.h>
#include <stdio.h>

#include "cmd/ctl_pools.h"

/* Its first column but for `with_agent`, its second but for `with_origin`; `wide` adds why connections were closed. */
struct pool_print {
    bool with_agent, with_origin, wide, colours;
};

void pool_table_print(const struct pool_table *t, FILE *out, const struct pool_print *how);

/* What is wrong, a line each. */
void pool_table_print_sentences(const struct pool_table *t, FILE *out, bool colours);

#endif
