#ifndef CARPOOL_CONFIG_YAML_PRINT_H
#define CARPOOL_CONFIG_YAML_PRINT_H

/* A configuration as a tree of jansson's, printed as YAML that carpoold reads back to the same. */

#include <jansson.h>
#include <stdio.h>

/* `tree` is an object of strings, numbers, booleans, lists of these, and objects. */
void yaml_print(json_t *tree, FILE *out);

#endif
