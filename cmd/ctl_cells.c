#include "cmd/ctl_cells.h"

#include <stdio.h>
#include <string.h>

const char *pool_agent_name(const struct pool_row *r, char out[POOL_NAME_SIZE])
{
    snprintf(out, POOL_NAME_SIZE, "%.200s%s", r->agent, r->removed ? " (removed)" : "");
    return out;
}

const char pool_forgotten_legend[] =
    "*: all origins that are no longer listed: unused for a minute, or never connected to\n";

static const char *default_port(const char *origin)
{
    if (strncmp(origin, "http://", 7) == 0)
        return ":80";
    return strncmp(origin, "https://", 8) == 0 || strncmp(origin, "tunnel://", 9) == 0 ? ":443" : NULL;
}

const char *pool_origin_name(const struct pool_row *r, char out[POOL_NAME_SIZE])
{
    const char *port = default_port(r->origin);
    size_t n;

    snprintf(out, POOL_NAME_SIZE, "%s", r->origin);
    n = strlen(out);
    if (port && n > strlen(port) && strcmp(out + n - strlen(port), port) == 0)
        out[n - strlen(port)] = '\0';
    return out;
}

const char *pool_active(const struct pool_row *r, char out[POOL_NAME_SIZE])
{
    int n = snprintf(out, POOL_NAME_SIZE, "%llu", (unsigned long long)r->active);

    if (r->max != UINT64_MAX)
        n += snprintf(out + n, POOL_NAME_SIZE - (size_t)n, "/%llu", (unsigned long long)r->max);
    if (r->full > 0)
        snprintf(out + n, POOL_NAME_SIZE - (size_t)n, ", %llu full", (unsigned long long)r->full);
    return out;
}

const char *pool_streams(const struct pool_row *r, char out[POOL_NAME_SIZE])
{
    if (r->speaks_http2)
        snprintf(out, POOL_NAME_SIZE, "%llu/%llu", (unsigned long long)r->streams,
                 (unsigned long long)r->max_streams);
    else
        snprintf(out, POOL_NAME_SIZE, "-");
    return out;
}

const char *pool_reuse(const struct pool_row *r, char out[POOL_NAME_SIZE])
{
    uint64_t given = r->opened + r->reused;

    if (given == 0)
        snprintf(out, POOL_NAME_SIZE, "-");
    else
        snprintf(out, POOL_NAME_SIZE, "%llu.%llu%%", (unsigned long long)(r->reused * 100 / given),
                 (unsigned long long)(r->reused * 1000 / given % 10));
    return out;
}

bool pool_is_full(const struct pool_row *r)
{
    return r->full > 0 || (r->max != UINT64_MAX && r->max > 0 && r->active >= r->max);
}

bool pool_streams_are_full(const struct pool_row *r)
{
    return r->streams > 0 && (r->streams >= r->max_streams || r->streams >= r->max_in_flight);
}

bool pool_is_idle(const struct pool_row *r)
{
    return r->active + r->connecting + r->free + r->waiting + r->draining == 0;
}
