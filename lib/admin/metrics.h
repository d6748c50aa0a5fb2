#ifndef CARPOOL_ADMIN_METRICS_H
#define CARPOOL_ADMIN_METRICS_H

/* The figures in Prometheus' text format 0.0.4. Origins that no upstream names exactly, and forgotten ones,
 * share the label "*": the number of series is bounded by the configuration, whatever hosts clients ask
 * for. */

#include "admin/server.h"
#include "admin/text.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_write(struct text *t, const struct admin_daemon *d);

/* Within lib/admin: what an agent has of its own (metrics_agents.c), and the beginning of a family, whose
 * `name` has no prefix yet. */
void metrics_agents_write(struct text *t, const struct pool *p);
void metrics_family(struct text *t, const char *name, const char *type, const char *help);

/* Writes the value of a label in its quotes, escaped as the format wants it; control bytes become '?'. */
void metrics_label_value(struct text *t, struct slice value);

#endif
