#ifndef CARPOOL_CONFIG_SUGGEST_H
#define CARPOOL_CONFIG_SUGGEST_H

/* The name that a user who mistyped it probably meant. */

#include <stddef.h>

/* The nearest of `names` by insertions, deletions, changes and swaps of neighbours, in any case of letters;
 * NULL when none is near enough. The first wins among equals. */
const char *suggest(const char *typed, const char *const *names, size_t count);

#endif
