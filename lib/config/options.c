#include "config/options.h"

#include <stdio.h>
#include <string.h>

#include "config/config.h"

#define YEAR        (365ull * 24 * 3600 * 1000)
#define PROBE_MAX   (32767ull * 1000) /* what Linux takes for TCP_KEEPIDLE */
#define GIB         (1024ull * 1024 * 1024)
#define RETRIES_MAX 10

static const char *const level_words[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug", NULL};
static const char *const log_format_words[] = {[LOG_TEXT] = "text", [LOG_JSON] = "json", NULL};
static const char *const access_format_words[] = {
    [ACCESS_LOG_TEXT] = "text", [ACCESS_LOG_JSON] = "json", NULL};
static const char *const query_words[] = {[QUERY_KEEP] = "keep", [QUERY_STRIP] = "strip", NULL};
static const char *const unmatched_words[] = {[UNMATCHED_ALLOW] = "allow", [UNMATCHED_DENY] = "deny", NULL};
static const char *const callers_words[] = {
    [CALLERS_OFF] = "off", [CALLERS_USER] = "user", [CALLERS_UNIT] = "unit", NULL};
static const char *const queue_words[] = {[QUEUE_FIFO] = "fifo", [QUEUE_FAIR] = "fair", NULL};
static const char *const scheduling_words[] = {[SCHEDULING_LIFO] = "lifo", [SCHEDULING_FIFO] = "fifo", NULL};
static const char *const family_words[] = {[FAMILY_ANY] = "any", [FAMILY_4] = "4", [FAMILY_6] = "6", NULL};
static const char *const connect_words[] = {
    [CONNECT_IS_TUNNEL] = "tunnel", [CONNECT_IS_POOL] = "pool", [CONNECT_IS_DENIED] = "deny", NULL};
static const char *const tls_version_words[] = {[TLS_VERSION_1_0] = "TLSv1",
                                                [TLS_VERSION_1_1] = "TLSv1.1",
                                                [TLS_VERSION_1_2] = "TLSv1.2",
                                                [TLS_VERSION_1_3] = "TLSv1.3",
                                                NULL};

#define TOP(path, type, initial, min, max, words, help)                                                 \
    {                                                                                                   \
        SCOPE_TOP, #path, OPTION_##type, offsetof(struct config, path), initial, min, max, words, help, \
            "0.1"                                                                                       \
    }
#define POLICY(path, type, initial, min, max, words, help)                                                 \
    {                                                                                                      \
        SCOPE_POLICY, #path, OPTION_##type, offsetof(struct agent_policy, path), initial, min, max, words, \
            help, "0.1"                                                                                    \
    }
#define UPSTREAM(path, field, type, initial, words, help)                                                  \
    {                                                                                                      \
        SCOPE_UPSTREAM, path, OPTION_##type, offsetof(struct upstream, field), initial, 0, 0, words, help, \
            "0.1"                                                                                          \
    }

/* clang-format off */
const struct option options[] = {
    TOP(name, NAME, "", 0, 0, NULL,
        "name of this instance in Via; empty: carpool- and eight random hex digits, chosen at each start"),
    TOP(listen, LISTEN_LIST, "127.0.0.1:3128", 0, 0, NULL,
        "where apps find the proxy: host:port, [v6]:port, unix:/path or unix:/path?mode=0660&form=host (default mode 0666)"),
    TOP(admin.listen, LISTEN_ADMIN, "127.0.0.1:3129", 0, 0, NULL,
        "where the admin API and the page are: host:port, unix:/path (default mode 0600) or off"),
    TOP(admin.clients, NETWORK_LIST, "127.0.0.0/8, ::1", 0, 0, NULL, "addresses that may use the admin listener, as access.clients"),
    TOP(admin.hosts, HOST_LIST, "", 0, 0, NULL, "names accepted in Host in addition to IP addresses and localhost"),
    TOP(log.level, WORD, "info", 0, 0, level_words, "the least severe messages that are written: error, warn, info or debug"),
    TOP(log.format, WORD, "text", 0, 0, log_format_words, "lines as text (key=value) or as JSON"),
    TOP(accessLog.path, LOG_FILE, "off", 0, 0, NULL, "where requests are logged, one line each: off, - (stdout) or a file"),
    TOP(accessLog.format, WORD, "text", 0, 0, access_format_words, "lines as text (key=value) or as JSON"),
    TOP(accessLog.query, WORD, "keep", 0, 0, query_words,
        "keep or strip the query of URLs, here and where the error log quotes a request line"),
    TOP(connectTls.cert, FILE, "", 0, 0, NULL,
        "PEM file of this host's own CA (carpoolctl ca create), for certificates of hosts where connect is pool"),
    TOP(connectTls.key, FILE, "", 0, 0, NULL, "PEM file of its key, which only Carpool should be able to read"),
    TOP(connectTls.unconstrained, BOOL, "false", 0, 0, NULL,
        "true: take a CA without name constraints, whose key could impersonate every host"),
    TOP(callers, WORD, "off", 0, 0, callers_words,
        "tell clients apart: off, by user, or by systemd unit or container (unit); see queue and allow"),
    TOP(workers, WORKERS, "1", 1, WORKERS_MAX, NULL,
        "event loops, one thread each; auto: one per core that this process may use. Limits hold for all of them together"),
    TOP(shutdownTimeout, TIME, "30s", 0, YEAR, NULL, "how long a graceful stop waits for running requests"),
    TOP(shutdownDelay, TIME, "0s", 0, YEAR, NULL,
        "how long to go on as before after SIGTERM, but with 503 from /readyz: for sidecars that must outlive their app"),
    TOP(dns.staleIfError, TIME, "1h", 0, YEAR, NULL,
        "how long an answer is used after its TTL while the name servers fail"),

    TOP(server.maxConnections, LIMIT, "10000", 0, 0, NULL, "client connections at the same time; more get 503"),
    TOP(server.headersTimeout, TIME, "60s", 0, YEAR, NULL,
        "from the first byte of a request (or accept) to the end of its head; then 408"),
    TOP(server.requestTimeout, TIME, "300s", 0, YEAR, NULL,
        "from the first byte to the end of its body, less the time when Carpool itself does not read; then 408"),
    TOP(server.timeout, TIME, "60s", 0, YEAR, NULL,
        "how long a client may read nothing of its response; then its connection is cut"),
    TOP(server.keepAliveTimeout, TIME, "5s", 0, YEAR, NULL,
        "how long a client may be idle after it took a response; advertised as Keep-Alive: timeout=5"),
    TOP(server.keepAliveTimeoutBuffer, TIME, "1s", 0, YEAR, NULL,
        "how much longer than advertised Carpool waits"),
    TOP(server.maxRequestsPerSocket, LIMIT, "0", 0, 0, NULL,
        "requests per client connection; the last response says Connection: close; 0: no limit"),
    TOP(server.maxHeaderSize, SIZE, "16KiB", 1024, 1024 * 1024, NULL,
        "bytes of the head of a request or response; a larger request gets 431, a larger request line 414"),
    TOP(server.maxHeadersCount, COUNT, "100", 1, 1000, NULL, "fields in the head of a request or response; a request with more gets 431"),
    TOP(server.keepAliveInitialDelay, TIME, "off", 0, PROBE_MAX, NULL,
        "idle time before TCP keep-alive probes on client connections"),
    TOP(server.halfClose, BOOL, "false", 0, 0, NULL,
        "true: a client that has closed its sending side keeps its place while its request waits for a limit"),
    TOP(server.serverTiming, BOOL, "false", 0, 0, NULL,
        "true: responses say in Server-Timing what the request waited for: a limit, a new connection and why, the origin"),

    TOP(access.clients, NETWORK_LIST, "127.0.0.0/8, ::1", 0, 0, NULL,
        "addresses that may use the TCP listeners; others get 403; must be set to listen beyond loopback"),
    TOP(access.unmatched, WORD, "allow", 0, 0, unmatched_words,
        "hosts that no upstream matches: allow (they go to the agent \"default\") or deny (403)"),
    TOP(access.connectPorts, PORT_LIST, "443", 0, 0, NULL, "ports that CONNECT may reach; others get 403"),
    TOP(access.denyAddresses, NETWORK_LIST,
        "169.254.0.0/16, fe80::/10, 0.0.0.0/8, ::/128, 224.0.0.0/4, ff00::/8, 255.255.255.255/32", 0, 0, NULL,
        "addresses that are never connected to, unless an upstream's address names them; a list in your file replaces this one"),

    POLICY(keepAlive, BOOL, "true", 0, 0, NULL, "false: a connection carries one request and is closed"),
    POLICY(keepAliveMsecs, TIME, "1s", 0, PROBE_MAX, NULL, "idle time before TCP keep-alive probes on connections to origins"),
    POLICY(scheduling, WORD, "lifo", 0, 0, scheduling_words, "which free connection is used next: lifo (the most recently used) or fifo (the least)"),
    POLICY(maxSockets, LIMIT, "100", 0, 0, NULL, "connections per origin: active, free and connecting"),
    POLICY(maxFreeSockets, COUNT, "256", 0, COUNT_INFINITE, NULL, "free connections per origin; 0: none"),
    POLICY(minFreeSockets, COUNT, "0", 0, 65535, NULL,
        "free connections kept open per origin: from the start for one exact host, else for 10 min after a request"),
    POLICY(maxTotalSockets, LIMIT, "1000", 0, 0, NULL, "connections over all origins of this agent"),
    POLICY(maxPendingRequests, COUNT, "1024", 0, COUNT_INFINITE, NULL,
        "requests that may wait for a limit per origin; the next one gets 503 at once; 0: no queue"),
    POLICY(maxSocketAge, TIME, "10m", 0, YEAR, NULL,
        "an older connection is closed when it is next free; up to 10 % earlier, so that not all end at once"),
    POLICY(maxRequestsPerSocket, LIMIT, "0", 0, 0, NULL, "requests per connection; 0: no limit"),
    POLICY(timeouts.connect, TIME, "10s", 0, YEAR, NULL, "how long a new connection may take (DNS, TCP and TLS); then 504"),
    POLICY(timeouts.pending, TIME, "30s", 0, YEAR, NULL, "how long a request may wait for a connection; then 503"),
    POLICY(timeouts.socket, TIME, "60s", 0, YEAR, NULL,
        "how long an active connection may be silent in both directions; then 504, or a cut response"),
    POLICY(timeouts.request, TIME, "off", 0, YEAR, NULL,
        "from a request's head to the last byte of its response, waiting included; then 504, or a cut response"),
    POLICY(timeouts.free, TIME, "30s", 0, YEAR, NULL, "how long a free connection is kept"),
    POLICY(timeouts.tunnel, TIME, "1h", 0, YEAR, NULL,
        "how long a tunnel (CONNECT, or an upgraded connection) may be silent in both directions"),
    POLICY(timeouts.ack, TIME, "10s", 500, YEAR, NULL,
        "how long data that was sent may stay unacknowledged by the origin's host; then a repeat, 504 or a cut response"),
    POLICY(agentKeepAliveTimeoutBuffer, TIME, "1s", 0, YEAR, NULL,
        "how long before the end of an origin's hint Keep-Alive: timeout=N a free connection is closed"),
    POLICY(learnFreeTimeout, BOOL, "true", 0, 0, NULL,
        "learn after what idle time the origin closes, and close agentKeepAliveTimeoutBuffer (at most half that time) earlier"),
    POLICY(drainLimit, SIZE, "64KiB", 0, GIB, NULL,
        "when a client leaves during a response, up to this much of the rest is read to keep the connection"),
    POLICY(replayLimit, SIZE, "64KiB", 0, GIB, NULL,
        "request bodies up to this size are kept until the response begins, so that they can be sent again"),
    POLICY(retries, COUNT, "1", 0, RETRIES_MAX, NULL, 
           "repeats when a reused connection turns out to be dead: idempotent methods, POST and PATCH with Idempotency-Key"),
    POLICY(family, WORD, "any", 0, 0, family_words, "addresses to connect to: any, 4 or 6"),
    POLICY(localAddress, LOCAL_ADDRESS, "", 0, 0, NULL, "IP address to connect to origins from"),
    POLICY(via, BOOL, "true", 0, 0, NULL,
        "false: no Via in requests and responses; stock nginx and IIS do not compress where there is one"),
    POLICY(insecureHTTPParser, BOOL, "false", 0, 0, NULL,
        "true: repair malformed response heads where that is safe; each one costs its connection"),
    POLICY(rewriteScheme, BOOL, "false", 0, 0, NULL,
        "true, with tls: turn its own https:// URLs in responses into http://, and remove Secure from cookies"),
    POLICY(proxy, PROXY, "", 0, 0, NULL,
        "reach the origins through this proxy, http://[user:password@]host:port; empty: directly"),
    POLICY(connect, WORD, "tunnel", 0, 0, connect_words,
        "how to treat CONNECT: tunnel, pool (serve the HTTP inside, and TLS where connectTls may sign) or deny (403)"),
    POLICY(queue, WORD, "fifo", 0, 0, queue_words,
        "who gets the next free connection: fifo (the oldest request) or fair (callers take turns; needs callers)"),
    POLICY(allow, CALLER_LIST, "", 0, 0, NULL,
        "callers that may use it, as the access log names them; others get 403; empty: all; needs callers"),
    POLICY(allowH2, BOOL, "false", 0, 0, NULL,
        "true: offer HTTP/2 to origins over TLS (ALPN), and send many requests at a time over one connection"),
    POLICY(h2Options.useH2c, BOOL, "false", 0, 0, NULL,
        "true: speak HTTP/2 to http:// origins, all of which must support it (prior knowledge)"),
    POLICY(h2Options.maxConcurrentStreams, LIMIT, "100", 0, 0, NULL,
        "requests at a time on one HTTP/2 connection; the origin may allow fewer"),
    POLICY(h2Options.maxStreamWindow, SIZE, "1MiB", 65536, GIB, NULL,
        "bytes of a response that an origin may send ahead of its client over HTTP/2: 64 KiB at first, then up to this"),
    POLICY(h2Options.pingInterval, TIME, "15s", 0, YEAR, NULL,
        "silence after which an HTTP/2 connection with open requests is sent a PING (before a POST: a third of it); off: never"),
    POLICY(h2Options.pingTimeout, TIME, "5s", 0, YEAR, NULL,
        "how long the answer to a PING may take; after that the connection gets no new request"),

    UPSTREAM("match", match, MATCH_LIST, "", NULL,
        "the URLs it is for: host, host:port, \"*.suffix\", \"*.suffix:port\" or \"*\""),
    UPSTREAM("host", host_option, HOST, "", NULL,
        "with listen, instead of match: the host it is for; several upstreams may name the same"),
    UPSTREAM("listen", listen, LISTEN_LIST, "", NULL,
        "a listener of its own, for apps with a base URL but no proxy setting"),
    UPSTREAM("hosts", hosts, HOST_LIST, "", NULL,
        "names accepted in Host at its TCP listen, in addition to IP addresses, localhost and the host it is for"),
    UPSTREAM("tls", tls.enabled, TLS, "false", NULL,
        "true, or a map of the following: connect over TLS although the app says http://"),
    UPSTREAM("tls.ca", tls.ca, FILE, "", NULL, "PEM file of the CAs to trust; empty: the system's"),
    UPSTREAM("tls.cert", tls.cert, FILE, "", NULL, "PEM file of the client certificate and its chain"),
    UPSTREAM("tls.key", tls.key, FILE, "", NULL, "PEM file of the key of cert"),
    UPSTREAM("tls.passphrase", tls.passphrase, SECRET, "", NULL,
        "passphrase of the key; write ${NAME} to take it from the environment"),
    UPSTREAM("tls.passphraseFile", tls.passphraseFile, FILE, "", NULL,
        "file whose first line is the passphrase; a systemd credential: ${CREDENTIALS_DIRECTORY}/NAME"),
    UPSTREAM("tls.servername", tls.servername, SERVERNAME, "", NULL,
        "name sent as SNI and expected in the certificate; empty: the host"),
    UPSTREAM("tls.rejectUnauthorized", tls.rejectUnauthorized, BOOL, "true", NULL,
        "false: accept a server's certificate although it cannot be verified"),
    UPSTREAM("tls.minVersion", tls.minVersion, WORD, "TLSv1.2", tls_version_words,
        "lowest version; for less than TLSv1.2 also set ciphers: DEFAULT@SECLEVEL=0"),
    UPSTREAM("tls.ciphers", tls.ciphers, CIPHERS, "", NULL,
        "ciphers to use, those of TLS 1.3 too; a TLS version without one is off; empty: OpenSSL's default"),
    UPSTREAM("tls.sessionReuse", tls.sessionReuse, BOOL, "true", NULL, "resume TLS sessions on new connections"),
    UPSTREAM("tls.legacyServerConnect", tls.legacyServerConnect, BOOL, "false", NULL,
        "true: connect to servers without secure renegotiation (RFC 5746), as OpenSSL 1.1 did"),
    UPSTREAM("address", address, ADDRESS_LIST, "", NULL,
        "connect there instead of resolving the host: host:port or unix:/path, one or several in turn"),
};
/* clang-format on */

const size_t option_count = sizeof options / sizeof options[0];

const struct option *option_find(unsigned scopes, const char *path)
{
    for (size_t i = 0; i < option_count; i++) {
        if ((options[i].scope & scopes) && strcmp(options[i].path, path) == 0)
            return &options[i];
    }
    return NULL;
}

bool option_is_section(unsigned scopes, const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        if ((o->scope & scopes) && strncmp(o->path, path, n) == 0 && o->path[n] == '.')
            return true;
    }
    return false;
}

const char *option_key(const struct option *o)
{
    const char *dot = strrchr(o->path, '.');
    return dot ? dot + 1 : o->path;
}

bool option_is_list(const struct option *o)
{
    switch (o->type) {
    case OPTION_LISTEN_LIST:
    case OPTION_NETWORK_LIST:
    case OPTION_HOST_LIST:
    case OPTION_PORT_LIST:
    case OPTION_CALLER_LIST:
    case OPTION_MATCH_LIST:
    case OPTION_ADDRESS_LIST: return true;
    case OPTION_BOOL:
    case OPTION_TIME:
    case OPTION_SIZE:
    case OPTION_LIMIT:
    case OPTION_COUNT:
    case OPTION_WORD:
    case OPTION_WORKERS:
    case OPTION_NAME:
    case OPTION_FILE:
    case OPTION_LOG_FILE:
    case OPTION_LISTEN_ADMIN:
    case OPTION_HOST:
    case OPTION_LOCAL_ADDRESS:
    case OPTION_PROXY:
    case OPTION_SERVERNAME:
    case OPTION_CIPHERS:
    case OPTION_SECRET:
    case OPTION_TLS: return false;
    }
    return false;
}

static const char *wants_words(const struct option *o, char *out)
{
    size_t n = 0;
    for (int i = 0; o->words[i]; i++) {
        const char *between = i == 0 ? "" : o->words[i + 1] ? ", " : " or ";
        n += (size_t)snprintf(out + n, OPTION_WANTS_SIZE - n, "%s%s", between, o->words[i]);
    }
    return out;
}

static const char *wants_time(const struct option *o, char *out)
{
    char low[UNITS_TEXT_SIZE], high[UNITS_TEXT_SIZE];
    units_format_time(o->min, low);
    units_format_time(o->max, high);
    snprintf(out, OPTION_WANTS_SIZE,
             "a time such as 250ms, 5s, 2m or 1h (a bare number: milliseconds), %s%s%sat most %s, or off",
             o->min ? "at least " : "", o->min ? low : "", o->min ? " and " : "", high);
    return out;
}

static const char *wants_size(const struct option *o, char *out)
{
    char low[UNITS_TEXT_SIZE], high[UNITS_TEXT_SIZE];
    units_format_size(o->min, low);
    units_format_size(o->max, high);
    snprintf(out, OPTION_WANTS_SIZE,
             "a size in bytes, KiB or MiB (such as 65536, 16KiB or 1MiB) from %s to %s", low, high);
    return out;
}

static const char *say(char *out, const char *text)
{
    snprintf(out, OPTION_WANTS_SIZE, "%s", text);
    return out;
}

static const char *wants_count(const struct option *o, char *out)
{
    if (o->max == COUNT_INFINITE)
        return say(out, "a whole number from 0 on, or Infinity");
    snprintf(out, OPTION_WANTS_SIZE, "a whole number from %u to %u", (unsigned)o->min, (unsigned)o->max);
    return out;
}

const char *option_wants(const struct option *o, char out[OPTION_WANTS_SIZE])
{
    switch (o->type) {
    case OPTION_BOOL: return say(out, "true or false");
    case OPTION_WORD: return wants_words(o, out);
    case OPTION_TIME: return wants_time(o, out);
    case OPTION_SIZE: return wants_size(o, out);
    case OPTION_LIMIT: return say(out, "a whole number (0 or Infinity: no limit)");
    case OPTION_COUNT: return wants_count(o, out);
    case OPTION_WORKERS:
        snprintf(out, OPTION_WANTS_SIZE, "a whole number from 1 to %d, or auto", WORKERS_MAX);
        return out;
    case OPTION_NAME: return say(out, "one word of letters, digits and -._~, at most 64 characters long");
    case OPTION_FILE: return say(out, "the name of a file");
    case OPTION_LOG_FILE: return say(out, "off, - (stdout) or the name of a file");
    case OPTION_LISTEN_LIST:
        return say(
            out, "host:port with an IP address or localhost, [v6]:port, unix:/path or unix:/path?mode=0660");
    case OPTION_LISTEN_ADMIN: return say(out, "host:port with an IP address or localhost, unix:/path or off");
    case OPTION_NETWORK_LIST: return say(out, "networks such as 10.0.0.0/8 or fd00::/8, or IP addresses");
    case OPTION_HOST_LIST: return say(out, "host names");
    case OPTION_PORT_LIST: return say(out, "ports from 1 to 65535");
    case OPTION_CALLER_LIST:
        return say(
            out,
            "users (www-data, \"uid:1000\") or units (php8.2-fpm.service), or - for clients that are neither");
    case OPTION_MATCH_LIST:
        return say(out, "host, host:port, *.suffix, *.suffix:port or * (an IPv6 address in brackets)");
    case OPTION_HOST: return say(out, "host or host:port (an IPv6 address in brackets)");
    case OPTION_ADDRESS_LIST: return say(out, "host:port, [v6]:port or unix:/path");
    case OPTION_LOCAL_ADDRESS: return say(out, "an IP address");
    case OPTION_PROXY:
        return say(out, "the URL of a proxy, http://host:port or http://user:password@host:port");
    case OPTION_SERVERNAME: return say(out, "a host name or an IP address");
    case OPTION_CIPHERS: return say(out, "an OpenSSL cipher list, see openssl-ciphers(1)");
    case OPTION_SECRET: return say(out, "a text; write ${NAME} to take it from the environment");
    case OPTION_TLS: return say(out, "true, false or a map");
    }
    return out;
}
