#ifndef CARPOOL_CONFIG_ALLOW_H
#define CARPOOL_CONFIG_ALLOW_H

/* `allow` and `queue`: what both ask of `callers`. Inside lib/config only. */

#include "config/loader.h"

/* Takes the names as they stand: what they mean depends on `callers`. */
void allow_set(struct loader *l, struct allow_list *list, const struct item *items, uint32_t count);

/* allow and queue: fair without callers are errors, and so are users that there are not; finds the users'
 * ids. May take as long as the system's user database does. */
void callers_check(struct loader *l, const struct scope *s);

#endif
