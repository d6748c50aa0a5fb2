#include "daemon/passed.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define GATEWAY_PREFIX "upstream."

bool passed_role(const struct service_fd *passed, enum role *role, const char **upstream)
{
    const char *name = passed->name;
    *upstream = NULL;
    *role = ROLE_PROXY;
    if (!*name || strcmp(name, "proxy") == 0)
        return true;
    *role = ROLE_ADMIN;
    if (strcmp(name, "admin") == 0)
        return true;
    *role = ROLE_GATEWAY;
    *upstream = name + strlen(GATEWAY_PREFIX);
    if (strncmp(name, GATEWAY_PREFIX, strlen(GATEWAY_PREFIX)) == 0 && **upstream)
        return true;
    log_event(
        LOG_WARN,
        "a socket that systemd passed has an unknown FileDescriptorName and is closed: it must be proxy, admin or upstream.NAME",
        LOG_S("name", name));
    close(passed->fd);
    return false;
}

bool passed_are_allowed(const struct endpoint_list *list, const struct config *c, char *error,
                        size_t error_size)
{
    const struct endpoint *e;
    char text[ADDRESS_TEXT_SIZE];
    TAILQ_FOREACH (e, list, link) {
        if (!e->binding->passed || !config_exposes(c, &e->binding->address, e->role == ROLE_ADMIN))
            continue;
        snprintf(
            error, error_size,
            "the socket %s, passed by systemd, can be reached from outside while %s is not set; list there who may use it",
            address_format(&e->binding->address, text),
            e->role == ROLE_ADMIN ? "admin.clients" : "access.clients");
        return false;
    }
    return true;
}

/* NULL when the upstream serves it. */
static const char *idle_because(const struct config *c, const char *upstream)
{
    for (uint32_t i = 0; i < c->upstream_count; i++)
        if (strcmp(c->upstreams[i].name, upstream) == 0)
            return *c->upstreams[i].host
                       ? NULL
                       : "which host is it for? match must name exactly one, or host: say it";
    return "the configuration has no such upstream";
}

void passed_warn(const struct endpoint_list *list, const struct config *c)
{
    const struct endpoint *e;
    char text[ADDRESS_TEXT_SIZE];
    TAILQ_FOREACH (e, list, link) {
        const char *why = e->role == ROLE_GATEWAY && e->binding->passed ? idle_because(c, e->upstream) : NULL;
        if (why)
            log_event(LOG_WARN, "requests at a socket that systemd passed get an error",
                      LOG_S("address", address_format(&e->binding->address, text)),
                      LOG_S("upstream", e->upstream), LOG_S("reason", why));
    }
}
