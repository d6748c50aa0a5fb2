#include "cmd/ctl_run.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/ctl_client.h"

static bool is_any(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* An address or a name: what else a server says does not go into a command's environment. */
static bool is_host(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";

    return *text && strspn(text, allowed) == strlen(text);
}

/* "http://host:port" of a listener; NULL when it is a unix socket. One that listens everywhere is reached
 * where the admin listener was. */
static char *proxy_url(const char *listener, const char *admin)
{
    const char *port;
    char *host = ctl_split_address(listener, &port);
    char *url = NULL;

    if (!host || !is_host(host)) {
        free(host);
        return NULL;
    }
    if (is_any(host)) {
        char *there = ctl_split_address(admin, NULL);
        const char *own = strchr(host, ':') ? "::1" : "127.0.0.1";

        free(host);
        if (there && !is_any(there)) {
            host = there;
        } else {
            free(there);
            host = ctl_need(strdup(own));
        }
    }
    if (asprintf(&url, strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port) < 0)
        ctl_need(NULL);
    free(host);
    return url;
}

/* The first TCP listener of /config; NULL with a sentence in `error`. */
static char *find_proxy(const char *address, char error[CTL_ERROR_SIZE])
{
    struct ctl_reply reply;
    json_t *config;
    const json_t *listen;
    char *url = NULL;

    if (ctl_ask(address, "GET", "/config", &reply, error) != 0)
        return NULL;
    config = json_loadb(reply.body, reply.length, 0, NULL);
    free(reply.body);
    listen = json_object_get(config, "listen");
    for (size_t i = 0; i < json_array_size(listen) && !url; i++) {
        const char *one = json_string_value(json_array_get(listen, i));

        url = one ? proxy_url(one, address) : NULL;
    }
    if (!url && json_is_string(listen))
        url = proxy_url(json_string_value(listen), address);
    json_decref(config);
    if (!url)
        snprintf(error, CTL_ERROR_SIZE,
                 "carpoold at %s names no TCP listener in its configuration: set http_proxy by hand",
                 address);
    return url;
}

int ctl_run(const char *address, char *const argv[])
{
    char error[CTL_ERROR_SIZE];
    char *url = find_proxy(address, error);

    if (!url) {
        fprintf(stderr, "carpoolctl: %s\n", error);
        return 1;
    }
    if (setenv("http_proxy", url, 1) != 0 || setenv("HTTP_PROXY", url, 1) != 0)
        ctl_need(NULL);
    free(url);
    execvp(argv[0], argv);
    fprintf(stderr, "carpoolctl: cannot start %s: %s\n", argv[0], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}
