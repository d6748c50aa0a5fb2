#ifndef CARPOOL_CONFIG_OPTIONS_H
#define CARPOOL_CONFIG_OPTIONS_H

/* Every option as a row. Parsing, defaults, inheritance, validation, --print-config, the manual page and
 * conf/carpool.yaml follow from this table. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which struct an offset belongs to. */
enum option_scope {
    SCOPE_TOP = 1,      /* struct config */
    SCOPE_POLICY = 2,   /* struct agent_policy: `defaults` and each upstream */
    SCOPE_UPSTREAM = 4, /* struct upstream */
};

enum option_type {
    OPTION_BOOL,
    OPTION_TIME,  /* uint64_t, milliseconds; 0 and off: no limit */
    OPTION_SIZE,  /* uint64_t, bytes */
    OPTION_LIMIT, /* uint32_t; 0 and Infinity: COUNT_INFINITE */
    OPTION_COUNT, /* uint32_t; 0 is 0; Infinity only when max is COUNT_INFINITE */
    OPTION_WORD,  /* an enum: the place in `words` */
    OPTION_WORKERS,
    OPTION_NAME, /* char *: a token of RFC 9110, or "" */
    OPTION_FILE, /* char *: a path, made absolute, or "" */
    OPTION_LOG_FILE,
    OPTION_LISTEN_LIST,
    OPTION_LISTEN_ADMIN, /* one address or off */
    OPTION_NETWORK_LIST,
    OPTION_HOST_LIST,
    OPTION_PORT_LIST,
    OPTION_CALLER_LIST,
    OPTION_MATCH_LIST,
    OPTION_HOST, /* char *: host or host:port, checked only; "" */
    OPTION_ADDRESS_LIST,
    OPTION_LOCAL_ADDRESS, /* char *, and struct address in agent_policy.local */
    OPTION_PROXY, /* char *: a URL, and struct parent_proxy in agent_policy.parent; messages never quote it */
    OPTION_SERVERNAME,
    OPTION_CIPHERS,
    OPTION_SECRET, /* char *: any text, or ""; neither messages nor /config show it */
    OPTION_TLS,    /* true, false, or a section, which means true */
};

struct option {
    enum option_scope scope;
    const char *path; /* inside its scope: "server.maxHeaderSize" */
    enum option_type type;
    size_t offset;
    const char *initial; /* as it would be written; a list without brackets */
    uint64_t min, max;   /* of numbers */
    const char *const *words;
    const char *help; /* one line */
    const char *since;
};

extern const struct option options[];
extern const size_t option_count;

/* The two sections of the top level that hold scopes of their own */
#define OPTION_DEFAULTS  "defaults"
#define OPTION_UPSTREAMS "upstreams"

static inline size_t option_index(const struct option *o)
{
    return (size_t)(o - options);
}

/* The option at this path in any of `scopes` (or-ed); NULL when there is none. */
const struct option *option_find(unsigned scopes, const char *path);

/* Whether the path is a section: a map of options. */
bool option_is_section(unsigned scopes, const char *path);

/* The last part of its path. */
const char *option_key(const struct option *o);

bool option_is_list(const struct option *o);

#define OPTION_WANTS_SIZE 256

/* What may be written there, for messages and the manual: "true or false"; returns `out`. */
const char *option_wants(const struct option *o, char out[OPTION_WANTS_SIZE]);

#endif
