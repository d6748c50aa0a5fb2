/* carpoolctl config and version: what runs. */

#include <stdio.h>

#include "cmd/ctl_command.h"
#include "config/yaml_print.h"

static int print_config(const struct ctl_options *o, json_t *answer)
{
    (void)o;
    if (!json_is_object(answer))
        return CTL_STRANGE;
    yaml_print(answer, stdout);
    return CTL_FINE;
}

int ctl_config(const struct ctl_options *o, const char *name)
{
    (void)name;
    return ctl_get(o, "/config", print_config);
}

static int print_version(const struct ctl_options *o, json_t *answer)
{
    const char *version = json_string_value(json_object_get(answer, "version"));
    const char *instance = json_string_value(json_object_get(answer, "instance"));

    (void)o;
    if (!version || !instance)
        return CTL_STRANGE;
    printf("carpoold %s (%s)\n", version, instance);
    return CTL_FINE;
}

int ctl_version(const struct ctl_options *o, const char *name)
{
    (void)name;
    if (!o->json)
        puts("carpoolctl " PACKAGE_VERSION);
    return ctl_get(o, "/version", print_version);
}
