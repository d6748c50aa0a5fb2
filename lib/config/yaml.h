#ifndef CARPOOL_CONFIG_YAML_H
#define CARPOOL_CONFIG_YAML_H

/* libyaml's documents, with positions and complaints as this project writes them. (Not <yaml.h>: that is
 * libyaml's.) */

#include <yaml.h>

#include "base/slice.h"
#include "config/problems.h"

struct yaml_text {
    yaml_parser_t parser;
    yaml_document_t document;
    bool has_parser, has_document;
};

/* Reads the one document of the text; false after reporting what is wrong. `y` is zeroed by the caller and
 * freed by yaml_text_free() in any case; the text must stay until then. */
bool yaml_text_read(struct yaml_text *y, struct slice text, struct problems *p);
void yaml_text_free(struct yaml_text *y);

struct mark yaml_mark(const yaml_node_t *n);

/* Nothing, ~ or null, not in quotes. */
bool yaml_is_null(const yaml_node_t *n);

/* "a list", "a map", "a value" */
const char *yaml_kind(const yaml_node_t *n);

#endif
