#ifndef CARPOOL_CONFIG_MATCH_H
#define CARPOOL_CONFIG_MATCH_H

/* Which upstream a URL belongs to: exact host before the longest suffix before "*", with a port before
 * without. */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct config;
struct match_index;
struct match_pattern;
struct upstream;

/* `host` in lower case and without brackets, `port` as the app wrote it or its scheme's default. NULL: no
 * upstream matches. No allocation; the cost does not grow with the number of upstreams. */
const struct upstream *match_find(const struct config *c, struct slice host, uint16_t port);

/* Whether the upstream names this very host, and this port: in the pattern, or, where that has none, because
 * it is the default of the origin's scheme. However many hosts, spellings and ports clients ask for, it is
 * true of no more than the configuration names; such an origin is a metric label of its own and is never
 * forgotten. */
bool match_names_exactly(const struct upstream *u, struct slice host, uint16_t port, bool is_default_port);

/* The exact pattern, if there is just one; other patterns may stand beside it. */
const struct match_pattern *match_only_exact(const struct upstream *u);

/* Used by config_load and config_unref. */
struct match_index *match_index_new(const struct config *c);
void match_index_free(struct match_index *index);

#endif
