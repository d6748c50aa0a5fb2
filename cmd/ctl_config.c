/* carpoolctl config and version: what runs. */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/ctl_command.h"
#include "config/yaml_print.h"

int ctl_config(const struct ctl_options *o, const char *name)
{
    struct ctl_reply reply;
    int status = ctl_request(o, "GET", "/config", &reply);
    json_t *json;

    (void)name;
    if (status != CTL_FINE)
        return status;
    if (o->json)
        return ctl_print_json(&reply);
    json = json_loadb(reply.body, reply.length, 0, NULL);
    free(reply.body);
    if (!json_is_object(json)) {
        json_decref(json);
        return ctl_fail("the answer to /config is not what carpoold says");
    }
    yaml_print(json, stdout);
    json_decref(json);
    return CTL_FINE;
}

int ctl_version(const struct ctl_options *o, const char *name)
{
    struct ctl_reply reply;
    json_t *json;
    const char *version, *instance;
    int status;

    (void)name;
    if (!o->json)
        puts("carpoolctl " PACKAGE_VERSION);
    status = ctl_request(o, "GET", "/version", &reply);
    if (status != CTL_FINE)
        return status;
    if (o->json)
        return ctl_print_json(&reply);
    json = json_loadb(reply.body, reply.length, 0, NULL);
    free(reply.body);
    version = json_string_value(json_object_get(json, "version"));
    instance = json_string_value(json_object_get(json, "instance"));
    printf("carpoold %s (%s)\n", version ? version : "?", instance ? instance : "?");
    json_decref(json);
    return CTL_FINE;
}
