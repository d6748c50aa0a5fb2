#ifndef CARPOOL_CONFIG_CONFIG_H
#define CARPOOL_CONFIG_CONFIG_H

/* The whole policy, read once and never changed: a reload makes another one. Counted, since running exchanges
 * keep the one they began with. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/address.h"
#include "base/log.h"
#include "base/units.h"

struct listen_address {
    char *text; /* as written */
    struct address address;
    unsigned mode;         /* of a unix socket file */
    bool by_host;          /* origin-form is taken there and goes by its Host (unix sockets: ?form=host) */
    uint32_t line, column; /* in the file; line 0: not there */
};

struct listen_list {
    struct listen_address *items;
    uint32_t count;
};

struct cidr_list {
    struct cidr *items;
    uint32_t count;
};

struct text_list {
    char **items;
    uint32_t count;
};

/* Who may use an upstream: names of callers (proxy/caller.h). */
struct allow_list {
    struct allowed {
        char *name;
        bool is_user; /* callers: user, and it names one */
        uint32_t uid;
    } * items;
    uint32_t count;
};

struct port_list {
    uint16_t *items;
    uint32_t count;
};

/* Where an upstream's `address` says to connect. A host name there is resolved. */
struct address_entry {
    char *text;
    bool is_name; /* host is resolved; otherwise address is whole */
    char *host;
    uint16_t port;
    struct address address;
};

struct address_list {
    struct address_entry *items;
    uint32_t count;
};

/* The proxy through which an agent's origins are reached. */
struct parent_proxy {
    char *host; /* lower case, no brackets; "": none, connect directly */
    uint16_t port;
    char *address;       /* "host:port", for messages */
    char *authorization; /* the field line of Proxy-Authorization with its end, or "" */
};

enum callers_by { CALLERS_OFF, CALLERS_USER, CALLERS_UNIT };
enum queue_order { QUEUE_FIFO, QUEUE_FAIR };
enum scheduling { SCHEDULING_LIFO, SCHEDULING_FIFO };
enum family { FAMILY_ANY, FAMILY_4, FAMILY_6 };
enum unmatched { UNMATCHED_ALLOW, UNMATCHED_DENY };
/* What becomes of a CONNECT. */
enum connect_policy { CONNECT_IS_TUNNEL, CONNECT_IS_POOL, CONNECT_IS_DENIED };
enum access_log_format { ACCESS_LOG_TEXT, ACCESS_LOG_JSON };
enum access_log_query { QUERY_KEEP, QUERY_STRIP };

/* Times in milliseconds, 0 = off. */
struct agent_timeouts {
    uint64_t connect, pending, socket, request, free, tunnel, ack;
};

#define WORKERS_MAX 256

/* Bytes of `name`, and of an upstream's. */
#define CONFIG_NAME_MAX 64

/* HTTP/2 to origins. */
struct h2_policy {
    bool useH2c;
    uint32_t maxConcurrentStreams;
    uint64_t maxStreamWindow, pingInterval, pingTimeout;
};

/* What `defaults` and every upstream hold: an agent's policy. Counts: COUNT_INFINITE lifts the limit. */
struct agent_policy {
    bool keepAlive;
    uint64_t keepAliveMsecs;
    enum scheduling scheduling;
    uint32_t maxSockets, maxFreeSockets, minFreeSockets, maxTotalSockets, maxPendingRequests;
    uint64_t maxSocketAge;
    uint32_t maxRequestsPerSocket; /* COUNT_INFINITE: no limit */
    struct agent_timeouts timeouts;
    uint64_t agentKeepAliveTimeoutBuffer;
    bool learnFreeTimeout;
    uint64_t drainLimit, replayLimit;
    uint32_t retries;
    enum family family;
    char *localAddress;   /* "" or an IP address */
    struct address local; /* parsed; length 0 when localAddress is "" */
    bool via, insecureHTTPParser, rewriteScheme;
    char *proxy; /* "" or a URL, which may hold a password */
    struct parent_proxy parent;
    enum connect_policy connect;
    enum queue_order queue;
    struct allow_list allow;
    bool allowH2;
    struct h2_policy h2Options;
};

enum tls_version { TLS_VERSION_1_0, TLS_VERSION_1_1, TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct tls_options {
    bool enabled;
    char *ca, *cert, *key, *passphraseFile;  /* absolute paths, or "" */
    char *passphrase, *servername, *ciphers; /* "" when not given */
    bool rejectUnauthorized, sessionReuse, legacyServerConnect;
    enum tls_version minVersion;
    struct tls_setup *setup; /* of all this, see config/tls_setup.h; that of default_tls when not enabled */
    /* Unix seconds between which cert and every certificate of ca are valid, so that an end can be seen
     * coming; 0: no file */
    int64_t not_before, not_after;
    const char *not_after_file; /* the one of ca and cert that ends first; NULL: no file */
};

/* One pattern of `match`. */
struct match_pattern {
    char *text;    /* as written */
    char *host;    /* lower case; for a suffix without its "*"; "" for "*" */
    uint16_t port; /* 0: any */
    enum { MATCH_EXACT, MATCH_SUFFIX, MATCH_ALL } kind;
};

struct upstream {
    char *name;
    struct match_pattern *match;
    uint32_t match_count;
    char *host_option;  /* `host:` as written, or "" */
    char *host;         /* of `host:`, or the one exact host of match; "" otherwise */
    uint16_t host_port; /* 0 when none was written */
    struct tls_options tls;
    struct address_list address;
    struct listen_list listen;
    /* What Host may say at its TCP listeners beside IP literals, localhost and `host` */
    struct text_list hosts;
    struct agent_policy policy;
    /* What an operator should know while it runs, such as unchecked or expired certificates; sentences */
    struct text_list warnings;
    bool *from_env; /* an option of options.h each: its value came from ${NAME} */
};

struct arena;

struct config {
    int refs;
    struct arena *arena; /* holds everything below */
    char *path;          /* "" for built-in defaults */
    bool has_keys;       /* the file named an option */
    char *name;          /* "" when random */
    struct listen_list listen;
    struct {
        struct listen_list listen; /* none: off; at most one */
        struct cidr_list clients;
        struct text_list hosts;
    } admin;
    struct {
        enum log_level level;
        enum log_format format;
    } log;
    struct {
        char *path; /* "off", "-" or a file */
        enum access_log_format format;
        enum access_log_query query;
    } accessLog;
    struct connect_tls {
        char *cert, *key; /* absolute paths, or "" */
        bool unconstrained;
        char *digest;          /* of what stands in the files */
        struct signer *signer; /* ca/signer.h; NULL: not set. One with the same files is shared by a reload */
    } connectTls;
    enum callers_by callers;
    uint32_t workers; /* 0: auto */
    uint64_t shutdownTimeout, shutdownDelay;
    struct {
        uint64_t staleIfError;
    } dns;
    struct server_options {
        uint32_t maxConnections;
        uint64_t headersTimeout, requestTimeout, timeout, keepAliveTimeout, keepAliveTimeoutBuffer;
        uint32_t maxRequestsPerSocket; /* COUNT_INFINITE: no limit */
        uint64_t maxHeaderSize;
        uint32_t maxHeadersCount;
        uint64_t keepAliveInitialDelay;
        bool halfClose;
        bool serverTiming;
    } server;
    struct {
        struct cidr_list clients;
        enum unmatched unmatched;
        struct port_list connectPorts;
        struct cidr_list denyAddresses;
    } access;
    struct agent_policy defaults;
    struct tls_options default_tls; /* for https:// URLs that no upstream matches; not enabled */
    struct upstream *upstreams;
    uint32_t upstream_count;
    bool *from_env;                  /* as in struct upstream, for the rest of the file and `defaults` */
    struct match_index *match_index; /* see config/match.h */
    struct tls_setups *tls_setups;   /* see config/tls_setup.h */
    /* Options that the file has otherwise than they run: a reload cannot change them */
    struct text_list restart_needed;
};

/* Reads a file (NULL: built-in defaults). All errors of the file, one per line, go to `errors` as
 * "FILE:LINE:COLUMN: error: ...", warnings as "...: warning: ...". NULL when there was an error. The caller
 * holds one reference. `listen_override` (count may be 0) replaces the file's top-level listen before what
 * depends on it is checked. */
struct config *config_load(const char *path, const struct text_list *listen_override, FILE *errors);

/* The same for -t, which looks at this host, too: at addresses, and at the folders of unix paths and of the
 * access log. A start finds what is wrong with them when it opens them; a reload does not ask, since what is
 * open already stays. */
struct config *config_test(const char *path, const struct text_list *listen_override, FILE *errors);

/* The same for a reload, beside the configuration in force, from whose file it reads: what is no regular file
 * is refused, never waited for, and so is a file without any option where there were some. `workers` and
 * `name` stay as they run. May be called from any thread, and is given up soon after another one sets
 * `*cancelled` (atomic). */
struct config *config_reload(const struct config *running, const struct text_list *listen_override,
                             const bool *cancelled, FILE *errors);

/* As config_load() for a text that stands in memory; `path` names it in messages and relative file names
 * start at its folder. */
struct config *config_parse(struct slice text, const char *path, const struct text_list *listen_override,
                            FILE *errors);

/* Whether a listener at `a` could be reached from outside while the list of who may use it (admin.clients if
 * `admin`, else access.clients) is the default one: then it must not be opened. For sockets that systemd
 * passes, too. */
bool config_exposes(const struct config *c, const struct address *a, bool admin);

/* Who named the listener, for messages: the file, the command line or the program itself. */
const char *config_origin(const struct config *c, const struct listen_address *a);

struct config *config_ref(struct config *c);
void config_unref(struct config *c); /* NULL is allowed */
/* Whether others hold it, too. */
bool config_is_shared(const struct config *c);

/* The effective configuration with every default filled in, as YAML that reads back to the same. */
void config_print(const struct config *c, FILE *out);

/* The same as one JSON object into a malloc'd string; values that came from the environment are "***" when
 * `mask`. */
char *config_json(const struct config *c, bool mask);

#endif
