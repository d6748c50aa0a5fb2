#include "config/yaml_print.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* Each true while all is well; libyaml frees the event in any case. */
static bool emit_text(yaml_emitter_t *y, const char *value, yaml_scalar_style_t style)
{
    yaml_event_t event;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)value, (int)strlen(value), 1,
                                        1, style) &&
           yaml_emitter_emit(y, &event);
}

static bool is_among(const char *value, const char *const words[])
{
    for (size_t i = 0; words[i]; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

/* More than one dot: an IP address. */
static bool looks_like_a_number(const char *value)
{
    const char *dot = strchr(value, '.');
    return *value && strchr("+-.0123456789", *value) &&
           value[strspn(value, "+-.:_0123456789abcdefABCDEFxXoO")] == '\0' && !(dot && strchr(dot + 1, '.'));
}

/* Whether a reader of YAML 1.1 or 1.2 may take these plain letters for something else than text. */
static bool is_misread(const char *value)
{
    static const char *const words[] = {"",  "~", "null", "true",  "false", "yes",  "no", "on", "off",
                                        "y", "n", ".inf", "+.inf", "-.inf", ".nan", "<<", "=",  NULL};
    return is_among(value, words) || looks_like_a_number(value);
}

static yaml_scalar_style_t style_of(const char *value)
{
    return is_misread(value) ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE;
}

/* A dollar would begin a variable when it is read back. "off" is plain, as the manual writes it. */
static bool emit_string(yaml_emitter_t *y, const char *value)
{
    char *escaped = NULL;
    size_t size;
    FILE *f = open_memstream(&escaped, &size);
    if (!f)
        return false;
    for (const char *p = value; *p; p++) {
        if (*p == '$')
            putc('$', f);
        putc(*p, f);
    }
    bool is_off = strcmp(value, "off") == 0;
    bool good = fclose(f) == 0 && emit_text(y, escaped, is_off ? YAML_ANY_SCALAR_STYLE : style_of(value));
    free(escaped);
    return good;
}

static bool emit_scalar(yaml_emitter_t *y, const json_t *value)
{
    char number[24];
    if (json_is_string(value))
        return emit_string(y, json_string_value(value));
    if (json_is_boolean(value))
        return emit_text(y, json_is_true(value) ? "true" : "false", YAML_PLAIN_SCALAR_STYLE);
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    return emit_text(y, number, YAML_PLAIN_SCALAR_STYLE);
}

static bool emit_list(yaml_emitter_t *y, const json_t *list)
{
    yaml_event_t event;
    size_t i;
    json_t *item;
    if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_FLOW_SEQUENCE_STYLE) ||
        !yaml_emitter_emit(y, &event))
        return false;
    json_array_foreach (list, i, item) {
        if (!emit_scalar(y, item))
            return false;
    }
    return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(y, &event);
}

static bool emit_map(yaml_emitter_t *y, json_t *map);

static bool emit_value(yaml_emitter_t *y, json_t *value)
{
    return json_is_object(value)  ? emit_map(y, value)
           : json_is_array(value) ? emit_list(y, value)
                                  : emit_scalar(y, value);
}

static bool emit_map(yaml_emitter_t *y, json_t *map)
{
    yaml_event_t event;
    const char *key;
    json_t *value;
    if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
        !yaml_emitter_emit(y, &event))
        return false;
    json_object_foreach (map, key, value) {
        if (!emit_text(y, key, style_of(key)) || !emit_value(y, value))
            return false;
    }
    return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(y, &event);
}

static bool emit_document(yaml_emitter_t *y, json_t *tree)
{
    yaml_event_t event;
    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) && yaml_emitter_emit(y, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
           yaml_emitter_emit(y, &event) && emit_map(y, tree) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(y, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(y, &event);
}

void yaml_print(json_t *tree, FILE *out)
{
    yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter))
        return;
    yaml_emitter_set_output_file(&emitter, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    emit_document(&emitter, tree);
    yaml_emitter_delete(&emitter);
}
